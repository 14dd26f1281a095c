"""The gates that look at each proposal by itself. Each reads columns and returns an `Outcome` that also says why a row passed.

The gates that need to know what else a player gets (duplicates, stacking, caps, budgets) are in `allocation.py`.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from players.models import JurisdictionPack
from rewards.granting.batch import GrantBatch
from rewards.granting.columns import PlayerColumns, days_known, object_array, observed_house_edge
from rewards.granting.history import History
from rewards.granting.rows import Rows
from rewards.granting.settings import Thresholds
from rewards.granting.verdicts import Outcome
from rewards.profit import expected_value, monthly_base_wager, roi_above

# Age that every operator checks when an account is opened; a market may ask for more before it allows a bonus.
_AGE_CHECKED_AT_REGISTRATION = 18
_POINTS = ("LP", "RP")


@dataclass
class Work:
    """A batch under inspection."""

    batch: GrantBatch
    rows: Rows
    players: PlayerColumns
    thresholds: Thresholds
    history: History
    approvers: frozenset[int]
    assume_active: bool = False
    """True in the dry run of a rule that is not switched on yet."""

    @property
    def at(self) -> datetime:
        return self.batch.at

    def of_player(self, name: str) -> npt.NDArray[np.object_]:
        return self.players[name][self.rows.player]

    def outcome(self, name: str, version: int, passed: str) -> Outcome:
        return Outcome(name, version, len(self.rows), passed)

    @property
    def packs(self) -> npt.NDArray[np.object_]:
        """The rules in force in each row's market; None where there are none."""
        return self.players.packs[self.rows.player]


def _mask(values: Any) -> npt.NDArray[np.bool_]:
    return np.fromiter((bool(one) for one in values), dtype=bool)


def eligibility(work: Work) -> Outcome:
    """Active player, rule in force and of the player's currency, cooldown over, figures fresh."""
    out = work.outcome("eligibility", 1, "active player, rule in force, figures fresh")
    rows, at = work.rows, work.at
    status = work.players.protection.status[rows.player]
    out.refuse(status != "ACTIVE", "the player is not active")
    rules = rows.each(lambda origin: origin.rule)
    if not work.assume_active:
        out.refuse(_mask(rule is not None and not rule.is_active for rule in rules), "the rule is switched off")
        out.refuse(
            _mask(
                rule is not None and bool((rule.valid_from and at < rule.valid_from) or (rule.valid_to and at >= rule.valid_to))
                for rule in rules
            ),
            "the rule is outside its validity dates",
        )
    wanted = rows.each(lambda origin: origin.proposals.currency)
    currency = work.of_player("currency")
    out.refuse((wanted != "") & (wanted != currency), "the rule is for players of another currency")
    last = work.history.last_reward(rows)
    cooldown = rows.each(lambda origin: origin.proposals.version.cooldown_hours if origin.proposals.version else 0)
    out.refuse(
        _mask(
            before is not None and bool(hours) and before + timedelta(hours=hours) > at
            for before, hours in zip(last, cooldown, strict=True)
        ),
        "the cooldown since the last reward of this rule is not over",
    )
    metrics_at = work.of_player("metrics_at")
    oldest = at - timedelta(hours=work.thresholds.metrics_max_age_hours)
    out.refuse(_mask(one is None for one in metrics_at), "the player has no figures yet; run the metrics job first")
    out.refuse(_mask(one is not None and one < oldest for one in metrics_at), "the player's figures are too old; run the metrics job first")
    out.inputs = {
        "status": status,
        "currency": currency,
        "cooldown_hours": cooldown,
        "last_reward_at": last,
        "figures_as_of": metrics_at,
    }
    return out


def protection(work: Work) -> Outcome:
    """Exclusion, cool-off and harm stop everything; marketing consent is needed where the market says so."""
    out = work.outcome("protection", 1, "no exclusion, no harm flag, consent as needed")
    protected, player = work.players.protection, work.rows.player
    kind, harm, consent = protected.exclusion_kind[player], protected.harm_flag[player], protected.marketing_consent[player]
    texts = {"SELF_EXCLUSION": "the player is self-excluded", "COOL_OFF": "the player is in a cool-off"}
    texts["OPERATOR"] = "the player is excluded by the operator"
    for name, text in texts.items():
        out.refuse(kind == name, text)
    out.refuse(harm, "strong indicators of gambling harm")
    needs = _mask(pack is not None and pack.offers_need_marketing_consent for pack in work.packs) & (work.rows.unit != "LP")
    out.refuse(needs & ~consent, "the market asks for marketing consent, and the player has not given it")
    out.inputs = {
        "exclusion": kind,
        "harm_flag": harm.tolist(),
        "marketing_consent": consent.tolist(),
        "consent_needed": needs.tolist(),
    }
    return out


