import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from openpyxl import load_workbook

from loyalty_site.common.models import AuditEvent
from loyalty_site.roles import ROLES
from players.models import Exclusion, PlayerMetrics
from predictions import hooks
from predictions.admin.scores import ChurnScoreAdmin
from predictions.models import ChurnScore, ValueScore
from tests.factories import NOW

from . import rows

pytestmark = pytest.mark.django_db

LISTS = ("churnscore", "valuescore", "fraudscore", "segmentscore", "engagementscore")


def listed(client: Client, model: str, query: str = "") -> list[str]:
    """Player ids in the order of the list."""
    answer = client.get(reverse(f"admin:predictions_{model}_changelist") + query)
    assert answer.status_code == 200
    return [row.player.external_id for row in answer.context["cl"].result_list]


def page(client: Client, model: str, query: str = "") -> str:
    return str(client.get(reverse(f"admin:predictions_{model}_changelist") + query).content.decode())


@pytest.fixture
def world() -> dict[str, Any]:
    """Three players in the current run, one of whom may not be contacted, and one only in an older run."""
    old, run = rows.run(as_of=NOW - timedelta(days=1), is_current=False), rows.run()
    low, mid, high = rows.player("P-low"), rows.player("P-mid", consent=False, currency="CAD"), rows.player("P-high", segment="VIP")
    rows.score(old, rows.player("P-old"), churn=0.99)
    rows.score(run, low, churn=0.1, value="6000", fraud=0.9)
    rows.score(run, mid, churn=0.5, reasons=[])
    rows.score(run, high, churn=0.9, value="1500")
    rows.publish(run)
    return {"run": run, "low": low, "mid": mid, "high": high}


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("model", LISTS)
def test_lists__current_run__shows_its_players_only(model: str, client_of: Callable[..., Client]) -> None:
    assert set(listed(client_of("CRM manager"), model)) == {"P-low", "P-mid", "P-high"}


@pytest.mark.usefixtures("world")
def test_churn__default_order_filters_and_search__find_the_right_players(client_of: Callable[..., Client]) -> None:
    client = client_of("CRM manager")
    assert listed(client, "churnscore") == ["P-high", "P-mid", "P-low"]
    assert listed(client, "churnscore", "?risk=high") == ["P-high"]
    assert listed(client, "churnscore", "?risk=low") == ["P-low"]
    assert listed(client, "churnscore", "?value_band=vip") == ["P-low"]
    assert listed(client, "churnscore", "?currency=CAD") == ["P-mid"]
    assert listed(client, "churnscore", "?segment=VIP") == ["P-high"]
    assert listed(client, "churnscore", "?contact=no") == ["P-mid"]
    assert listed(client, "churnscore", "?probability_from=0.5") == ["P-high", "P-mid"]
    assert listed(client, "churnscore", "?q=P-low") == ["P-low"]
    assert listed(client, "fraudscore", "?label=fraud") == ["P-low"]
    assert listed(client, "fraudscore", "?fraud_type=none&o=") == ["P-mid", "P-high"]
    assert listed(client, "segmentscore", "?rfm=Champions&cluster=1") == ["P-low", "P-mid", "P-high"]
    assert listed(client, "engagementscore", "?engaged=yes") == ["P-low"]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("query", ["?probability_from=abc", "?cluster=9999999999", "?nonsense=1", "?o=99", "?p=9999", "?q=%00"])
def test_churn__address_that_makes_no_sense__never_fails(query: str, client_of: Callable[..., Client]) -> None:
    answer = client_of("CRM manager").get(reverse("admin:predictions_churnscore_changelist") + query)
    assert answer.status_code in (200, 302)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("model", "query", "words"),
    [
        ("churnscore", "risk=critical", "The filter “risk” knows no “critical”. There are: high, medium, low."),
        ("churnscore", "probability_from=abc", "“abc” is no number: probability from."),
        ("churnscore", "probability_from=0.9&probability_to=0.1", "No probability lies from 0.9 to 0.1"),
        ("churnscore", "country=Atlantis", "The filter “country” knows no “Atlantis”."),
        ("segmentscore", "cluster=9999999999", "The filter “cluster” knows no “9999999999”."),
        ("valuescore", "value_to=nan", "“nan” is no number: value to."),
        ("churnscore", "probability_from=2", "Probability lies between 0 and 1: 2 is outside."),
        ("fraudscore", "score_from=-1&score_to=7", "Score lies between 0 and 1: -1, 7 is outside."),
        ("churnscore", "risk=high&risk=low", "The filter “risk” is asked for more than once."),
    ],
)
def test_lists__filter_that_cannot_be__is_named_lists_nobody_and_exports_nothing(
    model: str, query: str, words: str, client_of: Callable[..., Client]
) -> None:
    client = client_of("CRM manager")
    assert listed(client, model, f"?{query}") == []
    assert words in page(client, model, f"?{query}")
    for file_format in ("csv", "xlsx"):
        answer = client.get(reverse(f"admin:predictions_{model}_export", args=[file_format]) + f"?{query}")
        assert (answer.status_code, answer["Location"]) == (302, reverse(f"admin:predictions_{model}_changelist") + f"?{query}")
    assert not AuditEvent.objects.filter(action="predictions.scores_exported").exists()


