"""The arithmetic of thresholds, by hand."""

import pytest

from predictions.admin import drawing, steps

BANDS = [
    {"from": 0.0, "to": 0.5, "players": 90, "sum": 18.0, "value": {"EUR": "900.00"}},
    {"from": 0.5, "to": 1.0, "players": 10, "sum": 8.0, "value": {"EUR": "500.00", "CAD": "20.00"}},
]
MEASURED = [{"predicted": 0.2, "observed": 0.1}, {"predicted": 0.8, "observed": 0.7}]


def test_observed_share__between_and_outside_of_what_was_measured__is_read_off_the_table() -> None:
    assert steps.observed_share(0.5, MEASURED) == pytest.approx(0.4)
    assert steps.observed_share(0.05, MEASURED) == 0.1
    assert steps.observed_share(0.99, MEASURED) == 0.7
    assert steps.observed_share(0.5, []) is None


def test_probability_steps__two_bands__count_what_lies_at_or_above() -> None:
    first, second, end = steps.probability_steps(BANDS, MEASURED)
    assert (first["players"], second["players"], end["players"]) == (100, 10, 0)
    # 90 players of mean probability 0.2, of whom 0.1 left; 10 of mean 0.8, of whom 0.7 left
    assert first["expected"] == pytest.approx(16.0)
    assert second["expected"] == pytest.approx(7.0)
    assert first["precision"] == pytest.approx(0.16)
    assert second["precision"] == pytest.approx(0.7)
    assert second["recall"] == pytest.approx(7 / 16)
    assert second["value"] == {"CAD": 20.0, "EUR": 500.0}
    assert first["loss"] == {"CAD": 14.0, "EUR": 440.0}  # 900 x 0.1 + 500 x 0.7
    assert (end["precision"], end["threshold"], end["value"]) == (None, 1.0, {})


def test_probability_steps__nothing_was_measured__there_is_no_precision() -> None:
    found = steps.probability_steps(BANDS, [])
    assert {step["precision"] for step in found} == {None}
    assert {step["loss"] is None for step in found} == {True}
    assert found[1]["players"] == 10


def test_amount_steps__one_currency__sum_what_is_predicted() -> None:
    bands = [
        {"currency": "EUR", "from": 0.0, "to": 100.0, "players": 3, "value": {"EUR": "150"}},
        {"currency": "EUR", "from": 100.0, "to": 200.0, "players": 1, "value": {"EUR": "120"}},
    ]
    first, second = steps.amount_steps(bands, "EUR")
    assert (first["players"], first["value"]) == (4, {"EUR": 270.0})
    assert (second["players"], second["share"], second["value"]) == (1, 0.25, {"EUR": 120.0})


def test_step_at__threshold_between_two_steps__takes_the_one_above() -> None:
    found = [{"threshold": 0.0}, {"threshold": 0.5}, {"threshold": 1.0}]
    assert [steps.step_at(found, at) for at in (0.0, 0.3, 0.5, 2.0)] == [0, 1, 1, 2]


@pytest.mark.parametrize(("highest", "ticks"), [(0.4, 5), (1.0, 5), (2.3, 6), (7.2, 5), (45.0, 6), (130.0, 4), (0.0, 5)])
def test_lift__any_height__has_an_axis_of_round_ticks_above_it(highest: float, ticks: int) -> None:
    chart = drawing.lift([{"decile": 1, "n": 10, "positives": 3, "lift": highest}])
    assert chart is not None
    assert len(chart["y_ticks"]) == ticks
    assert float(chart["bars"][0]["y"]) >= drawing.TOP - 0.1


def test_drawings__nothing_to_draw__are_none() -> None:
    assert (drawing.lift([]), drawing.calibration([]), drawing.deciles([]), drawing.spark([]), drawing.thresholds([])) == (None,) * 5
