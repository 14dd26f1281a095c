"""Each gate by itself: who passes, who does not, and why."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from fraud.models import AbuseProfile
from players.models import Exclusion, Player
from rewards.granting.batch import Terms
from rewards.granting.pipeline import grant
from rewards.models import RewardDecision, RewardRule
from tests.factories import NOW
from tests.rewards.granting.factories import THRESHOLDS, by_hand, by_rule, make_approver, make_market, make_player, make_rule, make_staff

pytestmark = pytest.mark.django_db


def decide(player: Player, minor: int = 1000, version=None, **batch: Any) -> RewardDecision:
    result = grant(by_rule(version or make_rule(), [player], minor, **batch), thresholds=THRESHOLDS)
    return RewardDecision.objects.get(pk=result.decision_ids[0])


def verdict(decision: RewardDecision, gate: str) -> dict[str, Any]:
    return next(one for one in decision.verdicts if one["name"] == gate)


def exclude(player: Player, kind: str, starts: int, ends: int | None) -> None:
    end = None if ends is None else NOW + timedelta(hours=ends)
    Exclusion.objects.create(player=player, kind=kind, starts_at=NOW + timedelta(hours=starts), ends_at=end, recorded_at=NOW)


def abuse(player: Player, score: int, band: str) -> None:
    AbuseProfile.objects.create(player=player, score=score, band=band, scored_at=NOW)


# eligibility


@pytest.mark.parametrize("status", ["SUSPENDED", "CLOSED"])
def test_eligibility__player_not_active__refuses(status: str) -> None:
    decision = decide(make_player(status=status))
    assert (decision.status, decision.refused_by) == ("REFUSED", "eligibility")
    assert verdict(decision, "eligibility")["reason"] == "the player is not active"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"is_active": False}, "the rule is switched off"),
        ({"valid_from": NOW + timedelta(seconds=1)}, "the rule is outside its validity dates"),
        ({"valid_to": NOW}, "the rule is outside its validity dates"),
    ],
)
def test_eligibility__rule_not_in_force__refuses(fields: dict[str, Any], reason: str) -> None:
    version = make_rule()
    RewardRule.objects.filter(pk=version.rule_id).update(**fields)
    version.rule.refresh_from_db()
    assert verdict(decide(make_player(), version=version), "eligibility")["reason"] == reason


def test_eligibility__cooldown_not_over__refuses_until_the_hour() -> None:
    player, version = make_player(metrics={"as_of": NOW + timedelta(days=1)}), make_rule(cooldown_hours=30)
    assert decide(player, version=version).status == "AUTO_APPROVED"
    assert decide(player, version=version, at=NOW + timedelta(hours=29, minutes=59)).refused_by == "eligibility"
    assert decide(player, version=version, at=NOW + timedelta(days=2)).status == "AUTO_APPROVED"


@pytest.mark.parametrize(("hours", "status"), [(36, "AUTO_APPROVED"), (37, "REFUSED")])
def test_eligibility__age_of_figures__decides(hours: int, status: str) -> None:
    assert decide(make_player(metrics={"as_of": NOW - timedelta(hours=hours)})).status == status


def test_eligibility__no_figures__refuses_with_the_remedy() -> None:
    player = make_player()
    player.metrics.delete()
    assert "run the metrics job first" in verdict(decide(player), "eligibility")["reason"]


# protection


@pytest.mark.parametrize("kind", ["SELF_EXCLUSION", "COOL_OFF", "OPERATOR"])
def test_protection__exclusion_in_force__refuses(kind: str) -> None:
    player = make_player()
    exclude(player, kind, -1, None)
    decision = decide(player)
    assert decision.refused_by == "protection"
    assert verdict(decision, "protection")["inputs"]["exclusion"] == kind


@pytest.mark.parametrize(("starts", "ends"), [(-48, 0), (1, 48)])
def test_protection__exclusion_over_or_to_come__passes(starts: int, ends: int) -> None:
    player = make_player()
    exclude(player, "COOL_OFF", starts, ends)
    assert decide(player).status == "AUTO_APPROVED"


def test_protection__no_consent__refuses_where_the_market_asks_for_it() -> None:
    asks, free = make_market("DE"), make_market("GI", offers_need_marketing_consent=False)
    without = {"marketing_consent": False}
    assert decide(make_player(jurisdiction=asks, protection=without)).refused_by == "protection"
    assert decide(make_player(jurisdiction=free, protection=without)).status == "AUTO_APPROVED"


# jurisdiction


@pytest.mark.parametrize(
    ("rules", "player", "reason"),
    [
        ({"bonuses_allowed": False}, {}, "the market allows no bonuses"),
        ({"max_wagering_multiple": Decimal("4.99")}, {}, "the wagering requirement is above the market's limit"),
        ({"max_bonus_amount": Decimal("9.99")}, {}, "the amount is above the market's limit for a bonus"),
        ({"min_bonus_age": 24}, {"birth_date": date(2002, 3, 16)}, "the player is too young for a bonus in this market"),
        ({"min_bonus_age": 24}, {"birth_date": None}, "the birth date is unknown, and the market asks for more than the legal age"),
        ({"min_wagering_hours": 49}, {}, "the market asks for more time to meet the terms"),
        ({"no_offers_after_inactive_days": 0}, {"metrics": {"last_activity_on": date(2026, 3, 14)}}, "the market allows no offers"),
    ],
)
def test_jurisdiction__limit_broken__refuses(rules: dict[str, Any], player: dict[str, Any], reason: str) -> None:
    decision = decide(make_player(jurisdiction=make_market("XX", **rules), **player))
    assert decision.refused_by == "jurisdiction"
    assert verdict(decision, "jurisdiction")["reason"].startswith(reason)


def test_jurisdiction__exactly_at_every_limit__passes() -> None:
    rules = {"max_wagering_multiple": 5, "max_bonus_amount": 10, "min_bonus_age": 24, "min_wagering_hours": 48}
    market = make_market("XX", no_offers_after_inactive_days=1, **rules)
    player = make_player(jurisdiction=market, birth_date=date(2002, 3, 15), metrics={"last_activity_on": date(2026, 3, 14)})
    assert decide(player).status == "AUTO_APPROVED"


def test_jurisdiction__market_unknown__refuses_unless_other_markets_have_rules() -> None:
    player = make_player()
    Player.objects.filter(pk=player.pk).update(jurisdiction=None)
    assert decide(player, version=make_rule("one")).refused_by == "jurisdiction"
    make_market("*")
    assert decide(player, version=make_rule("two")).status == "AUTO_APPROVED"


def test_jurisdiction__loyalty_points__are_no_bonus() -> None:
    version = make_rule(config={"type": "LOYALTY_POINTS", "wagering_requirement": 0})
    assert decide(make_player(jurisdiction=make_market("BE", bonuses_allowed=False)), version=version).status == "AUTO_APPROVED"


# abuse


def test_abuse__reduced_band__halves_and_rounds_down() -> None:
    player = make_player()
    abuse(player, 40, "REDUCED")
    decision = decide(player, 1001)
    assert (decision.status, decision.proposed_minor, decision.amount_minor) == ("AUTO_APPROVED", 1001, 500)
    assert decision.wagering_required == Decimal("25.0000")
    assert verdict(decision, "abuse")["result"] == "ADJUST"


def test_abuse__one_minor_unit_reduced__leaves_nothing_and_refuses() -> None:
    player = make_player()
    abuse(player, 40, "REDUCED")
    assert decide(player, 1).refused_by == "abuse"


def test_abuse__wagering_band__raises_the_requirement_and_waits() -> None:
    make_approver()
    player = make_player()
    abuse(player, 70, "WAGERING")
    decision = decide(player)
    assert (decision.status, decision.amount_minor) == ("PENDING", 1000)
    assert (decision.wagering_multiple, decision.wagering_required) == (Decimal("5.00"), Decimal("75.0000"))


def test_abuse__raised_requirement_above_the_market__refuses() -> None:
    player = make_player(jurisdiction=make_market("GB", max_wagering_multiple=7))
    abuse(player, 70, "WAGERING")
    decision = decide(player)
    assert decision.refused_by == "abuse"
    assert verdict(decision, "jurisdiction")["result"] == "PASS"


def test_abuse__blocked_band__refuses() -> None:
    player = make_player()
    abuse(player, 90, "BLOCKED")
    assert decide(player).refused_by == "abuse"


# profit


def test_profit__reference_vector__break_even_is_refused() -> None:
    """Reward 100, expected wager 2,000 at 5 %: revenue 100, profit 0, ROI 0, which is not above 0."""
    make_approver()
    player = make_player(metrics={"total_wagered": Decimal(2000), "house_edge_contribution": Decimal(100)})
    decision = decide(player, 10_000)
    assert decision.refused_by == "profit"
    assert verdict(decision, "profit")["inputs"] == {
        "figure": "naive",
        "base_wager": "2000",
        "retention_multiplier": "1",
        "expected_wager": "2000",
        "house_edge": "0.05",
        "expected_revenue": "100",
        "reward_cost": "100",
        "expected_profit": "0",
        "roi_percent": "0",
        "threshold_percent": "0",
    }


def test_profit__one_cent_less__passes() -> None:
    make_approver()
    player = make_player(metrics={"total_wagered": Decimal(2000), "house_edge_contribution": Decimal(100)})
    assert decide(player, 9_999).status == "AUTO_APPROVED"


def test_profit__points_that_cost_nothing__pass() -> None:
    player = make_player(metrics={"total_wagered": Decimal(0), "house_edge_contribution": Decimal(0)})
    version = make_rule(config={"type": "LOYALTY_POINTS", "wagering_requirement": 0})
    assert verdict(decide(player, version=version), "profit")["reason"] == "the reward costs nothing"


# duplicates and stacking


def test_duplicates__other_version_of_the_rule_in_the_period__refuses() -> None:
    player = make_player()
    first = decide(player, version=make_rule())
    second = decide(player, version=make_rule())
    assert first.rule_version_id != second.rule_version_id
    assert second.refused_by == "duplicates"
    assert "version 1" in verdict(second, "duplicates")["reason"]


def test_stacking__same_group__the_higher_priority_wins_in_one_batch_and_later() -> None:
    player = make_player()
    low = make_rule("low", priority=1, stacking_group="cashback")
    high = make_rule("high", priority=9, stacking_group="cashback")
    batches = [by_rule(low, [player]), by_rule(high, [player])]
    both = type(batches[0])((*batches[0].proposals, *batches[1].proposals), NOW)
    grant(both, thresholds=THRESHOLDS)
    assert dict(RewardDecision.objects.values_list("rule__rule_id", "status")) == {"low": "REFUSED", "high": "AUTO_APPROVED"}
    third = make_rule("third", priority=99, stacking_group="cashback")
    decision = decide(player, version=third)
    assert decision.refused_by == "stacking"
    assert verdict(decision, "stacking")["inputs"]["taken_by"] == "high"


def test_stacking__better_rule_refused__the_next_one_is_given() -> None:
    player = make_player()
    low = make_rule("low", priority=1, stacking_group="g")
    high = make_rule("high", priority=9, stacking_group="g", config={"currency": "USD"})
    high_batch = by_rule(high, [player]).proposals[0]
    high_batch = type(high_batch)(high_batch.terms, high_batch.player_ids, high_batch.minor, version=high, currency="USD")
    grant(type(by_rule(low, []))((by_rule(low, [player]).proposals[0], high_batch), NOW), thresholds=THRESHOLDS)
    assert dict(RewardDecision.objects.values_list("rule__rule_id", "refused_by")) == {"low": "", "high": "eligibility"}


# caps


def test_caps__exactly_the_cap__passes_and_one_cent_more_does_not() -> None:
    make_approver(), make_approver()
    player = make_player(metrics={"total_wagered": Decimal(10**7), "house_edge_contribution": Decimal(5 * 10**5)})
    assert decide(player, 99_999, version=make_rule("a")).status == "PENDING"
    assert decide(player, 2, version=make_rule("b")).refused_by == "caps"
    assert decide(player, 1, version=make_rule("c")).status == "AUTO_APPROVED"


def test_caps__week__counts_waiting_rewards_of_seven_days() -> None:
    make_approver(), make_approver()
    player = make_player(
        metrics={"total_wagered": Decimal(10**7), "house_edge_contribution": Decimal(5 * 10**5), "as_of": NOW + timedelta(days=6)}
    )
    version = make_rule()
    for day in range(5):
        assert decide(player, 100_000, version=version, at=NOW + timedelta(days=day)).status == "PENDING"
    sixth = decide(player, 1, version=version, at=NOW + timedelta(days=6))
    assert verdict(sixth, "caps")["reason"] == "above the cap on what a player may get in seven days"
    assert verdict(sixth, "caps")["inputs"]["week"] == "5000"


# budgets


def test_budget__of_the_rule__is_given_in_order_and_never_overdrawn() -> None:
    players = [make_player() for _ in range(4)]
    version = make_rule(total_budget=Decimal(25))
    grant(by_rule(version, players), thresholds=THRESHOLDS)
    assert list(RewardDecision.objects.order_by("player_id").values_list("refused_by", flat=True)) == ["", "", "budget", "budget"]
    account = version.rule.budgets.get()
    assert (account.limit_minor, account.reserved_minor, account.spent_minor) == (2500, 2000, 0)


def test_budget__per_player__counts_earlier_periods() -> None:
    player, version = make_player(), make_rule(player_budget=Decimal(15))
    assert decide(player, version=version).status == "AUTO_APPROVED"
    later = decide(player, version=version, at=NOW + timedelta(days=1))
    assert verdict(later, "budget")["reason"] == "above what one player may get from this rule"
    assert verdict(later, "budget")["inputs"]["player_left"] == "5"


# several at once


def test_gates__refused_early__later_gates_say_that_they_did_not_look() -> None:
    decision = decide(make_player(status="CLOSED"))
    assert [one["result"] for one in decision.verdicts] == ["REFUSE", *["PASS"] * 5, *["SKIP"] * 4]


def test_gates__manual_grant__goes_through_the_same_gates() -> None:
    player, maker = make_player(), make_staff("grant_manual", is_superuser=True)
    exclude(player, "SELF_EXCLUSION", -1, None)
    result = grant(by_hand(player, 500, maker=maker, reason="sorry", terms=Terms("LP"), issue_now=True), thresholds=THRESHOLDS)
    assert (result.refused_by, result.issued) == ({"protection": 1}, 0)


# approval


@pytest.mark.parametrize(
    ("unit", "points", "people"), [("LP", 999, 0), ("LP", 1000, 1), ("LP", 9999, 1), ("LP", 10_000, 2), ("RP", 1000, 1)]
)
def test_approval__number_of_points__needs_people_whatever_they_cost(unit: str, points: int, people: int) -> None:
    make_approver(), make_approver()
    maker = make_staff("grant_manual")
    result = grant(
        by_hand(make_player(), points * 100, maker=maker, reason="sorry", terms=Terms(unit), issue_now=True), thresholds=THRESHOLDS
    )
    decision = RewardDecision.objects.get()
    assert (decision.approvals_needed, decision.status) == (people, "PENDING" if people else "ISSUED")
    assert result.issued == (0 if people else 1)
    if people:
        assert "number of points" in verdict(decision, "approval")["reason"]


def test_approval__as_many_tickets_as_points__are_weighed_by_their_cost_alone() -> None:
    thresholds = replace(THRESHOLDS, point_cost={**THRESHOLDS.point_cost, "TICKET": Decimal(0)})
    grant(by_hand(make_player(), 5000, maker=make_staff("grant_manual"), reason="race", terms=Terms("TICKET")), thresholds=thresholds)
    assert RewardDecision.objects.get().status == "AUTO_APPROVED"