def test_churn__players_gone_for_long__are_one_click_away(world: dict[str, Any], client_of: Callable[..., Client]) -> None:
    client = client_of("CRM manager")
    for who, idle in (("high", 91), ("mid", 90)):
        ChurnScore.objects.filter(run=world["run"], player=world[who]).update(idle_days=idle)
    PlayerMetrics.objects.create(player=world["high"], as_of=NOW, last_activity_on=NOW.date() - timedelta(days=91))
    assert listed(client, "churnscore") == ["P-mid", "P-low"]
    text = page(client, "churnscore")
    assert "Away at most 90 days" in text
    assert '<a class="lb-link" href="?away=all">Show all</a>' in text
    assert listed(client, "churnscore", "?away=all") == ["P-high", "P-mid", "P-low"]
    assert listed(client, "churnscore", "?q=P-high") == ["P-high"]
    assert listed(client, "churnscore", "?away=month") == ["P-low"]
    assert listed(client, "churnscore", "?away=quarter") == ["P-mid"]
    assert listed(client, "churnscore", "?away=longer") == ["P-high"]
    assert listed(client, "churnscore", "?away=never") == ["P-mid", "P-low"]
    assert b"P-high" not in b"".join(client.get(reverse("admin:predictions_churnscore_export", args=["csv"])).streaming_content)


@pytest.mark.usefixtures("world")
def test_lists__export__says_in_words_who_is_in_the_file(client_of: Callable[..., Client]) -> None:
    text = page(client_of("CRM manager"), "churnscore", "?probability_from=0.05")
    assert "CSV and Excel hold only players who may be contacted: 2 of 3 in this list." in text
    assert "?probability_from=0.05&amp;away=kept" in text
    assert "may be contacted: " not in page(client_of("Read-only"), "churnscore")
    assert "CSV and Excel hold all players of this list" in page(client_of("Risk analyst"), "fraudscore")


def test_values__still_a_customer__only_of_repeat_depositors(world: dict[str, Any], client_of: Callable[..., Client]) -> None:
    scores = ValueScore.objects.filter(run=world["run"])
    scores.update(alive=1.0, purchases=0.4)
    scores.filter(player=world["low"]).update(alive=0.62)
    text = page(client_of("CRM manager"), "valuescore")
    assert text.count("no repeat deposit") == 2
    assert "62 %" in text
    assert "100 %" not in text


@pytest.mark.usefixtures("world")
def test_lists__nothing_matches__own_words(client_of: Callable[..., Client]) -> None:
    text = page(client_of("CRM manager"), "churnscore", "?q=nobody")
    assert "No line of this list matches the search and the filters that are set." in text
    assert "Create a new item" not in text


@pytest.mark.usefixtures("world")
def test_churn__reasons_and_advice__stand_in_words(client_of: Callable[..., Client]) -> None:
    text = page(client_of("CRM manager"), "churnscore")
    assert "last deposit longer ago than usual (days since last deposit: 41)" in text
    assert "more sessions in 30 days than usual (sessions in 30 days: 9)" in text
    assert "Priority support call + personalized offer" in text
    assert "on the player&#x27;s page" in text or "on the player's page" in text  # reasons of P-mid are not stored


def test_churn__player_who_may_be_given_nothing__gets_no_recommendation(world: dict[str, Any], client_of: Callable[..., Client]) -> None:
    Exclusion.objects.create(
        player=world["high"], kind="SELF_EXCLUSION", starts_at=NOW - timedelta(days=900), reason="asked", recorded_at=NOW
    )
    text = page(client_of("CRM manager"), "churnscore", "?q=P-high")
    assert "No offer: excluded, not active or harm flag" in text
    assert "Priority support call" not in text


@pytest.mark.usefixtures("world")
def test_pages__every_order_of_the_churn_list__is_total_and_follows_an_index(
    client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChurnScoreAdmin, "list_per_page", 1)
    client = client_of("CRM manager")
    for column, field in ((2, "probability"), (3, "value"), (4, "priority")):
        for falling in (True, False):
            orders = []
            for number in (1, 2, 3):
                with CaptureQueriesContext(connection) as queries:
                    orders += listed(client, "churnscore", f"?o={'-' if falling else ''}{column}&p={number}")
                (keys,) = [one["sql"] for one in queries if one["sql"].startswith('SELECT "predictions_churnscore"."player_id"')]
                # the index falls by the figures and rises by player; read backwards it is the other way round
                *leading, tie = keys.split("ORDER BY ")[1].split(" LIMIT")[0].split(", ")
                figures = ["priority", "value"] if field == "priority" else [field]
                assert leading == [f'"predictions_churnscore"."{one}" {"DESC" if falling else "ASC"}' for one in figures]
                assert tie.endswith("ASC" if falling else "DESC")
            assert sorted(orders) == ["P-high", "P-low", "P-mid"]


