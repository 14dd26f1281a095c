"""The player's page and the page of what would be."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from loyalty_site.roles import ROLES
from predictions import services
from predictions.models import ModelVersion, ValueScore
from predictions.services import Compared, Explained, InvalidProfile, Reason, Scored, SimilarCase, Unavailable, WhatIf
from tests.factories import NOW

from . import rows

pytestmark = pytest.mark.django_db

UP = Reason("days_since_last_deposit", "days since last deposit", "days", 41.0, 1.5, "last deposit longer ago than usual")
DOWN = Reason("sessions_30d", "sessions in 30 days", "count", 9.0, -0.5, "more sessions in 30 days than usual")


@pytest.fixture
def world() -> dict[str, Any]:
    run, who = rows.run(), rows.player("P-1")
    rows.score(run, who, churn=0.64, value="1234.50")
    rows.past(who, "churn", [0.2, 0.3, 0.5])
    return {"run": rows.publish(run), "player": who}


def player_page(client: Client, pk: int) -> str:
    return str(client.get(reverse("admin:players_player_change", args=[pk])).content.decode())


def piece(client: Client, pk: int, name: str) -> Any:
    return client.get(reverse("admin:predictions_player_piece", args=[pk, name]))


def test_player_page__scored_player__shows_scores_history_interval_and_reasons(
    world: dict[str, Any], client_of: Callable[..., Client]
) -> None:
    text = player_page(client_of("CRM manager"), world["player"].pk)
    for words in (
        "64 %",
        "59 % to 69 %",
        "1,234.50 EUR",
        "309 to 3,704 EUR",
        "High value, active",
        "last deposit longer ago than usual",
        "What if",
    ):
        assert words in text
    assert "History of 4 scores since 2026-02-22" in text


def test_player_page__expected_value_beyond_its_interval__is_drawn_where_it_is_and_said(
    world: dict[str, Any], client_of: Callable[..., Client]
) -> None:
    row = ValueScore.objects.get(player=world["player"])
    row.value, row.p10, row.p50, row.p90 = Decimal(500), Decimal(0), Decimal(40), Decimal(200)
    row.save()
    client = client_of("CRM manager")
    text = player_page(client, world["player"].pk)
    # the line runs from 0 to 500 and a twenty-fifth more: 200, 40 and 500 stand at 38.5, 7.7 and 96.2 of a hundred
    assert '<b style="left:0.0%;width:38.5%"></b><i style="left:7.7%"></i><em style="left:96.2%"></em>' in text
    for words in ("500.00 EUR", "40.00 EUR", "median 40", "expected 500", "The expected value lies above the interval"):
        assert words in text
    listed = client.get(reverse("admin:predictions_valuescore_changelist")).content.decode()
    assert "median 40" in listed
    assert "expected value above it" in listed


def test_player_page__expected_value_within__no_warning(world: dict[str, Any], client_of: Callable[..., Client]) -> None:
    text = player_page(client_of("CRM manager"), world["player"].pk)
    assert "lies above the interval" not in text
    assert "lies below the interval" not in text


def test_player_page__harm_flag__recommends_nothing_and_gives_no_hint(client_of: Callable[..., Client]) -> None:
    run, who = rows.run(), rows.player("P-2", harm=True)
    rows.score(run, who, churn=0.9, value="9000")
    client = client_of("CRM manager")
    text = player_page(client, who.pk)
    assert "Immediate VIP manager call" not in text
    assert text.count("No offer: excluded, not active or harm flag") == 4  # churn, value, segment, engagement
    assert "No hint for this player" in piece(client, who.pk, "hint").content.decode()


@pytest.mark.parametrize("role", ROLES)
def test_roles__fraud_score__shows_only_where_its_list_does(role: str, world: dict[str, Any], client_of: Callable[..., Client]) -> None:
    client, sees = client_of(role), "predictions.view_fraudscore" in ROLES[role].permissions
    text = player_page(client, world["player"].pk)
    assert ('aria-label="Fraud"' in text) is sees
    assert 'aria-label="Churn"' in text
    assert ("psychology_alt</span>What if" in text) is ("predictions.score_profile" in ROLES[role].permissions)
    assert piece(client, world["player"].pk, "fraud").status_code == (200 if sees else 403)


def test_player_page__no_run_yet__says_so(client_of: Callable[..., Client]) -> None:
    text = player_page(client_of("CRM manager"), rows.player("P-3").pk)
    assert "No predictions for this player" in text
    assert "Nobody has been scored yet; the page Models says what is missing." in text


def test_pieces__what_the_services_say__stands_in_words(
    world: dict[str, Any], client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, pk = client_of("CRM manager"), world["player"].pk
    version = ModelVersion.objects.filter(kind="churn").latest("number")
    ModelVersion.objects.filter(pk=version.pk).update(metrics={"base_rate": 0.22})
    explained = Explained(
        "churn", pk, NOW, version.pk, "log-odds", -1.0, 0.0, [UP, DOWN], {"days_since_last_deposit": 0.75, "sessions_30d": 0.25}
    )
    monkeypatch.setattr(services, "explain_player", lambda kind, player: explained)
    text = piece(client, pk, "churn").content.decode()
    assert "+1.50" in text
    assert "-0.50" in text
    assert "add up from -1.00 to +0.00, in points on the model&#x27;s scale: positive ones raise it." in text
    assert "Each bar compares with the average player of the training, where 22 % left: what is unusual" in text
    assert "log-odds" not in text
    assert 'class="pred-up lb-bad" style="width:50.0%"' in text
    value = Explained("ltv", pk, NOW, 1, "currency units", 242.4, 2377.47, [replace(UP, contribution=2135.07)], {}, "EUR")
    monkeypatch.setattr(services, "explain_player", lambda kind, player: value)
    text = piece(client, pk, "ltv").content.decode()
    assert "+2,135.07 EUR" in text
    assert "add up from 242.40 EUR to 2,377.47 EUR." in text
    assert "Each bar compares" not in text
    nothing = Explained("fraud", pk, NOW, 1, "splits saved", -12.1, -12.1, [], {})
    monkeypatch.setattr(services, "explain_player", lambda kind, player: nothing)
    text = piece(client, pk, "fraud").content.decode()
    assert "No feature moved this score up or down." in text
    assert "add up" not in text
    alike = (Compared("usual deposit", 2.0, None, "40.00 EUR", "not known"),)
    case = SimilarCase(pk, "P-9", NOW - timedelta(days=90), 0.21, True, Decimal("12.34"), 90, "EUR", alike)
    monkeypatch.setattr(services, "similar_cases", lambda player, count: [case])
    text = piece(client, pk, "similar").content.decode()
    assert "1 of 1 who looked like this on 2025-12-15 left" in text
    assert "12.34 EUR" in text
    assert "usual deposit not known (here 40.00 EUR)" in text
    assert piece(client, pk, "nonsense").status_code == 404


def test_pieces__no_model__say_why(world: dict[str, Any], client_of: Callable[..., Client]) -> None:
    client = client_of("CRM manager")
    assert "The model cannot be opened" in piece(client, world["player"].pk, "churn").content.decode()
    assert piece(client, world["player"].pk, "similar").status_code == 200


def scored(churn: float, value: str) -> Scored:
    amounts = {name: Decimal(value) for name in ("value", "p10", "p50", "p90", "value_90")}
    return Scored(
        player_id=1, as_of=NOW, currency="EUR", withheld={"engagement": "too little history"}, versions={},
        scores={"churn": {"probability": churn, "lower": churn - 0.05, "upper": churn + 0.05}, "ltv": amounts},
        features={"sessions_30d": 2.0, "deposits_30d": 1.5, "bonus_share_90d": None}, currency_unit=20.0,
    )  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Calls of the what-if service, which answers that more sessions help."""
    calls: list[Any] = []

    def what_if(player_id: int | None, changes: dict[str, Any], as_of: Any, kinds: Any) -> WhatIf:
        calls.append((player_id, dict(changes)))
        if changes.get("sessions_30d") == "many":
            raise InvalidProfile({"sessions_30d": "'many' is no number."})
        before, after = scored(0.7, "100"), scored(0.4, "150")
        moved = {"sessions_30d": (2.0, 9.0)} if changes else {}
        return WhatIf(before if player_id else None, after if changes else before, {}, {"churn": [UP, DOWN]}, moved)

    monkeypatch.setattr(services, "what_if", what_if)
    return calls