def jurisdiction(work: Work) -> Outcome:
    """What the rules of the player's market, in force on the day, allow. Loyalty points are no bonus and pass."""
    out = work.outcome("jurisdiction", 1, "allowed by the rules of the market")
    rows, packs = work.rows, work.packs
    offer = rows.unit != "LP"
    out.note(~offer, "loyalty points are outside the rules on bonuses")
    known = _mask(pack is not None for pack in packs)
    out.refuse(offer & ~known, "no market rules are in force for this player; set the player's market, or rules for the market *")

    def where(column: npt.NDArray[np.object_], test: Any) -> npt.NDArray[np.bool_]:
        return offer & _mask(pack is not None and bool(test(pack, value)) for pack, value in zip(packs, column, strict=True))

    anything = rows.unit
    out.refuse(where(anything, lambda pack, _: not pack.bonuses_allowed), "the market allows no bonuses")
    out.refuse(
        where(rows.multiple, lambda pack, multiple: pack.max_wagering_multiple is not None and multiple > pack.max_wagering_multiple),
        "the wagering requirement is above the market's limit",
    )
    amounts = object_array(rows.decimals(rows.proposed))
    amounts[rows.unit != "BONUS"] = Decimal(0)
    out.refuse(
        where(amounts, lambda pack, amount: pack.max_bonus_amount is not None and amount > pack.max_bonus_amount),
        "the amount is above the market's limit for a bonus",
    )
    ages = object_array([age if age >= 0 else None for age in work.players.protection.age[rows.player].tolist()])
    out.refuse(
        where(ages, lambda pack, age: age is not None and age < pack.min_bonus_age), "the player is too young for a bonus in this market"
    )
    out.refuse(
        where(ages, lambda pack, age: age is None and pack.min_bonus_age > _AGE_CHECKED_AT_REGISTRATION),
        "the birth date is unknown, and the market asks for more than the legal age",
    )
    hours = rows.each(lambda origin: origin.proposals.terms.expiry_hours)
    out.refuse(
        where(hours, lambda pack, given: pack.min_wagering_hours is not None and given is not None and given < pack.min_wagering_hours),
        "the market asks for more time to meet the terms",
    )
    made_for = rows.each(lambda origin: origin.proposals.terms.markets)
    out.refuse(
        where(made_for, lambda pack, markets: markets and pack.jurisdiction_id not in markets), "the bonus is not offered in this market"
    )
    products = rows.each(lambda origin: origin.proposals.terms.products)
    out.refuse(
        where(products, lambda pack, joined: pack.one_product_per_bonus and len(joined) > 1), "the market asks for one product per bonus"
    )
    idle = object_array([_days_since(day, work.at) for day in work.of_player("last_activity_on")])
    out.refuse(where(idle, _too_idle), "the market allows no offers to players who stopped playing")
    out.inputs = {
        "market": [pack.jurisdiction.code if pack else None for pack in packs],
        "rules_from": [pack.valid_from if pack else None for pack in packs],
        "wagering_multiple": rows.multiple.copy(),
        "wagering_limit": [pack.max_wagering_multiple if pack else None for pack in packs],
        "amount_limit": [pack.max_bonus_amount if pack else None for pack in packs],
        "age_limit": [pack.min_bonus_age if pack else None for pack in packs],
        "hours_limit": [pack.min_wagering_hours if pack else None for pack in packs],
        "idle_limit": [pack.no_offers_after_inactive_days if pack else None for pack in packs],
        "age": ages,
        "expiry_hours": hours,
        "idle_days": idle,
    }
    return out


def _too_idle(pack: JurisdictionPack, idle: int | None) -> bool:
    return pack.no_offers_after_inactive_days is not None and idle is not None and idle > pack.no_offers_after_inactive_days


def _days_since(day: date | None, at: datetime) -> int | None:
    return None if day is None else (at.astimezone(UTC).date() - day).days


def abuse(work: Work) -> Outcome:
    """The band of the abuse score: fewer rewards, more wagering (as far as the market allows), or none. Changes rows in place."""
    out = work.outcome("abuse", 1, "no abuse band")
    rows, thresholds = work.rows, work.thresholds
    band, score = work.of_player("abuse_band"), work.of_player("abuse_score")
    before = rows.multiple.copy()
    out.refuse(band == "BLOCKED", "the abuse score blocks rewards")
    reduced = band == "REDUCED"
    factor = thresholds.reduced_multiplier
    rows.amount[reduced] = [int((amount * factor).to_integral_value(ROUND_DOWN)) for amount in rows.amount[reduced].tolist()]
    out.refuse(reduced & (rows.amount <= 0), "nothing is left after the reduction")
    out.adjust(reduced, f"reduced to {factor.normalize():f} of the amount")
    more = (band == "WAGERING") & (rows.unit == "BONUS")
    # a bonus without a requirement gets one: "more wagering" must bite
    raised = [max(one, Decimal(1)) * thresholds.wagering_multiplier for one in rows.multiple[more]]
    rows.multiple[more] = object_array([one.quantize(Decimal("0.01")) for one in raised])
    limits = [pack.max_wagering_multiple if pack else None for pack in work.packs]
    above = _mask(limit is not None and multiple > limit for limit, multiple in zip(limits, rows.multiple, strict=True))
    out.refuse(more & above, "the raised wagering requirement would be above the market's limit")
    out.adjust(more, "wagering requirement raised")
    out.note((band == "WAGERING") & (rows.unit != "BONUS"), "more wagering does not apply to points and tickets")
    out.inputs = {
        "score": score,
        "band": band,
        "amount_before": rows.decimals(rows.proposed),
        "amount": rows.decimals(rows.amount),
        "multiple_before": before,
        "multiple": rows.multiple.copy(),
    }
    return out


