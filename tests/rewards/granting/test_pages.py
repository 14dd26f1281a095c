"""The pages staff decide on: what they show, and what they refuse."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import AuditEvent
from rewards.granting.pipeline import grant
from rewards.models import BudgetAccount, RewardDecision
from tests.rewards.granting.factories import THRESHOLDS, by_hand, by_rule, make_player, make_rule, make_staff

pytestmark = pytest.mark.django_db
INBOX = "admin:rewards_approvals"


def login(*permissions: str) -> tuple[Client, User]:
    user = make_staff(*permissions)
    client = Client()
    client.force_login(user)
    return client, user


def waiting(maker: User | None = None) -> RewardDecision:
    now = utc_now()
    player = make_player(metrics={"as_of": now, "total_wagered": Decimal(10**6), "house_edge_contribution": Decimal(5 * 10**4)})
    batch = by_hand(player, 20_000, at=now, maker=maker, reason="goodwill") if maker else by_rule(make_rule(), [player], 20_000, at=now)
    decision = RewardDecision.objects.get(pk=grant(batch, thresholds=THRESHOLDS).decision_ids[0])
    assert decision.status == "PENDING"
    return decision


def test_inbox__without_permission__is_forbidden() -> None:
    client, _ = login("view_rewarddecision")
    assert client.get(reverse(INBOX)).status_code == 403
    assert client.post(reverse(INBOX), {"decision": "approve", "ids": "1", "note": "fine"}).status_code == 403


def test_inbox__shows_totals_and_groups_and_approves_what_is_ticked() -> None:
    client, user = login("approve_decision")
    decision = waiting()
    page = client.get(reverse(INBOX)).content.decode()
    assert "200.00 EUR" in page
    assert "Cashback" in page
    client.post(reverse(INBOX), {"decision": "approve", "ids": decision.pk, "note": "looked at it"})
    decision.refresh_from_db()
    assert (decision.status, decision.first_approver) == ("ISSUED", user)
    assert AuditEvent.objects.get(action="rewards.decision_approved").reason == "looked at it"


def test_inbox__without_a_reason__decides_nothing() -> None:
    client, _ = login("approve_decision")
    decision = waiting()
    client.post(reverse(INBOX), {"decision": "reject", "ids": decision.pk, "note": ""})
    decision.refresh_from_db()
    assert decision.status == "PENDING"


def test_inbox__own_proposal__cannot_be_ticked_and_a_forged_post_is_refused() -> None:
    login("approve_decision")
    client, maker = login("approve_decision", "grant_manual")
    decision = waiting(maker)
    assert "You proposed it; another person decides." in client.get(reverse(INBOX)).content.decode()
    client.post(reverse(INBOX), {"decision": "approve", "ids": decision.pk, "note": "mine"})
    decision.refresh_from_db()
    assert decision.status == "PENDING"


def test_inbox__all_that_match__rejects_only_those() -> None:
    client, _ = login("approve_decision")
    first, second = waiting(), waiting()
    first.player.segment = "VIP"
    first.player.save(update_fields=["segment"])
    client.post(reverse(INBOX) + "?segment=VIP", {"decision": "reject", "all": "1", "note": "not now"})
    assert [RewardDecision.objects.get(pk=one.pk).status for one in (first, second)] == ["REJECTED", "PENDING"]


def test_decision_page__shows_each_gate_with_reason_and_the_timeline() -> None:
    client, _ = login("approve_decision", "view_rewarddecision")
    decision = waiting()
    page = client.get(reverse("admin:rewards_rewarddecision_change", args=[decision.pk])).content.decode()
    for text in ("Eligibility", "Jurisdiction", "Naive ROI is above the threshold", "Waits for approval: amount", "The gates looked at it"):
        assert text in page


@pytest.mark.parametrize("name", ["rewarddecision", "budgetaccount"])
def test_lists__with_view_permission__open(name: str) -> None:
    client, _ = login("approve_decision", f"view_{name}")
    grant(by_rule(make_rule(total_budget=Decimal(50)), [make_player()]), thresholds=THRESHOLDS)
    assert client.get(reverse(f"admin:rewards_{name}_changelist")).status_code == 200


def test_budget__limit_below_what_is_used__is_refused_with_the_figure() -> None:
    client, user = login("view_budgetaccount", "change_budgetaccount")
    now = utc_now()
    kept = {"limit_minor": 10_000, "spent_minor": 4_000, "created_at": now, "updated_at": now}
    budget = BudgetAccount.objects.create(name="All", unit="BONUS", currency="EUR", **kept)
    url = reverse("admin:rewards_budgetaccount_change", args=[budget.pk])
    page = client.post(url, {"name": "All", "limit": "39.99", "reason": "less money"}).content.decode()
    assert "40.00 EUR of it is given or held already" in page
    client.post(url, {"name": "All", "limit": "40", "reason": "less money"})
    budget.refresh_from_db()
    assert (budget.limit_minor, budget.spent_minor) == (4_000, 4_000)
    audit = AuditEvent.objects.get(action="rewards.budget_changed")
    assert (audit.before["limit"], audit.after["limit"], audit.actor) == ("100.00", "40.00", user)


def test_permissions__of_the_slice__exist() -> None:
    wanted = {"approve_decision", "revoke_decision", "grant_manual"}
    assert wanted <= set(Permission.objects.filter(content_type__app_label="rewards").values_list("codename", flat=True))
