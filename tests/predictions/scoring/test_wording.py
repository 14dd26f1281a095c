"""Words of reasons: amounts in the player's currency, what is more than usual, what is unknown, and which side a reason is on."""

import json
from decimal import Decimal
from typing import Any

import pytest

from predictions import wording
from predictions.admin.export import reasons_text
from predictions.admin.parts import reason_list
from predictions.ml.features import BY_NAME, FEATURES
from predictions.models import ChurnScore, Kind, ScoringRun
from predictions.services import MoneyUnit, in_words, money_unit

EURO = MoneyUnit("EUR", 60.0)
WEEKEND = [0.1, 0.25, 0.5]


def told(feature: str, value: float | None, quartiles: list[float] | None = None, unit: MoneyUnit = EURO, **more: Any) -> str:
    reason = {"feature": feature, "value": value, "contribution": 1.0} | ({"quartiles": quartiles} if quartiles else {})
    (found,) = wording.in_words(Kind.CHURN, [reason], unit, **more)
    return found.words


@pytest.mark.parametrize(
    ("feature", "value", "unit", "words"),
    [
        ("deposits_total", 371.25, EURO, "deposited in all: 22,275.00 EUR"),
        ("max_stake_90d", 0.081, EURO, "highest stake in 90 days: 4.86 EUR"),
        ("ngr_90d", -2.5, EURO, "net gaming revenue in 90 days: -150.00 EUR"),
        ("deposits_total", 3.0, MoneyUnit("JPY", 5000.0), "deposited in all: 15,000 JPY"),
        ("deposits_total", 371.25, MoneyUnit("SEK", None), "deposited in all: 371.25 typical deposits"),
        ("deposits_total", 2.0, MoneyUnit(), "deposited in all: 2.00 typical deposits"),
        ("usual_gap_days", 99.7, EURO, "usual days between visits: 100"),
        ("win_ratio_90d", 99.7, EURO, "won per unit staked: 100"),
        ("win_ratio_90d", 0.954, EURO, "won per unit staked: 0.95"),
        ("gap_overdue", 25.3, EURO, "time away, in multiples of the usual break: 25"),
        ("bonus_share_90d", 0.004, EURO, "share of stakes paid with bonus money: <1 %"),
        ("bonus_share_90d", 0.0, EURO, "share of stakes paid with bonus money: 0 %"),
        ("bonus_share_90d", 0.997, EURO, "share of stakes paid with bonus money: >99 %"),
        ("something_new", 3.0, EURO, "something new: 3"),
    ],
)
def test_figures__without_quartiles__are_stated_alone(feature: str, value: float, unit: MoneyUnit, words: str) -> None:
    assert told(feature, value, unit=unit) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.6, "comes at weekends more than usual (share of active days at weekends: 60 %)"),
        (0.5, "share of active days at weekends: 50 %"),
        (0.502, "share of active days at weekends: 50 %"),  # reads like the upper quartile
        (0.26, "share of active days at weekends: 26 %"),
        (0.05, "comes on working days more than usual (share of active days at weekends: 5 %)"),
    ],
)
def test_quartiles__only_outside_the_middle_half__more_or_less_than_usual(value: float, words: str) -> None:
    assert told("weekend_share", value, WEEKEND) == words


def test_figure_text__money_and_what_is_not_known__as_staff_read_it() -> None:
    assert wording.figure_text(BY_NAME["deposit_mean"], 2.0, EURO) == "120.00 EUR"
    assert wording.figure_text(BY_NAME["deposit_mean"], None, EURO) == "not known"
    assert wording.figure_text(BY_NAME["sessions_30d"], 2.0, EURO) == "2"


def test_quartiles__median_of_zero_and_next_to_nothing__is_not_high() -> None:
    assert told("bonus_share_90d", 0.003, [0.0, 0.0, 0.0]) == "share of stakes paid with bonus money: <1 %"
    assert told("bonus_share_90d", 0.3, [0.0, 0.0, 0.0]).startswith("plays with bonus money more than usual")
    assert told("tenure_days", 181, [90.0, 250.0, 400.0]) == "days since registration: 181"


def test_quartiles__reason_of_an_older_run_with_the_median_alone__is_neutral() -> None:
    (found,) = in_words(Kind.CHURN, [{"feature": "sessions_30d", "value": 9, "contribution": 1.0, "typical": 3.0}], EURO)
    assert found.words == "sessions in 30 days: 9"
    assert wording.quartiles({"features": {"a": {"median": 3.0}, "b": {"median": None, "quartiles": None}}}) == {}
    assert wording.quartiles({}) == {}