def answer(client: Client, **form: str) -> str:
    return str(client.post(reverse("admin:predictions_what_if_answer"), form).content.decode())


def test_what_if__changed_number_of_a_player__shows_before_and_after(asked: list[Any], client_of: Callable[..., Client]) -> None:
    text = answer(
        client_of("CRM agent"), player="7", f_sessions_30d="9", was_sessions_30d="2", f_sessions_7d="1", was_sessions_7d="1", f_nonsense="3"
    )
    assert asked == [(7, {"sessions_30d": "9"})]
    for words in ("40 %", "70 %", "-30.0 points", "150.00 EUR", "+50.00 EUR", "Sessions in 30 days", "too little history"):
        assert words in text


def test_what_if__emptied_field__is_unknown_and_a_bad_one_is_named(asked: list[Any], client_of: Callable[..., Client]) -> None:
    client = client_of("CRM agent")
    answer(client, player="7", f_sessions_30d="", was_sessions_30d="2")
    assert asked[-1] == (7, {"sessions_30d": None})
    assert "&#x27;many&#x27; is no number." in answer(client, player="7", f_sessions_30d="many", was_sessions_30d="2")


def test_what_if__somebody_described_by_too_little__is_told_what_is_needed(asked: list[Any], client_of: Callable[..., Client]) -> None:
    client = client_of("CRM agent")
    assert "Enter the first number" in answer(client, player="", currency="EUR", f_sessions_30d="", was_sessions_30d="")
    text = answer(client, player="", currency="EUR", f_days_since_last_activity="2", f_deposit_count_30d="5", f_deposits_30d="500")
    assert "Too little to say anything" in text
    for words in ("days since registration", "visits: sessions or active days", "staked money in any window"):
        assert f"<li>{words}" in text
    assert "<li>deposits" not in text
    assert asked == []