def reward_costs(work: Work) -> list[Decimal]:
    """Naive cost of each row: face value of bonus money, cost per point of the rest."""
    cost = work.thresholds.point_cost
    amounts = work.rows.decimals(work.rows.amount)
    return [amount if unit == "BONUS" else amount * cost[unit] for amount, unit in zip(amounts, work.rows.unit, strict=True)]


def profit(work: Work) -> Outcome:
    """The reference (naive) figures: ROI must be above the threshold. See `rewards.profit`."""
    out = work.outcome("profit", 1, "naive ROI is above the threshold")
    rows, players, thresholds = work.rows, work.players, work.thresholds
    base = [monthly_base_wager(wagered, days_known(players, row)) for row, wagered in enumerate(players["total_wagered"])]
    edge = [observed_house_edge(players, row, thresholds.default_house_edge) for row in range(len(players.ids))]
    retention = [thresholds.retention[segment] for segment in players["segment"]]
    figures = expected_value(
        [base[row] for row in rows.player], [retention[row] for row in rows.player], [edge[row] for row in rows.player], reward_costs(work)
    )
    above = _mask(roi_above(figures, thresholds.min_roi_percent))
    out.note(_mask(cost == 0 for cost in figures.reward_cost), "the reward costs nothing")
    out.refuse(~above, "naive ROI is not above the threshold")
    out.inputs = {
        "figure": ["naive"] * len(rows),
        "base_wager": figures.base_wager,
        "retention_multiplier": figures.retention_multiplier,
        "expected_wager": figures.expected_wager,
        "house_edge": figures.house_edge,
        "expected_revenue": figures.expected_revenue,
        "reward_cost": figures.reward_cost,
        "expected_profit": figures.expected_profit,
        "roi_percent": figures.roi_percent,
        "threshold_percent": [thresholds.min_roi_percent] * len(rows),
    }
    return out


def _points(rows: Rows) -> list[Decimal]:
    """How many points each row gives; none for money and tickets."""
    return [amount if unit in _POINTS else Decimal(0) for amount, unit in zip(rows.decimals(rows.amount), rows.unit, strict=True)]


def approval(work: Work) -> tuple[Outcome, npt.NDArray[np.int64]]:
    """How many people must approve (0, 1 or 2), and whether that many other than the maker could. Returns (outcome, people needed).

    Points count by their cost and by their number: points that cost nothing still move a player up the tiers.
    """
    out = work.outcome("approval", 1, "below the approval limits: approved automatically")
    thresholds = work.thresholds
    costs, scores = reward_costs(work), work.of_player("abuse_score")
    by_amount = _mask(cost >= thresholds.approval_from for cost in costs)
    by_score = _mask(score >= thresholds.approval_from_abuse_score for score in scores)
    twice = _mask(cost >= thresholds.approval_second_from for cost in costs)
    points = _points(work.rows)
    by_points = _mask(one >= thresholds.approval_from_points for one in points)
    twice_by_points = _mask(one >= thresholds.approval_second_from_points for one in points)
    needed = np.where(twice | twice_by_points, 2, np.where(by_amount | by_score | by_points, 1, 0)).astype(np.int64)
    maker = work.batch.maker.pk if work.batch.maker else None
    able = len(work.approvers - {maker})
    out.note(by_score, "waits for approval: abuse score")
    out.note(by_points, "waits for approval: number of points")
    out.note(by_amount, "waits for approval: amount")
    out.note(twice_by_points, "waits for two approvals: number of points")
    out.note(twice, "waits for two approvals: amount")
    out.refuse(needed > able, "nobody could approve it: too few people other than the maker hold the permission")
    out.inputs = {
        "value": costs,
        "approval_from": [thresholds.approval_from] * len(costs),
        "second_from": [thresholds.approval_second_from] * len(costs),
        "points": [one if unit in _POINTS else None for one, unit in zip(points, work.rows.unit, strict=True)],
        "points_from": [thresholds.approval_from_points if unit in _POINTS else None for unit in work.rows.unit],
        "score": scores,
        "people_needed": needed.tolist(),
        "people_able": [able] * len(costs),
    }
    return out, needed
