"""What people may decide, and what a refusal leaves untouched."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied

from fraud.models import AbuseProfile
from loyalty_site.common.models import AuditEvent
from rewards import services
from rewards.granting.approval import approve, lapse, recheck, reject
from rewards.granting.pipeline import grant
from rewards.granting.revocation import revoke
from rewards.models import DecisionEvent, RewardDecision
from tests.factories import NOW
from tests.rewards.granting.factories import THRESHOLDS, by_hand, by_rule, make_approver, make_player, make_rule, make_staff
from wallet.models import Entry

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)


def waiting(minor: int = 10_000, *, total_budget: Decimal | None = Decimal(10_000), **player) -> RewardDecision:
    rich = {"total_wagered": Decimal(10**7), "house_edge_contribution": Decimal(5 * 10**5)}
    result = grant(by_rule(make_rule(total_budget=total_budget), [make_player(metrics=rich, **player)], minor), thresholds=THRESHOLDS)
    decision = RewardDecision.objects.get(pk=result.decision_ids[0])
    assert decision.status == "PENDING"
    return decision


def outcome(answers) -> tuple[str, str]:
    (answer,) = answers
    return answer.outcome, answer.message


def budget_of(decision: RewardDecision) -> tuple[int, int]:
    account = decision.rule.budgets.get()
    return account.reserved_minor, account.spent_minor


def test_approve__second_person__approves_pays_and_turns_the_reservation_into_spending() -> None:
    approver = make_approver()
    decision = waiting()
    assert budget_of(decision) == (10_000, 0)
    assert outcome(approve([decision.pk], approver, LATER, "fine", thresholds=THRESHOLDS)) == ("APPROVED", "")
    assert services.issue([decision.pk], LATER).issued == 1
    decision.refresh_from_db()
    assert (decision.status, decision.first_approver, decision.issued_at) == ("ISSUED", approver, LATER)
    assert budget_of(decision) == (0, 10_000)
    audit = AuditEvent.objects.get(action="rewards.decision_approved")
    assert (audit.actor, audit.reason, audit.after["status"]) == (approver, "fine", "APPROVED")


def test_approve__without_permission__is_refused_and_nothing_moves() -> None:
    make_approver()
    decision = waiting()
    with pytest.raises(PermissionDenied):
        approve([decision.pk], make_staff("grant_manual"), LATER, thresholds=THRESHOLDS)
    decision.refresh_from_db()
    assert decision.status == "PENDING"


@pytest.mark.parametrize("is_superuser", [False, True])
def test_approve__maker__is_refused_even_as_superuser(is_superuser: bool) -> None:
    make_approver()
    maker = make_staff("approve_decision", "grant_manual", is_superuser=is_superuser)
    grant(by_hand(make_player(), 20_000, maker=maker, reason="goodwill"), thresholds=THRESHOLDS)
    decision = RewardDecision.objects.get()
    events, audits = DecisionEvent.objects.count(), AuditEvent.objects.count()
    for answer in (approve([decision.pk], maker, LATER, thresholds=THRESHOLDS), reject([decision.pk], maker, LATER, "no")):
        assert outcome(answer) == ("NOT_ALLOWED", "you proposed it; another person must decide")
    decision.refresh_from_db()
    assert (decision.status, decision.first_approver) == ("PENDING", None)
    assert (DecisionEvent.objects.count(), AuditEvent.objects.count(), Entry.objects.count()) == (events, audits, 0)


def test_approve__above_the_second_limit__takes_two_different_people() -> None:
    first, second = make_approver(), make_approver()
    decision = waiting(100_000)
    assert outcome(approve([decision.pk], first, LATER, thresholds=THRESHOLDS))[0] == "FIRST_APPROVAL"
    assert outcome(approve([decision.pk], first, LATER, thresholds=THRESHOLDS))[0] == "NOT_ALLOWED"
    decision.refresh_from_db()
    assert decision.status == "PENDING"
    assert outcome(approve([decision.pk], second, LATER, thresholds=THRESHOLDS))[0] == "APPROVED"
    decision.refresh_from_db()
    assert (decision.status, decision.first_approver, decision.second_approver) == ("APPROVED", first, second)


def test_approve__player_excluded_meanwhile__is_refused_and_frees_the_budget() -> None:
    approver = make_approver()
    decision = waiting()
    decision.player.protection.harm_flag = True
    decision.player.protection.save(update_fields=["harm_flag"])
    assert outcome(approve([decision.pk], approver, LATER, thresholds=THRESHOLDS)) == ("REFUSED", "strong indicators of gambling harm")
    decision.refresh_from_db()
    assert (decision.status, decision.refused_by, budget_of(decision)) == ("REFUSED", "protection", (0, 0))
    assert services.issue([decision.pk], LATER).issued == 0


def test_approve__terms_changed_meanwhile__comes_back_with_the_diff() -> None:
    approver = make_approver()
    decision = waiting(30_000)
    AbuseProfile.objects.create(player=decision.player, score=40, band="REDUCED", scored_at=NOW)
    result, message = outcome(approve([decision.pk], approver, LATER, thresholds=THRESHOLDS))
    assert result == "CHANGED"
    assert "amount_minor" in message
    decision.refresh_from_db()
    assert (decision.status, decision.amount_minor, decision.first_approver) == ("PENDING", 15_000, None)
    assert {"field": "amount_minor", "before": "30000", "after": "15000"} in decision.diff
    assert budget_of(decision) == (15_000, 0)
    assert outcome(approve([decision.pk], approver, LATER, thresholds=THRESHOLDS))[0] == "APPROVED"


def test_approve__checked_too_long_ago__comes_back_once() -> None:
    approver = make_approver()
    decision = waiting()
    type(decision.player.metrics).objects.update(as_of=NOW + timedelta(hours=24))
    late = NOW + timedelta(hours=24, seconds=1)
    assert outcome(approve([decision.pk], approver, late, thresholds=THRESHOLDS))[0] == "CHANGED"
    assert outcome(approve([decision.pk], approver, late, thresholds=THRESHOLDS))[0] == "APPROVED"


def test_approve__already_decided__is_said_so() -> None:
    first, second = make_approver(), make_approver()
    decision = waiting()
    approve([decision.pk], first, LATER, thresholds=THRESHOLDS)
    assert outcome(approve([decision.pk], second, LATER, thresholds=THRESHOLDS)) == ("NOT_ALLOWED", "it is approved already")


def test_reject__frees_the_budget_and_keeps_the_reason() -> None:
    approver = make_approver()
    decision = waiting()
    assert outcome(reject([decision.pk], approver, LATER, "not deserved"))[0] == "REJECTED"
    decision.refresh_from_db()
    assert (decision.status, budget_of(decision)) == ("REJECTED", (0, 0))
    assert decision.events.last().note == "not deserved"


def test_reject__without_a_reason__is_refused() -> None:
    approver = make_approver()
    decision = waiting()
    with pytest.raises(ValueError, match="reason"):
        reject([decision.pk], approver, LATER, " ")
    decision.refresh_from_db()
    assert decision.status == "PENDING"


def test_recheck__nothing_changed__says_so_and_refreshes_the_time() -> None:
    make_approver()
    decision = waiting()
    assert outcome(recheck([decision.pk], LATER, thresholds=THRESHOLDS))[0] == "UNCHANGED"
    decision.refresh_from_db()
    assert (decision.status, decision.checked_at, budget_of(decision)) == ("PENDING", LATER, (10_000, 0))


def test_lapse__after_the_hours__ends_the_wait_and_frees_the_budget() -> None:
    make_approver()
    decision = waiting()
    assert lapse(NOW + timedelta(hours=71, minutes=59), thresholds=THRESHOLDS) == 0
    assert lapse(NOW + timedelta(hours=72), thresholds=THRESHOLDS) == 1
    decision.refresh_from_db()
    assert (decision.status, budget_of(decision)) == ("LAPSED", (0, 0))


def test_issue__excluded_after_approval__is_stopped_at_the_till() -> None:
    approver = make_approver()
    decision = waiting()
    approve([decision.pk], approver, LATER, thresholds=THRESHOLDS)
    decision.player.protection.harm_flag = True
    decision.player.protection.save(update_fields=["harm_flag"])
    result = services.issue([decision.pk], LATER)
    decision.refresh_from_db()
    assert (result.issued, result.refused, decision.status, budget_of(decision)) == (0, 1, "REFUSED", (0, 0))
    assert not Entry.objects.exists()


def test_revoke__issued_reward__is_reversed_and_the_budget_gets_it_back() -> None:
    approver, boss = make_approver(), make_staff("revoke_decision")
    decision = waiting()
    approve([decision.pk], approver, LATER, thresholds=THRESHOLDS)
    services.issue([decision.pk], LATER)
    assert outcome(revoke([decision.pk], boss, LATER, "wrong player"))[0] == "REVOKED"
    decision.refresh_from_db()
    assert (decision.status, budget_of(decision)) == ("REVOKED", (0, 0))
    assert list(Entry.objects.order_by("pk").values_list("amount", flat=True)) == [10_000, -10_000]


def test_revoke__player_has_used_it__is_refused_and_nothing_moves() -> None:
    from wallet.services import Source, spend

    boss = make_staff("revoke_decision")
    player = make_player()
    grant(by_rule(make_rule(), [player], issue_now=True), thresholds=THRESHOLDS)
    spend(player_id=player.pk, unit="BONUS", currency="EUR", amount=Decimal(1), source=Source("test", "1"), at=NOW, reason="bet")
    decision = RewardDecision.objects.get()
    result, message = outcome(revoke([decision.pk], boss, LATER, "wrong player"))
    assert result == "NOT_ALLOWED"
    assert "9.00" in message
    decision.refresh_from_db()
    assert (decision.status, Entry.objects.count()) == ("ISSUED", 2)


def test_preview__draft_rule__tells_every_verdict_and_writes_nothing() -> None:
    player = make_player()
    version = make_rule(active=False, config={"formula": "total_wagered * 0.0001"}, total_budget=Decimal(5))
    preview = services.preview_gates(version, player.pk, NOW)
    assert (preview.proposed, preview.status, preview.refused_by) == (Decimal("10.00"), "REFUSED", "budget")
    assert len(preview.verdicts) == 10
    assert not RewardDecision.objects.exists()
    assert not version.rule.budgets.exists()
