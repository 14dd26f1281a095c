import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from predictions.admin import distribution

from . import rows

pytestmark = pytest.mark.django_db


def data(text: str) -> dict[str, Any]:
    """What the page gives its script."""
    opening = '<script id="distribution-data" type="application/json">'
    start = text.index(opening) + len(opening)
    return json.loads(text[start : text.index("</script>", start)])


@pytest.fixture
def scored() -> None:
    run = rows.run()
    for number in range(10):
        rows.score(run, rows.player(f"P-{number}"), churn=number / 10, value=str(100 * (number + 1)), fraud=number / 10)
    rows.publish(run)


def get(client: Client, query: str = "") -> str:
    answer = client.get(reverse("admin:predictions_distribution") + query)
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.usefixtures("scored")
def test_churn__threshold_of_the_settings__begins_with_figures_of_the_run_and_the_model(client_of: Callable[..., Client]) -> None:
    text = get(client_of("CRM manager"))
    found = data(text)
    step = found["steps"][found["chosen"]]
    assert (step["threshold"], step["players"]) == (0.5, 5)
    assert step["value"] == {"EUR": 4000.0}
    assert 0 < step["precision"] <= 1
    assert len(found["steps"]) == 101
    assert found["steps"][0]["recall"] == 1
    assert "Calibration" in text
    assert "baseline" in text


@pytest.fixture
def mixed() -> None:
    run = rows.run()
    for number, (currency, value) in enumerate((("EUR", "500"), ("EUR", "-200"), ("SEK", "3000"), ("SEK", "-9000"))):
        rows.score(run, rows.player(f"M-{number}", currency=currency), churn=0.8, value=value)
    rows.publish(run)


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("kind", ["churn", "engagement", "fraud"])
def test_distribution__several_currencies__can_be_told_apart_and_negative_values_are_not_at_stake(
    kind: str, client_of: Callable[..., Client]
) -> None:
    client = client_of(admin=True)
    text = get(client, f"?kind={kind}")
    assert "choose one currency above" in text
    assert f"?kind={kind}&amp;currency=SEK" in text
    assert (data(text)["currency"], data(text)["steps"][0]["players"]) == ("", 4)
    text = get(client, f"?kind={kind}&currency=SEK")
    step = data(text)["steps"][0]
    assert (data(text)["currency"], step["players"], step["share"]) == ("SEK", 2, 1)
    assert step["value"] == {"SEK": 3000.0}
    assert step["loss"] is None or 0 <= step["loss"]["SEK"] <= 3000
    assert "choose one currency above" not in text
    assert "contact, SEK<input" in text or "review, SEK<input" in text
    assert get(client, f"?kind={kind}&currency=XXX").count('aria-current="true"') >= 1


@pytest.mark.usefixtures("scored")
def test_churn__link_to_the_list__asks_for_everybody_as_the_distribution_counts(client_of: Callable[..., Client]) -> None:
    assert data(get(client_of("CRM manager")))["also"] == {"away": "all"}


@pytest.mark.usefixtures("scored")
def test_fraud__score_without_outcomes__shows_no_precision(client_of: Callable[..., Client]) -> None:
    text = get(client_of("Risk analyst"), "?kind=fraud")
    assert "not measured: reviews have no outcomes yet" in text
    assert {step["precision"] for step in data(text)["steps"]} == {None}


@pytest.mark.usefixtures("scored")
def test_value__slider__moves_over_amounts_of_one_currency(client_of: Callable[..., Client]) -> None:
    found = data(get(client_of("CRM manager"), "?kind=ltv"))
    assert found["currency"] == "EUR"
    assert found["steps"][0]["players"] == 10
    assert found["steps"][0]["value"] == {"EUR": 5500.0}


@pytest.mark.parametrize(
    ("kind", "loss", "against"),
    [
        ("churn", {"EUR": 3.0}, {"sum": "value", "of": "the value at stake"}),  # the value expects some to leave already
        ("fraud", {"EUR": 3.0}, {"sum": "loss", "of": "the value with the confirmed ones"}),
        ("fraud", None, {"sum": "value", "of": "the predicted value"}),
        ("engagement", {"EUR": 3.0}, {"sum": "value", "of": "the predicted value"}),
    ],
)
def test_pays_against__cost_of_a_contact__is_compared_with_what_a_contact_can_move(
    kind: str, loss: dict[str, float] | None, against: dict[str, str]
) -> None:
    assert distribution.pays_against(kind, [{"loss": loss}]) == against


@pytest.mark.usefixtures("scored")
def test_segments__instead_of_a_slider__show_clusters_and_named_segments(client_of: Callable[..., Client]) -> None:
    text = get(client_of("CRM manager"), "?kind=segmentation")
    assert "High value, active" in text
    assert "Champions" in text
    assert "distribution-data" not in text


@pytest.mark.usefixtures("scored")
def test_roles__kind_a_role_may_not_see__is_not_offered_and_not_shown(client_of: Callable[..., Client]) -> None:
    finance, url = client_of("Finance"), reverse("admin:predictions_distribution")
    assert finance.get(f"{url}?kind=fraud").status_code == 403
    assert "?kind=fraud" not in get(finance, "")
    assert client_of().get(reverse("admin:predictions_distribution")).status_code == 403


def test_distribution__no_run_yet__says_what_to_do(client_of: Callable[..., Client]) -> None:
    client = client_of(admin=True)
    for kind in ("churn", "ltv", "fraud", "segmentation", "engagement", "nonsense"):
        assert "No predictions yet" in get(client, f"?kind={kind}")
