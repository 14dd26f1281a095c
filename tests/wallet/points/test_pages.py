"""Lots and policies as staff and integrators see them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty_site.common.models import AuditEvent
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory, UserFactory
from tests.wallet.points.factories import earn, on, policy, spend
from wallet import services
from wallet.admin.points_policy import example, summary
from wallet.models import Lot, PointsPolicy

pytestmark = pytest.mark.django_db
EVERYBODY = {"lower_id": 0, "upper_id": 2**62}


def client_with(*permissions: str) -> Client:
    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="wallet", codename__in=permissions))
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


@pytest.fixture
def expired() -> Lot:
    """A lot of which 3 were spent and 7 ran out yesterday."""
    now = timezone.now()
    policy(expiry="days", period=5)
    player = PlayerFactory(external_id="P-lots")
    earn(player.pk, "10", now - timedelta(days=7))
    spend(player.pk, "3", now - timedelta(days=6))
    services.expire_lots(at=now - timedelta(days=1), **EVERYBODY)
    return Lot.objects.get()


def test_lot_pages__list_filters_and_uses__are_shown(expired: Lot) -> None:
    client = client_with("view_lot")
    url = reverse("admin:wallet_lot_changelist")
    assert b"P-lots" in client.get(url, {"q": "P-lots", "unit": "RP", "status__in": "EXPIRED"}).content
    assert b"P-lots" not in client.get(url, {"unit": "LP"}).content
    for ends in ("1", "7", "30", "never"):
        assert client.get(url, {"ends": ends}).status_code == 200
    page = client.get(reverse("admin:wallet_lot_change", args=[expired.pk])).content.decode()
    assert "points ran out" in page
    assert "mug" in page
    assert "Give the points back" not in page


def test_reinstate__from_the_page__makes_a_lot_and_an_audit_row(expired: Lot) -> None:
    client = client_with("view_lot", "reinstate_lot")
    page = reverse("admin:wallet_lot_change", args=[expired.pk])
    assert "Give the points back" in client.get(page).content.decode()
    url = reverse("admin:wallet_lot_reinstate", args=[expired.pk])
    client.post(url, {"reason": "the site was down", "_form_submitted": "True"})
    assert Lot.objects.get(restores=expired).remaining == 700
    assert AuditEvent.objects.filter(action="wallet.lot_reinstated").count() == 1
    assert "Give the points back" not in client.get(page).content.decode()


def test_reinstate__without_the_permission__is_refused(expired: Lot) -> None:
    url = reverse("admin:wallet_lot_reinstate", args=[expired.pk])
    client_with("view_lot").post(url, {"reason": "the site was down", "_form_submitted": "True"})
    assert Lot.objects.count() == 1


def test_account_page__points__shows_lots_and_what_is_owed() -> None:
    player = PlayerFactory()
    entry = earn(player.pk, "10", on(1, 1))
    spend(player.pk, "10", on(1, 2))
    services.reverse_entry(entry.pk, source=services.Source("t", "1"), at=on(1, 3), reason="void", actor=None)
    page = client_with("view_account").get(reverse("admin:wallet_account_change", args=[entry.account_id])).content.decode()
    assert "Owed" in page
    earn(player.pk, "30", on(1, 4))
    page = client_with("view_account").get(reverse("admin:wallet_account_change", args=[entry.account_id])).content.decode()
    assert "Lots in the order of spending" in page


FORM = {
    "expiry": "month_end", "period": "1", "fixed_date": "", "zone": "Europe/Malta", "pending_hours": "0", "restore": "grace",
    "restore_days": "14", "reinstate_days": "30", "warn_days": "14", "cost_per_point": "0.01", "cost_currency": "eur", "breakage": "0.1",
}  # fmt: skip


def test_policy_form__good_input__is_saved_with_history_and_audit() -> None:
    row = PointsPolicy.objects.get(unit="RP")
    client = client_with("view_pointspolicy", "change_pointspolicy")
    answer = client.post(reverse("admin:wallet_pointspolicy_change", args=[row.pk]), FORM)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    row.refresh_from_db()
    assert (row.expiry, row.period, row.zone, row.cost_currency) == ("month_end", 1, "Europe/Malta", "EUR")
    assert row.history.count() == 1
    assert AuditEvent.objects.filter(action="wallet.points_policy_changed").count() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zone": "Mars"}, "zone &#x27;Mars&#x27; is unknown"),
        ({"expiry": "days", "period": "0"}, "At least 1."),
        ({"expiry": "days", "period": "99999"}, "At most 36,500."),
        ({"expiry": "fixed_date"}, "Give the last day"),
        ({"expiry": "fixed_date", "fixed_date": "2020-01-01"}, "The date lies behind"),
        ({"expiry": "fixed_date", "fixed_date": "9999-12-31"}, "more than 100 years away"),
        ({"pending_hours": "8785"}, "At most 8,784"),
        ({"restore_days": "3661"}, "At most 3,660"),
        ({"reinstate_days": "3661"}, "At most 3,660"),
        ({"warn_days": "367"}, "At most 366"),
        ({"expiry": "inactivity", "period": "30"}, "Choose at least one"),
        ({"cost_currency": "1"}, "ISO 4217"),
        ({"cost_per_point": "-1"}, "At least 0."),
        ({"breakage": "1.5"}, "A share from 0 to 1"),
    ],
)
def test_policy_form__bad_input__names_the_field(change: dict[str, str], message: str) -> None:
    row = PointsPolicy.objects.get(unit="RP")
    client = client_with("view_pointspolicy", "change_pointspolicy")
    page = client.post(reverse("admin:wallet_pointspolicy_change", args=[row.pk]), FORM | change)
    assert page.status_code == 200
    assert message in page.content.decode()


def test_policy_words__say_what_happens() -> None:
    row = policy(expiry="month_end", period=0, pending_hours=24)
    assert summary(row).startswith("Reward points end with the month, with that day in UTC. Rewards and points for play wait 24 hours")
    assert example(row, on(1, 30, 12)) == (
        "usable from 2026-01-31 12:00 UTC, last on Saturday, 31 January 2026 (UTC; until 2026-02-01 00:00 UTC)"
    )
    assert summary(policy(expiry="inactivity", period=90, qualifying=["bet", "deposit"], pending_hours=0)).startswith(
        "Reward points end after 90 days without activity (bets, deposits count)"
    )


def test_api_lots__filters__exact_figures(expired: Lot) -> None:
    api = KeyedClient(["wallet:read"])
    answer = api.http.get("/api/v1/wallet/lots", {"player_id": "P-lots", "unit": "RP", "status": "EXPIRED"}).json()
    assert [(one["granted"], one["remaining"], one["status"]) for one in answer["results"]] == [("10.00", "0.00", "EXPIRED")]
    assert api.http.get("/api/v1/wallet/lots", {"status": "ACTIVE"}).json()["results"] == []


def test_api_expiring__soonest_first__only_within_the_days() -> None:
    now = timezone.now()
    policy(expiry="days", period=5)
    player = PlayerFactory(external_id="P-soon").pk
    earn(player, "10", now)
    policy(expiry="days", period=3)
    earn(player, "20", now)
    policy(expiry="days", period=40)
    earn(player, "30", now)
    policy(warn_days=7)
    api = KeyedClient(["wallet:read"])
    assert services.warn_expiring(at=now, **EVERYBODY) == 2
    answer = api.http.get("/api/v1/wallet/expiring", {"unit": "RP", "within_days": 10}).json()
    assert [Decimal(one["granted"]) for one in answer["results"]] == [20, 10]
    assert all(one["warned_at"] for one in answer["results"])
    first = api.http.get("/api/v1/wallet/expiring", {"within_days": 60, "page_size": 2}).json()
    assert [one["granted"] for one in api.http.get(first["next"]).json()["results"]] == ["30.00"]
    assert api.http.get("/api/v1/wallet/expiring", {"within_days": 0}).status_code == 400
    assert api.http.get("/api/v1/wallet/expiring", {"within_days": 367}).status_code == 400
