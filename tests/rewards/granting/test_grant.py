"""The pipeline as a whole: what is written, what is paid, what a repeat does."""

from datetime import timedelta
from decimal import Decimal

import pytest

from loyalty_site.common import jobs
from players.models import Exclusion
from rewards.granting.pipeline import KeyConflict, grant
from rewards.models import DecisionEvent, RewardDecision
from tests.factories import NOW
from tests.rewards.granting.factories import THRESHOLDS, by_hand, by_rule, make_approver, make_player, make_rule, make_staff
from wallet.models import BonusGrant, Entry
from wallet.services import balances

pytestmark = pytest.mark.django_db

GATES = ["eligibility", "protection", "jurisdiction", "abuse", "profit", "approval", "duplicates", "stacking", "caps", "budget"]


def bonus(player) -> Decimal:
    return next(one.amount for one in balances(player.pk) if one.unit == "BONUS")


def test_grant__small_reward__is_approved_and_paid_with_its_terms() -> None:
    player = make_player()
    result = grant(by_rule(make_rule(), [player], issue_now=True), thresholds=THRESHOLDS)
    assert (result.proposed, result.auto_approved, result.issued, result.refused) == (1, 1, 1, 0)
    decision = RewardDecision.objects.get()
    assert (decision.status, decision.amount, decision.period) == ("ISSUED", Decimal("10.00"), "2026-03-15")
    assert decision.wagering_required == Decimal("50.0000")
    assert bonus(player) == Decimal("10.00")
    paid = BonusGrant.objects.get()
    assert (paid.wagering_required, paid.expires_at) == (Decimal(50), NOW + timedelta(hours=48))
    assert Entry.objects.get().source_ref == str(decision.pk)


def test_grant__any_decision__stores_a_verdict_of_every_gate() -> None:
    grant(by_rule(make_rule(), [make_player()]), thresholds=THRESHOLDS)
    verdicts = RewardDecision.objects.get().verdicts
    assert [one["name"] for one in verdicts] == GATES
    assert {one["result"] for one in verdicts} == {"PASS"}
    assert all(set(one) == {"name", "version", "inputs", "result", "reason"} and one["reason"] for one in verdicts)


def test_grant__repeated__changes_nothing() -> None:
    player, version = make_player(), make_rule()
    grant(by_rule(version, [player], issue_now=True), thresholds=THRESHOLDS)
    events = DecisionEvent.objects.count()
    again = grant(by_rule(version, [player], issue_now=True), thresholds=THRESHOLDS)
    assert (again.proposed, again.duplicates, again.issued) == (1, 1, 0)
    assert (RewardDecision.objects.count(), DecisionEvent.objects.count(), Entry.objects.count()) == (1, events, 1)
    assert bonus(player) == Decimal("10.00")


def test_grant__next_day__is_a_new_period() -> None:
    player, version = make_player(), make_rule()
    grant(by_rule(version, [player]), thresholds=THRESHOLDS)
    grant(by_rule(version, [player], at=NOW + timedelta(days=1)), thresholds=THRESHOLDS)
    assert set(RewardDecision.objects.values_list("period", flat=True)) == {"2026-03-15", "2026-03-16"}


def test_grant__refused_earlier_in_the_period__is_looked_at_again() -> None:
    player, version = make_player(protection={"harm_flag": True}), make_rule(period="MONTH")
    first = grant(by_rule(version, [player], issue_now=True), thresholds=THRESHOLDS)
    assert first.refused_by == {"protection": 1}
    player.protection.harm_flag = False
    player.protection.save(update_fields=["harm_flag"])
    grant(by_rule(version, [player], at=NOW + timedelta(hours=24), issue_now=True), thresholds=THRESHOLDS)
    decision = RewardDecision.objects.get()
    assert (decision.status, decision.refused_by) == ("ISSUED", "")
    assert list(decision.events.values_list("from_status", "to_status")) == [
        ("", "REFUSED"),
        ("REFUSED", "AUTO_APPROVED"),
        ("AUTO_APPROVED", "ISSUED"),
    ]


