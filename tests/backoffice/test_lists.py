"""Lists: no unbounded COUNT(*), remembered order, search by index, columns by permission."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.clock import utc_now
from players.models import Player, PlayerDay
from tests.factories import PlayerFactory, PlayerMetricsFactory

pytestmark = pytest.mark.django_db
PLAYERS = "/admin/players/player/"


def test_lists__every_list_of_ours__never_counts_without_a_bound(client_of: Callable[..., Client]) -> None:
    client = client_of(admin=True)
    unbounded = []
    for model, model_admin in admin.site._registry.items():
        if not isinstance(model_admin, BackOfficeAdmin):
            continue
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(url)
        table = f'"{model._meta.db_table}"'
        unbounded += [
            query["sql"]
            for query in queries
            if query["sql"].startswith("SELECT COUNT(*)") and table in query["sql"] and "LIMIT" not in query["sql"]
        ]
    assert unbounded == []


def test_lists__ours_and_third_party__all_stand_on_the_themed_base() -> None:
    from unfold.admin import ModelAdmin

    assert [str(one) for one in admin.site._registry.values() if not isinstance(one, ModelAdmin)] == []


def test_player_list__order_chosen_once__is_kept_for_the_person(client_of: Callable[..., Client]) -> None:
    low, high = PlayerFactory(external_id="A-1", risk_score=5), PlayerFactory(external_id="B-1", risk_score=90)
    client = client_of("CRM agent")
    columns = client.get(PLAYERS).context["cl"].list_display
    number = columns.index("risk")
    first = [player.pk for player in client.get(f"{PLAYERS}?o=-{number}").context["cl"].result_list]
    again = [player.pk for player in client.get(PLAYERS).context["cl"].result_list]
    assert first == again == [high.pk, low.pk]
    assert [player.pk for player in client.get(f"{PLAYERS}?o={number}").context["cl"].result_list] == [low.pk, high.pk]


@pytest.mark.parametrize(
    ("role", "term", "found"),
    [
        ("CRM agent", "P-10", {"P-100", "P-101"}),
        ("CRM agent", "p-10", {"P-100", "P-101"}),
        ("CRM agent", "100", set()),
        ("CRM agent", "anna", {"P-100"}),
        ("CRM agent", "ann", set()),
        ("CRM agent", "Anna@Example.com", {"P-100"}),
        ("Finance", "P-100", {"P-100"}),
        ("Finance", "anna", set()),
        ("Finance", "anna@example.com", set()),
    ],
)
def test_player_search__by_role__finds_beginning_of_id_and_whole_names(
    role: str, term: str, found: set[str], client_of: Callable[..., Client]
) -> None:
    PlayerFactory(external_id="P-100", username="anna", email="anna@example.com")
    PlayerFactory(external_id="P-101", username="bert", email="bert@example.com")
    answer = client_of(role).get(PLAYERS, {"q": term})
    assert {player.external_id for player in answer.context["cl"].result_list} == found


def test_player_search__any_term__uses_no_pattern_that_scans(client_of: Callable[..., Client]) -> None:
    client = client_of("CRM agent")
    with CaptureQueriesContext(connection) as queries:
        client.get(PLAYERS, {"q": "P-1"})
    searches = [query["sql"] for query in queries if "external_id" in query["sql"] and "LIKE" in query["sql"]]
    assert searches
    assert all("LIKE 'P-1%'" in sql and "LIKE '%" not in sql and "UPPER(" not in sql for sql in searches)


def test_player_list__finance__has_no_usernames(client_of: Callable[..., Client]) -> None:
    PlayerFactory(username="anna-secret")
    assert "anna-secret" not in client_of("Finance").get(PLAYERS).content.decode()


def test_player_list__net_result__is_the_exact_sum_of_thirty_days(client_of: Callable[..., Client]) -> None:
    player = PlayerFactory(currency="EUR")
    today = utc_now().date()
    for back, stake, payout in [(0, "10.10", "5.05"), (30, "100", "40.01"), (31, "9999", "0")]:
        PlayerDay.objects.create(player=player, day=today - timedelta(days=back), stake=Decimal(stake), payout=Decimal(payout))
    shown = client_of("CRM agent").get(PLAYERS).context["cl"].result_list
    assert [one.net_result_30d for one in shown] == [Decimal("-65.04")]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("idle=0", {"P-played-6"}),
        ("idle=7", {"P-played-7"}),
        ("idle=90", {"P-played-90"}),
        ("idle=never", {"P-never", "P-unmeasured"}),
        ("risk=reduced", {"P-played-7"}),
        ("risk=blocked", {"P-played-90"}),
        ("country=FI", {"P-never"}),
        ("segment__exact=VIP", {"P-played-6"}),
    ],
)
def test_player_filters__one_each__keep_exactly_the_matching_players(query: str, found: set[str], client_of: Callable[..., Client]) -> None:
    today = utc_now().date()
    for name, back, fields in [
        ("P-played-6", 6, {"segment": "VIP"}),
        ("P-played-7", 7, {"risk_score": 31}),
        ("P-played-90", 90, {"risk_score": 81}),
        ("P-never", None, {"country": "FI"}),
    ]:
        player = PlayerFactory(external_id=name, **fields)
        PlayerMetricsFactory(player=player, last_play_on=today - timedelta(days=back) if back is not None else None)
    PlayerFactory(external_id="P-unmeasured")
    answer = client_of("CRM agent").get(f"{PLAYERS}?{query}")
    assert {player.external_id for player in answer.context["cl"].result_list} == found


def test_player_filter__registered_range__includes_both_days_whole(client_of: Callable[..., Client]) -> None:
    from datetime import UTC, datetime

    for name, moment in [
        ("before", datetime(2026, 1, 9, 23, 59, 59, tzinfo=UTC)),
        ("first", datetime(2026, 1, 10, tzinfo=UTC)),
        ("last", datetime(2026, 1, 12, 23, 59, 59, tzinfo=UTC)),
        ("after", datetime(2026, 1, 13, tzinfo=UTC)),
    ]:
        PlayerFactory(external_id=name, registered_at=moment)
    answer = client_of("CRM agent").get(f"{PLAYERS}?registered_at_from=2026-01-10&registered_at_to=2026-01-12")
    assert {player.external_id for player in answer.context["cl"].result_list} == {"first", "last"}


def test_palette__agent_types_the_beginning_of_an_id__finds_player_and_pages(client_of: Callable[..., Client]) -> None:
    player = PlayerFactory(external_id="XyZ-77")
    client = client_of("CRM agent")
    body = client.get("/admin/search/", {"s": "XyZ", "extended": "1"}).content.decode()
    assert reverse("admin:players_player_change", args=[player.pk]) in body
    assert "/admin/common/jobrun/" not in client.get("/admin/search/", {"s": "runs", "extended": "1"}).content.decode()


def test_menu__each_role__offers_no_page_that_refuses(staff: Callable[..., User]) -> None:
    from loyalty_site.roles import ROLES

    for role in ROLES:
        client = Client()
        client.force_login(staff(role))
        menu = client.get("/admin/").context["sidebar_navigation"]
        links = [item["link"] for group in menu for item in group["items"]]
        assert {link: code for link in links if (code := client.get(link).status_code) != 200} == {}
        assert Player.objects.count() == 0


def test_player_export__unknown_filter_in_the_address__offers_the_whole_list(client_of: Callable[..., Client]) -> None:
    client = client_of("CRM manager")
    answer = client.get("/admin/players/player/export/?format=0")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/players/player/export/")
    assert client.get(answer["Location"]).status_code == 200


@pytest.mark.parametrize(
    ("role", "status"), [("CRM manager", 200), ("Compliance", 200), ("CRM agent", 403), ("Finance", 403), ("Read-only", 403)]
)
def test_player_export__by_role__is_open_to_those_who_may_export(role: str, status: int, client_of: Callable[..., Client]) -> None:
    PlayerFactory(external_id="P-1", first_name="=cmd|x")
    client = client_of(role)
    assert client.get("/admin/players/player/export/").status_code == status
    answer = client.post(
        "/admin/players/player/export/", {"format": "0", "playerresource_external_id": "on", "playerresource_first_name": "on"}
    )
    assert answer.status_code == status
    assert ("'=cmd|x" in answer.content.decode()) is (status == 200)


def test_refused_page__says_so_in_words_and_leads_back(client_of: Callable[..., Client]) -> None:
    body = client_of("Finance").get("/admin/auth/user/").content.decode()
    assert "This page is not for your role" in body
    assert 'href="/admin/"' in body


@pytest.mark.parametrize(
    ("url", "active"),
    [("/admin/", ["Today"]), (PLAYERS, ["Players"]), ("/admin/rewards/rewarddecision/approvals/", ["Approvals"])],
)
def test_menu__on_a_page__marks_just_that_entry(url: str, active: list[str], client_of: Callable[..., Client]) -> None:
    menu = client_of("CRM manager").get(url).context["sidebar_navigation"]
    assert [item["title"] for group in menu for item in group["items"] if item["active"]] == active


def test_paginator__beyond_its_limit__reads_no_more_rows_and_takes_the_planners_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    from loyalty_site.common.admin import base

    monkeypatch.setattr(base, "_EXACT_COUNT_LIMIT", 3)
    PlayerFactory.create_batch(3)
    assert base.EstimatingPaginator(Player.objects.order_by("id"), 2).count == 3
    PlayerFactory.create_batch(4)
    with CaptureQueriesContext(connection) as queries:
        count = base.EstimatingPaginator(Player.objects.order_by("id"), 2).count
    assert count >= 4
    bounded, estimate = [query["sql"] for query in queries]
    assert "LIMIT 4" in bounded
    assert estimate.startswith("EXPLAIN")
    assert base.EstimatingPaginator(Player.objects.none(), 2).count == 0


@pytest.mark.parametrize(
    "model", ["common/jobrun", "fraud/reviewflag", "rewards/rewarddecision", "wallet/adjustmentrequest", "players/player"]
)
@pytest.mark.parametrize("key", ["abc", "1/approve", "%00", "9" * 30])
def test_record_page__id_no_record_can_have__leads_to_the_start_page(model: str, key: str, client_of: Callable[..., Client]) -> None:
    answer = client_of(admin=True).get(f"/admin/{model}/{key}/change/")
    assert answer.status_code == 302
    assert answer["Location"] == "/admin/"