def test_churn__equal_priorities__those_with_the_highest_value_come_first(client_of: Callable[..., Client]) -> None:
    run = rows.run()
    for name, value in (("P-1", "5"), ("P-2", "-700"), ("P-3", "8000"), ("P-4", "2000")):
        rows.score(run, rows.player(name), churn=0.9, value=value)
    ChurnScore.objects.update(priority=1.0)
    rows.publish(run)
    client = client_of("CRM manager")
    assert listed(client, "churnscore") == ["P-3", "P-4", "P-1", "P-2"]
    assert listed(client, "churnscore", "?o=4") == ["P-2", "P-1", "P-4", "P-3"]


def test_lists__no_run_yet__say_what_to_do_next(client_of: Callable[..., Client]) -> None:
    client = client_of("CRM manager")
    for model in LISTS:
        text = page(client, model)
        assert "No predictions yet" in text
        assert reverse("admin:predictions_modelversion_changelist") in text
        assert ">CSV<" not in text


def test_lists__withheld_kind__shows_the_reason_and_nothing_else(client_of: Callable[..., Client]) -> None:
    run = rows.run(withheld={"ltv": "90 days of history; 180 are needed: import older activity or wait."})
    rows.score(run, rows.player("P-1"))
    client = client_of("CRM manager")
    assert listed(client, "valuescore") == []
    assert "90 days of history; 180 are needed" in page(client, "valuescore")
    assert listed(client, "churnscore") == ["P-1"]
    assert client.get(reverse("admin:predictions_valuescore_export", args=["csv"])).status_code == 403


@pytest.mark.usefixtures("world")
def test_lists__feed_that_fails__say_since_when(client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "stale_since", lambda: NOW - timedelta(hours=9))
    assert "has not been renewed since 2026-03-15 03:00 UTC" in page(client_of("CRM manager"), "churnscore")


@pytest.mark.usefixtures("world")
def test_export__csv__is_the_filtered_list_of_players_who_may_be_contacted(client_of: Callable[..., Client]) -> None:
    answer = client_of("CRM manager").get(reverse("admin:predictions_churnscore_export", args=["csv"]) + "?probability_from=0.05")
    lines = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [line["player_id"] for line in lines] == ["P-high", "P-low"]
    assert lines[0]["risk_level"] == "high"
    assert float(lines[0]["churn_probability"]) == 0.9
    assert lines[0]["reasons"] == (  # no sign leads, so no apostrophe keeps a spreadsheet from taking it for a formula
        "for: last deposit longer ago than usual (days since last deposit: 41); "
        "against: more sessions in 30 days than usual (sessions in 30 days: 9)"
    )
    assert lines[0]["model"] == "Churn 1"
    assert not {"username", "first_name", "last_name", "email", "birth_date"} & set(lines[0])
    event = AuditEvent.objects.get(action="predictions.scores_exported")
    assert event.after["rows"] == 2
    assert event.after["filters"] == "probability_from=0.05"


@pytest.mark.usefixtures("world")
def test_export__fraud_scores__hold_everybody_as_they_are_for_review(client_of: Callable[..., Client]) -> None:
    answer = client_of("Risk analyst").get(reverse("admin:predictions_fraudscore_export", args=["xlsx"]))
    sheet = load_workbook(io.BytesIO(b"".join(answer.streaming_content))).active
    assert sheet is not None
    assert [row[0] for row in sheet.iter_rows(values_only=True)] == ["player_id", "P-low", "P-mid", "P-high"]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("model", LISTS)
def test_export__every_list_and_format__has_a_line_a_player(model: str, client_of: Callable[..., Client]) -> None:
    client = client_of("CRM manager")
    for file_format in ("csv", "xlsx"):
        answer = client.get(reverse(f"admin:predictions_{model}_export", args=[file_format]))
        assert answer.status_code == 200
        assert len(b"".join(answer.streaming_content)) > 100
    assert client.get(reverse(f"admin:predictions_{model}_export", args=["pdf"])).status_code == 404


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("role", ROLES)
def test_roles__lists_and_exports__open_as_declared(role: str, client_of: Callable[..., Client]) -> None:
    client, permissions = client_of(role), ROLES[role].permissions
    for model in LISTS:
        sees = f"predictions.view_{model}" in permissions
        exports = sees and "predictions.export_scores" in permissions
        text = client.get(reverse(f"admin:predictions_{model}_changelist"))
        assert text.status_code == (200 if sees else 403)
        assert (b">CSV<" in text.content) is exports
        assert client.get(reverse(f"admin:predictions_{model}_export", args=["csv"])).status_code == (200 if exports else 403)
    assert (role in {"CRM manager", "Risk analyst"}) is ("predictions.export_scores" in permissions)


def test_score__its_address__leads_to_the_player(world: dict[str, Any], client_of: Callable[..., Client]) -> None:
    score = ChurnScore.objects.get(run=world["run"], player=world["high"])
    answer = client_of("Read-only").get(reverse("admin:predictions_churnscore_change", args=[score.pk]))
    assert answer.status_code == 302
    assert answer["Location"] == reverse("admin:players_player_change", args=[world["high"].pk]) + "#predictions"
