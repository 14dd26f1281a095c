"""What the end of a round does: its open bets count towards the wagering of their grants."""

from decimal import Decimal

from . import counting
from .counting import ZERO
from .event import Event
from .states import FINAL, Status
from .values import Count, Grant, Kind, Recorded


def settle(event: Event) -> None:
    """Count the open bets of the round that has ended."""
    touched: list[Grant] = []
    bets = event.of_round(Kind.BET)
    for bet in bets:
        if bet.grant_id is None or bet.counted is not None:
            continue
        grant = event.wallet.grants[bet.grant_id]
        grant.open_bets -= 1
        if grant.status in FINAL:
            count(event, bet, grant, "GRANT_CLOSED")
        else:
            _judge(event, bet, grant, bets)
        touched.append(grant)
    if event.recorded.grant_id is not None:
        touched.append(event.wallet.grants[event.recorded.grant_id])
    event.end_if_due({grant.grant_id: grant for grant in touched}.values())


def _judge(event: Event, bet: Recorded, grant: Grant, bets: list[Recorded]) -> None:
    stakes = sum(one.activity.amount for one in bets)
    won = sum(win.activity.amount for win in event.of_round(Kind.WIN) if not win.waits)
    judged = counting.judge(bet, grant, won * bet.activity.amount // stakes if stakes else 0, event.tables)
    grant.penalties += judged.penalty
    grant.required += judged.penalty
    counted = min(judged.counts, grant.required - grant.wagered)
    verdict = "CAPPED" if judged.verdict == "COUNTED" and counted < judged.counts else judged.verdict
    count(event, bet, grant, verdict, judged, counted)
    if counted > ZERO and grant.status == Status.ACTIVE:
        event.move(grant, Status.WAGERING, f"first counted bet {bet.activity.activity_id}")
    if verdict == "FLAGGED":
        event.flag(
            "OVER_MAX_BET", grant, activity_id=bet.activity.activity_id, stake=str(bet.activity.amount), max_bet=str(grant.terms.max_bet)
        )


def count(
    event: Event,
    bet: Recorded,
    grant: Grant,
    verdict: str,
    judged: counting.Judgement | None = None,
    counted: Decimal = ZERO,
) -> None:
    """Note what a bet did to its grant, and let the progress move."""
    judged = judged or counting.Judgement(verdict)
    before = grant.wagered
    grant.wagered += counted
    bet.counted, bet.penalty = counted, judged.penalty
    event.outcome.counts.append(
        Count(
            bet=bet.activity.key,
            settled_by=event.activity.key,
            grant_id=grant.grant_id,
            verdict=verdict,
            rule=judged.rule,
            weight=judged.weight,
            counted_stake=judged.counted_stake,
            counted=counted,
            penalty=judged.penalty,
            before=before,
            after=grant.wagered,
            required_after=grant.required,
        )
    )
