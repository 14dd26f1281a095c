"""How a settled bet counts towards the wagering of its grant, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from loyalty_site.common.money import from_minor

from .states import Status
from .terms import Terms
from .values import Activity, Grant, Recorded
from .weights import IN_FULL, SIX_PLACES, Table, Weight

ZERO = Decimal(0)
_NOT_WEIGHED = Weight(ZERO, False, "")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a bet is worth to a grant before the requirement caps it. Amounts in units of the currency, six places."""

    verdict: str
    rule: str = ""
    weight: Decimal = ZERO
    counted_stake: Decimal = ZERO
    counts: Decimal = ZERO
    penalty: Decimal = ZERO


def unusable(grant: Grant, activity: Activity) -> str:
    """Why a bet placed now can neither use nor feed the grant; empty when it can."""
    if activity.currency != grant.currency:
        return "CURRENCY_MISMATCH"
    if grant.activated_at is None or activity.occurred_at < grant.activated_at:
        return "BEFORE_GRANT"
    if activity.occurred_at >= grant.expires_at:
        return "AFTER_EXPIRY"
    return "PAUSED" if grant.status == Status.PAUSED else ""


def is_eligible(terms: Terms, activity: Activity) -> bool:
    """Whether the game is part of the offer: named by code, provider or category, without regard to case. No names admit every game."""
    names = {name.casefold() for name in terms.eligible_games}
    return not names or not names.isdisjoint(
        {activity.game_code.casefold(), activity.provider.casefold(), activity.game_category.casefold()}
    )


def weigh(grant: Grant, activity: Activity, tables: Mapping[int, Table]) -> Weight:
    """The weight of a bet. Raises KeyError when the grant's table was not loaded."""
    if grant.terms.contribution_table is None:
        return IN_FULL
    return tables[grant.terms.contribution_table].weigh(
        activity.game_code, activity.provider, activity.game_category, activity.house_edge, activity.occurred_at
    )


def judge(bet: Recorded, grant: Grant, round_win: int, tables: Mapping[int, Table]) -> Judgement:
    """What a bet of a round that has ended is worth to the open grant that it was placed on.

    `round_win`: what the bet won, minor units; only the penalty for a stake above the largest bet looks at it.
    """
    activity, terms = bet.activity, grant.terms
    if activity.is_free_round:
        return Judgement("FREE_ROUND")
    if activity.amount == 0:
        return Judgement("NO_STAKE")
    if terms.coverage_limit is not None and activity.coverage is not None and activity.coverage > terms.coverage_limit:
        return Judgement("COVERAGE")
    if not is_eligible(terms, activity):
        return Judgement("GAME_NOT_ELIGIBLE")
    weight = weigh(grant, activity, tables)
    if weight.excluded:
        return Judgement("GAME_EXCLUDED", weight.rule)
    stake = activity.amount if terms.count_mode == "all_funds" else bet.bonus_part + bet.locked_part
    if stake == 0:
        return Judgement("NO_BONUS_FUNDS", weight.rule, weight.weight)
    verdict, penalty = "COUNTED", ZERO
    if terms.max_bet is not None and activity.amount > terms.max_bet:
        if terms.over_max_bet == "ignore":
            return Judgement("OVER_MAX_BET", weight.rule, weight.weight)
        if terms.over_max_bet == "cap":
            verdict, stake = "CAPPED_AT_MAX_BET", min(stake, terms.max_bet)
        elif terms.over_max_bet == "penalty":
            verdict = "PENALTY"
            penalty = _exact(
                from_minor(round_win, grant.currency) * (1 - Decimal(terms.max_bet) / Decimal(activity.amount)) * terms.penalty_factor
            )
        else:
            verdict = "FLAGGED"
    counted_stake = from_minor(stake, grant.currency)
    return Judgement(verdict, weight.rule, weight.weight, counted_stake, _exact(counted_stake * weight.weight), penalty)


def requirement(grant: Grant) -> Decimal:
    """What has to be wagered without penalties, by the terms and the grant's principal and deposit, units of the currency."""
    terms = grant.terms
    if terms.requirement is not None:
        return terms.requirement
    base = grant.principal + (grant.deposit if terms.base == "bonus_deposit" else 0)
    return _exact(from_minor(base, grant.currency) * terms.multiple)


def grow(grant: Grant, amount: int) -> None:
    """Free spins: what they win is the bonus, and sets what has to be wagered."""
    grant.principal = max(0, grant.principal + amount)
    grant.required = requirement(grant) + grant.penalties


def _exact(amount: Decimal) -> Decimal:
    return amount.quantize(SIX_PLACES, ROUND_HALF_EVEN)
