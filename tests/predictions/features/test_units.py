"""What is remembered of the units of currencies, and what makes it forgotten."""

import importlib
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from players.activity import ActivityKind
from players.services import ingest
from predictions.features import currency_units, frame_for, history, labels_for
from tests.factories import PlayerFactory
from tests.players.factories import payment
from tests.predictions.features.world import AS_OF, UNIT, D, ago, make_unit

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def payments_so_far() -> None:
    """So many payments were recorded before that some dozens more are far from a twentieth, and in the middle between two steps."""
    recorded(int(1.05**300.5))


def recorded(payments: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('players_payment_id_seq', %s)", [payments])


def medians_computed(queries: CaptureQueriesContext) -> int:
    return sum("percentile_cont" in one["sql"] for one in queries.captured_queries)


def test_currency_units__payment_since__are_not_computed_again() -> None:
    player = make_unit()
    assert currency_units(AS_OF) == {"EUR": UNIT}
    ingest(ActivityKind.PAYMENTS, [payment(player.external_id, "late", ago(3), amount=D(900))], at=AS_OF)
    with CaptureQueriesContext(connection) as queries:
        assert currency_units(AS_OF) == {"EUR": UNIT}
        assert currency_units(AS_OF + timedelta(hours=11)) == {"EUR": UNIT}  # the same day
    assert medians_computed(queries) == 0
    with CaptureQueriesContext(connection) as queries:
        currency_units(AS_OF + timedelta(days=1))
    assert medians_computed(queries) == 1  # the control: another day is another figure


def test_currency_units__import_of_many_since__are_computed_again() -> None:
    make_unit()
    assert currency_units(AS_OF) == {"EUR": UNIT}
    player = PlayerFactory(external_id="nils", currency="SEK")
    some = [payment(player.external_id, f"d{n}", ago(9) + timedelta(seconds=n), amount=D(200)) for n in range(30)]
    ingest(ActivityKind.PAYMENTS, some, at=AS_OF)
    assert currency_units(AS_OF) == {"EUR": UNIT}
    recorded(int(1.05**301.5))  # as if they were among many more
    assert currency_units(AS_OF) == {"EUR": UNIT, "SEK": 200}


def test_labels__units_of_the_frame__are_taken_as_given() -> None:
    player = make_unit()
    spent = D(UNIT * 61)
    found = labels_for([player.pk], ago(61, 0), 30, AS_OF, units={"EUR": 40.0})
    assert found["spend_horizon"].tolist() == [float(spent) / 40]
    assert labels_for([player.pk], ago(61, 0), 30, AS_OF, units={})["is_eligible"].tolist() == [False]
    assert frame_for([player.pk], AS_OF, units={"EUR": 40.0})["deposits_total"].tolist() == [float(spent) / 40]


@pytest.mark.parametrize("sample", [None, 10])
def test_history__units_that_change_between_two_looks__are_one_for_features_and_labels(
    sample: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = make_unit()
    units = iter([{"EUR": 40.0}, {"EUR": 80.0}])
    for module in ("history", "labels", "frames"):
        monkeypatch.setattr(importlib.import_module(f"predictions.features.{module}"), "currency_units", lambda _at: next(units))
    found = history(AS_OF, 61, 1, sample=sample).evaluation
    assert found.features.loc[player.pk, "currency_unit"] == 40.0
    assert found.labels.loc[player.pk, "spend_horizon"] == UNIT * 61 / 40
