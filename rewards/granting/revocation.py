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
from wallet.models import OPEN_STATUSES, WAITING_STATUSES, BonusGrant, Entry, Lot
from wallet.services import CannotReverse, Source, WalletError, cancel_pending, reverse_entry, reverse_grant

logger = logging.getLogger(__name__)

REVOKE_PERMISSION = "rewards.revoke_decision"


def revoke(decision_ids: Sequence[int], actor: User, at: datetime, reason: str) -> list[Answer]:
    """Take issued rewards back, each in a transaction of its own. A bonus that was used cannot be revoked; points
    that were spent become a debt in the wallet.

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
            _take_back(decision_id, actor, at, reason)
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


def _take_back(decision_id: int, actor: User, at: datetime, reason: str) -> None:
    """Reverse the credit; a bonus that is offered, waits, or has free spins none of which was played has no credit yet, and just ends."""
    own = {"source_type": WALLET_SOURCE, "source_ref": str(decision_id), "source_sub": ""}
    source = Source(WALLET_SOURCE, str(decision_id), "revoke")
    entry = Entry.objects.filter(**own).first()
    if entry is not None:
        reverse_entry(entry.pk, source=source, at=at, reason=reason[:500], actor=actor)
        return
    if Lot.objects.filter(**own).exists():  # points that wait
        cancel_pending(source=Source(WALLET_SOURCE, str(decision_id)), at=at, reason=reason[:500], actor=actor)
        return
    grant = BonusGrant.objects.get(**own)
    if grant.status not in WAITING_STATUSES and not _untouched(grant):
        raise CannotReverse(f"bonus grant {grant.pk} is {grant.get_status_display().lower()}; what was used of it cannot be taken back")
    reverse_grant(grant.pk, cause=f"reward revoked: {reason}"[:300], source=source, at=at, actor=actor)


def _untouched(grant: BonusGrant) -> bool:
    """Whether it is an open grant of free spins that were not played yet."""
    return grant.status in OPEN_STATUSES and not grant.principal and not grant.open_bets and grant.spins_left == grant.terms.get("spins", 0)
