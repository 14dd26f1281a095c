"""Rewards that a person or an integrator asks for: one proposal, through the same gates as any other."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.models import ApiClient
from loyalty_site.common.money import to_minor
from players.models import Player
from players.services import refresh_metrics_for
from rewards.granting.approval import require_permission
from rewards.granting.batch import API, MANUAL, GrantBatch, Proposals, Terms, bonus_terms
from rewards.granting.pipeline import grant
from rewards.models import RewardDecision

GRANT_PERMISSION = "rewards.grant_manual"


def grant_by_hand(
    *,
    player_id: int,
    unit: str,
    amount: Decimal,
    reason: str,
    key: str,
    at: datetime,
    actor: User | None = None,
    api_client: ApiClient | None = None,
    wagering_multiple: Decimal = Decimal(0),
    expiry_hours: int | None = None,
    max_bet: Decimal | None = None,
    eligible_games: Sequence[str] = (),
    bonus_template: str = "",
) -> RewardDecision:
    """Propose one reward for one player, and pay it at once when no gate and no limit stands in the way.

    `amount` is exact in the unit (bonus money: the player's own currency). With a `bonus_template` the terms are those of its current
    version: of a bonus in proportion to a deposit the amount is the most, of free spins what they are worth. `key` is the caller's
    idempotency key: the same key and content returns the first decision, other content raises KeyConflict. The returned decision tells
    what became of it.
    Raises PermissionDenied (people need rewards.grant_manual), Player.DoesNotExist, MoneyError or ValueError for an impossible grant.
    """
    if (actor is None) == (api_client is None):
        raise ValueError("a grant is asked for by a person or by an integrator: name one of the two")
    if actor is not None:
        require_permission(actor, GRANT_PERMISSION)
    if not reason.strip():
        raise ValueError("give a reason: it is kept with the reward")
    if not key.strip() or len(key) > 80:
        raise ValueError("give an idempotency key of 1 to 80 characters")
    player = Player.objects.only("id", "currency").get(pk=player_id)
    terms = Terms(unit, wagering_multiple, expiry_hours, max_bet, tuple(eligible_games))
    if bonus_template:
        if terms != Terms("BONUS"):
            raise ValueError(f"the terms of a bonus stand in its template {bonus_template!r}: leave unit BONUS, and all other terms empty")
        terms = bonus_terms(bonus_template)
    minor = to_minor(amount, player.currency if unit == "BONUS" else unit)
    full_key = f"user:{actor.pk}:{key}" if actor is not None else f"client:{api_client.pk if api_client else ''}:{key}"
    source = MANUAL if actor is not None else API
    with transaction.atomic():
        before = RewardDecision.objects.filter(source=source, idempotency_key=full_key).exists()
        if not before:
            refresh_metrics_for([player.pk], at)
        batch = GrantBatch(
            (Proposals(terms=terms, player_ids=[player.pk], minor=[minor], keys=[full_key]),),
            at,
            source=source,
            maker=actor,
            maker_client=api_client,
            reason=reason,
            issue_now=True,
        )
        result = grant(batch)
        decision = RewardDecision.objects.get(pk=result.decision_ids[0])
        if result.duplicates == 0:
            audit.record(
                "rewards.decision_proposed",
                decision,
                at=at,
                actor=actor,
                api_client=api_client,
                after={"status": decision.status, "amount": str(decision.amount), "unit": decision.money_unit, "player": player.pk},
                reason=reason,
            )
    return decision