def test_unknown__says_what_never_happened_but_not_of_a_described_person() -> None:
    assert told("days_since_last_activity", None) == "no activity yet"
    assert told("days_since_last_deposit", None) == "no deposit yet"
    assert told("bonus_share_90d", None) == "nothing staked in 90 days"
    assert told("sessions_30d", None) == "sessions in 30 days: not known"
    assert told("days_since_last_deposit", None, not_told=["days_since_last_deposit"]) == "days since last deposit: not known"
    # of a currency with too few deposits no amount is known, whatever was deposited
    assert told("deposit_mean", None) == "no deposit yet"
    assert told("deposit_mean", None, unit=MoneyUnit("SEK", None)) == "usual deposit: not known"


def test_catalogue__feature_that_may_be_unknown__has_words_for_it() -> None:
    assert [one.name for one in FEATURES if ("NaN" in one.definition) != (one.unknown != "not known")] == []


def test_amounts__beside_the_value__and_contributions_to_the_value_in_the_currency() -> None:
    reasons = [
        {"feature": "deposits_90d", "value": 2.0, "contribution": 0.5},
        {"feature": "sessions_30d", "value": 9, "contribution": -0.25},
    ]
    money, count = in_words(Kind.LTV, reasons, EURO)
    assert (money.value, money.amount, money.currency, money.contribution) == (2.0, Decimal("120.0000"), "EUR", 30.0)
    assert (count.value, count.amount, count.currency, count.contribution) == (9.0, None, "", -15.0)
    assert in_words(Kind.CHURN, reasons, EURO)[0].contribution == 0.5
    unknown = in_words(Kind.LTV, reasons, MoneyUnit("SEK", None))[0]
    assert (unknown.amount, unknown.currency, unknown.contribution) == (None, "", 0.5)


def test_money_unit__of_a_run__is_what_its_features_were_divided_by() -> None:
    run = ScoringRun(summary={"units": {"EUR": 60.0}})
    assert money_unit(run, "EUR") == EURO
    assert money_unit(run, "SEK") == MoneyUnit("SEK", None)


STORED = [
    {"feature": "deposits_90d", "value": 2.0, "contribution": -2.0},
    {"feature": "sessions_30d", "value": 1.0, "contribution": 1.5},
    {"feature": "devices", "value": 3.0, "contribution": 0.5},
]


@pytest.mark.parametrize(
    ("kind", "probability", "order"),
    [
        (Kind.CHURN, 0.92, ["sessions_30d", "devices", "deposits_90d"]),
        (Kind.CHURN, 0.5, ["sessions_30d", "devices", "deposits_90d"]),
        (Kind.CHURN, 0.49, ["deposits_90d", "sessions_30d", "devices"]),
        (Kind.ENGAGEMENT, 0.1, ["deposits_90d", "sessions_30d", "devices"]),
        (Kind.FRAUD, None, ["sessions_30d", "devices", "deposits_90d"]),
        (Kind.LTV, None, ["sessions_30d", "devices", "deposits_90d"]),
        (Kind.SEGMENTATION, None, ["sessions_30d", "devices", "deposits_90d"]),
    ],
)
def test_order__first_what_speaks_for_the_label(kind: str, probability: float | None, order: list[str]) -> None:
    assert [one.feature for one in in_words(kind, STORED, EURO, probability)] == order


def churn(probability: float) -> Any:
    row: Any = ChurnScore(probability=probability, reasons=json.loads(json.dumps(STORED)))
    row.unit = EURO
    return row


def test_list__high_risk__begins_with_what_speaks_for_leaving() -> None:
    high, low = str(reason_list(Kind.CHURN, churn(0.92))), str(reason_list(Kind.CHURN, churn(0.08)))
    assert high.index("+ for:") < high.index("sessions in 30 days: 1") < high.index("devices in 90 days: 3") < high.index("- against:")
    assert '<span class="lb-good">- against:</span> deposited money in 90 days: 120.00 EUR' in high
    assert '<span class="lb-good">+ for:</span> deposited money in 90 days: 120.00 EUR' in low
    assert low.count("against:") == 1  # the one that weighs most against it


def test_export__reasons__begin_with_words() -> None:
    assert reasons_text(Kind.CHURN, churn(0.92)) == (
        "for: sessions in 30 days: 1; devices in 90 days: 3; against: deposited money in 90 days: 120.00 EUR"
    )
    assert reasons_text(Kind.CHURN, churn(0.08)).startswith("for: deposited money in 90 days: 120.00 EUR; against: ")
    row = churn(0.92)
    row.reasons = []
    assert reasons_text(Kind.CHURN, row) == ""


def test_scales__are_told_in_plain_words() -> None:
    for scale in ("log-odds", "log-odds before calibration"):
        assert wording.scale_words(scale) == "in points on the model's scale: positive ones raise it"
    assert "nearer to this cluster" in wording.scale_words("squared standard deviations nearer than the next cluster")
    assert "stand out more" in wording.scale_words("splits saved")