def test_grant__refused_again_by_the_same_gate__adds_no_event() -> None:
    player, version = make_player(protection={"harm_flag": True}), make_rule(period="MONTH")
    grant(by_rule(version, [player]), thresholds=THRESHOLDS)
    grant(by_rule(version, [player], at=NOW + timedelta(hours=24)), thresholds=THRESHOLDS)
    decision = RewardDecision.objects.get()
    assert decision.events.count() == 1
    assert decision.checked_at == NOW + timedelta(hours=24)


def test_grant__large_reward__waits_and_moves_no_money() -> None:
    make_approver()
    player = make_player()
    result = grant(by_rule(make_rule(), [player], 10_000, issue_now=True), thresholds=THRESHOLDS)
    assert (result.pending, result.issued) == (1, 0)
    assert RewardDecision.objects.get().status == "PENDING"
    assert not Entry.objects.exists()


def test_grant__large_reward_nobody_could_approve__is_refused() -> None:
    result = grant(by_rule(make_rule(), [make_player()], 10_000), thresholds=THRESHOLDS)
    assert result.refused_by == {"approval": 1}


def test_grant__maker_is_the_only_approver__is_refused() -> None:
    maker = make_staff("approve_decision", "grant_manual", is_superuser=True)
    result = grant(by_hand(make_player(), 10_000, maker=maker, reason="goodwill"), thresholds=THRESHOLDS)
    assert result.refused_by == {"approval": 1}


def test_grant__same_key_other_content__is_refused_and_writes_nothing() -> None:
    player, maker = make_player(), make_staff("grant_manual")
    grant(by_hand(player, 500, maker=maker, reason="goodwill", issue_now=True), thresholds=THRESHOLDS)
    with pytest.raises(KeyConflict, match="other content"):
        grant(by_hand(player, 600, maker=maker, reason="goodwill", issue_now=True), thresholds=THRESHOLDS)
    assert RewardDecision.objects.count() == 1
    assert bonus(player) == Decimal("5.00")


def test_grant__points_and_tickets__are_paid_in_their_units() -> None:
    player = make_player()
    for kind, minor in (("LOYALTY_POINTS", 2500), ("REWARD_POINTS", 150), ("TICKETS", 3)):
        version = make_rule(kind.lower(), config={"type": kind, "wagering_requirement": 0, "expiry_hours": None})
        grant(by_rule(version, [player], minor, issue_now=True), thresholds=THRESHOLDS)
    held = {one.unit: one.amount for one in balances(player.pk)}
    assert (held["LP"], held["RP"], held["TICKET"]) == (Decimal("25.00"), Decimal("1.50"), Decimal(3))


@pytest.mark.parametrize(
    ("terms", "minor", "message"),
    [
        ({"expiry_hours": None}, 1000, "expiry_hours"),
        ({}, 0, "above zero"),
    ],
)
def test_grant__impossible_terms__are_refused_before_anything_is_written(terms, minor, message) -> None:
    with pytest.raises(ValueError, match=message):
        grant(by_rule(make_rule(config=terms), [make_player()], minor), thresholds=THRESHOLDS)
    assert not RewardDecision.objects.exists()


def test_grant__rule_of_points_with_bonus_terms__pays_the_points_without_terms() -> None:
    """A rule stored before such terms were refused must not stop a night."""
    player = make_player()
    grant(by_rule(make_rule(config={"type": "TICKETS"}), [player], 1, issue_now=True), thresholds=THRESHOLDS)
    decision = RewardDecision.objects.get()
    assert (decision.status, decision.wagering_multiple, decision.expiry_hours) == ("ISSUED", 0, None)


def test_issue_job__player_excluded_after_the_instant_of_the_run__gets_nothing() -> None:
    """The run computes for its own instant, but money moves now."""
    player = make_player()
    grant(by_rule(make_rule(), [player], 250), thresholds=THRESHOLDS)
    Exclusion.objects.create(player=player, kind="SELF_EXCLUSION", starts_at=NOW + timedelta(hours=6), recorded_at=NOW)
    run = jobs.execute(jobs.create_run("rewards.issue", as_of=NOW))
    assert run.status == "SUCCEEDED"
    assert RewardDecision.objects.get().status == "REFUSED"
    assert not Entry.objects.exists()