def test_what_if__somebody_described__answer_names_what_was_assumed(
    asked: list[Any], client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"tenure_days": "60", "days_since_last_activity": "2", "sessions_30d": "12", "deposit_count_30d": "5", "stake_30d": "0"}

    def what_if(player_id: int | None, changes: dict[str, Any], as_of: Any, kinds: Any) -> WhatIf:
        assert changes == {**told, "currency": "EUR"}
        return WhatIf(
            None, scored(0.4, "150"), {}, {}, {"sessions_30d": (None, 12.0), "sessions_90d": (None, 24.0), "deposits_30d": (None, 5.0)}
        )

    monkeypatch.setattr(services, "what_if", what_if)
    text = answer(client_of("CRM agent"), player="", currency="EUR", **{f"f_{name}": value for name, value in told.items()})
    table = text[text.index("Assumed from what was told") :]
    assert '<td>Sessions in 90 days</td><td class="lb-num">24</td>' in table
    assert '<td>Deposited money in 30 days</td><td class="lb-num">100.00 EUR</td>' in table  # five typical deposits of 20.00
    assert "<td>Sessions in 30 days</td>" not in table
    assert page_data(text)["follows"] == {"f_sessions_90d": "counts as 24", "f_deposits_30d": "counts as 100.00 EUR"}


def page_data(text: str) -> Any:
    opening = '<script id="what-if-data" type="application/json">'
    start = text.index(opening) + len(opening)
    return json.loads(text[start : text.index("</script>", start)])


def test_what_if__impossible_number__has_its_message_at_the_field(
    client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> Any:
        raise InvalidProfile({"days_since_last_activity": "36,500 at most."})

    monkeypatch.setattr(services, "what_if", refuse)
    text = answer(client_of("CRM agent"), player="7", f_days_since_last_activity="1000000000", was_days_since_last_activity="2")
    assert page_data(text) == {"errors": {"f_days_since_last_activity": "36,500 at most."}, "follows": {}}


def test_what_if__page_and_answer__name_the_versions_of_the_shown_run(
    client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rows.run()
    rows.version("churn", number=2, status="ARCHIVED")
    found = replace(scored(0.4, "150"), versions={"churn": run.versions["churn"]})
    monkeypatch.setattr(services, "what_if", lambda *args: WhatIf(found, found, {}, {}, {}))
    client = client_of("CRM agent")
    text = client.get(reverse("admin:predictions_what_if")).content.decode()
    assert "Churn 1, " in text
    assert "Churn 2" not in text
    assert "35 % to 45 %; by Churn 1" in answer(client, player="7")


def test_what_if__page_of_a_player__holds_the_numbers_in_the_players_currency(
    client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.player("P-7")
    monkeypatch.setattr(services, "score_player", lambda player, at, kinds: scored(0.7, "100"))
    client = client_of("CRM agent")
    text = client.get(reverse("admin:predictions_what_if") + "?player=P-7").content.decode()
    assert 'name="f_deposits_30d" value="30"' in text  # 1.5 typical deposits of 20.00
    assert 'name="f_sessions_30d" value="2"' in text
    assert 'name="f_bonus_share_90d" value=""' in text
    text = client.get(reverse("admin:predictions_what_if") + "?player=nobody").content.decode()
    assert "No player has the id nobody" in text


def test_what_if__no_model__says_why(client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any) -> Any:
        raise Unavailable("churn", "No model is in use.")

    rows.player("P-8")
    monkeypatch.setattr(services, "score_player", none)
    monkeypatch.setattr(services, "what_if", none)
    client = client_of("CRM agent")
    assert "No model is in use." in client.get(reverse("admin:predictions_what_if") + "?player=P-8").content.decode()
    assert "No model is in use." in answer(client, player="7", f_sessions_30d="9", was_sessions_30d="2")


@pytest.mark.parametrize("role", ROLES)
def test_roles__what_if__opens_for_those_who_may_score_profiles(role: str, client_of: Callable[..., Client]) -> None:
    client, may = client_of(role), "predictions.score_profile" in ROLES[role].permissions
    assert client.get(reverse("admin:predictions_what_if")).status_code == (200 if may else 403)
    assert client.post(reverse("admin:predictions_what_if_answer"), {}).status_code == (200 if may else 403)
    assert (reverse("admin:predictions_what_if") in client.get("/admin/").content.decode()) is may
