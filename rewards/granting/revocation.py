"""Taking an issued reward back: a reversal in the wallet, the budget's money back, and the decision's end."""

import logging
from collections.abc import Sequence
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from rewards.granting import budgets
from rewards.granting.approval import Answer, require_permission
from rewards.granting.issue import WALLET_SOURCE
from rewards.granting.states import check_path
from rewards.models import DecisionEvent, RewardDecision
from wallet.models import Entry
from wallet.services import Source, WalletError, reverse_entry

logger = logging.getLogger(__name__)

REVOKE_PERMISSION = "rewards.revoke_decision"


def revoke(decision_ids: Sequence[int], actor: User, at: datetime, reason: str) -> list[Answer]:
    """Take issued rewards back, each in a transaction of its own. A reward that the player has used cannot be revoked.

    Answers are REVOKED or NOT_ALLOWED with the wallet's own reason. Raises PermissionDenied, or ValueError without a reason.
    """
    require_permission(actor, REVOKE_PERMISSION)
    if not reason.strip():
        raise ValueError("give a reason: it is kept with the reversal")
    return [_revoke_one(one, actor, at, reason) for one in sorted(set(decision_ids))]


def _revoke_one(decision_id: int, actor: User, at: datetime, reason: str) -> Answer:
    try:
        with transaction.atomic():
            decision = RewardDecision.objects.select_for_update().filter(pk=decision_id).first()
            if decision is None:
                return Answer(decision_id, "NOT_ALLOWED", "there is no such reward")
            if decision.status != "ISSUED":
                return Answer(
                    decision_id, "NOT_ALLOWED", f"it is {decision.get_status_display().lower()}; only issued rewards can be revoked"
                )
            check_path("ISSUED", "REVOKED")
            budgets.unspend([decision_id], at)
            entry = Entry.objects.get(source_type=WALLET_SOURCE, source_ref=str(decision_id), source_sub="")
            reverse_entry(entry.pk, source=Source(WALLET_SOURCE, str(decision_id), "revoke"), at=at, reason=reason[:500], actor=actor)
            RewardDecision.objects.filter(pk=decision_id).update(status="REVOKED", revoked_at=at, budget_ids=[])
            DecisionEvent.objects.create(
                decision=decision,
                occurred_at=at,
                from_status="ISSUED",
                to_status="REVOKED",
                cause="revocation",
                actor_id=actor.pk,
                note=reason,
            )
            audit.record(
                "rewards.decision_revoked",
                decision,
                at=at,
                actor=actor,
                before={"status": "ISSUED"},
                after={"status": "REVOKED", "amount": str(decision.amount), "unit": decision.money_unit},
                reason=reason,
            )
    except WalletError as error:
        return Answer(decision_id, "NOT_ALLOWED", str(error))
    logger.info("rewards.decision_revoked decision=%s", decision_id)
    return Answer(decision_id, "REVOKED")
