"""A player described by deposits, as the purchase model reads and values them."""

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from predictions.ml import clv, profile_deposits
from predictions.ml.bgnbd import BgNbd
from predictions.ml.gamma_gamma import GammaGamma
from predictions.ml.ltv_deposits import Deposits
from predictions.ml.profile_schema import InvalidProfile

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
BG, GG = BgNbd(0.243, 4.414, 0.793, 2.426, -9582.4, 2357), GammaGamma(6.25, 3.74, 15.44, 0.0, 946)  # CDNOW, as published
MODEL = Deposits(bg=BG, gg=GG, margin=0.5, pooled={90: 1.0, 365: 3.0}, means=(0.7, 2.0, 30.0))


def described(*deposits, as_of=NOW):
    rows = [{"occurred_at": NOW - timedelta(days=ago), "amount": amount} for ago, amount in deposits]
    return profile_deposits.read({"currency": "EUR", "deposits": rows}, as_of)


def test_history__two_on_one_day__days_count_and_the_first_is_no_repeat():
    row = profile_deposits.history(described((60, 110), (100, 150), (60.2, 110.2), (10, 60)), unit=10).iloc[0]
    assert row.bg_frequency == 2
    assert (row.bg_recency, row.bg_age) == pytest.approx((90 / 7, 100 / 7))
    assert row.bg_spend == pytest.approx((110 + 110.2 + 60) / 2 / 10)
    first = profile_deposits.history(described((100, 150)), unit=10).iloc[0]
    assert (first.bg_frequency, first.bg_recency, math.isnan(first.bg_spend)) == (0, 0, True)


def test_history__days_are_those_of_the_features__midnight_divides_them():
    """As in the roll-up, a day is a date in UTC: two deposits an hour apart around midnight are a repeat."""
    rows = [{"occurred_at": "2026-03-01T23:30:00Z", "amount": 20}, {"occurred_at": "2026-03-02T00:30:00Z", "amount": 40}]
    row = profile_deposits.history(profile_deposits.read({"currency": "EUR", "deposits": rows}, NOW), unit=1).iloc[0]
    assert (row.bg_frequency, row.bg_recency, row.bg_age, row.bg_spend) == pytest.approx((1, 1 / 7, 14 / 7, 40))


def test_value__in_the_currency__is_the_models_and_adds_up():
    person = described((100, 150), (60, 110), (10, 60))
    found = profile_deposits.value(MODEL, person, unit=10)
    frame = profile_deposits.history(person, unit=10)
    purchases = float(BG.expected_purchases(365 / 7, 2, 90 / 7, 100 / 7))
    assert found["purchases"] == pytest.approx(purchases)
    assert found["alive"] == pytest.approx(float(BG.probability_alive(2, 90 / 7, 100 / 7)))
    assert found["value"] == pytest.approx(0.5 * purchases * float(GG.expected_spend(2, 8.5)) * 10)
    assert found["base"] + sum(one["contribution"] for one in found["drivers"]) == pytest.approx(found["value"])
    sizes = [abs(one["contribution"]) for one in found["drivers"]]
    assert sizes == sorted(sizes, reverse=True)
    drawn = clv.simulate(BG, GG, frame, 365, draws=200_000, rng=np.random.default_rng(1))[0] * 0.5 * 10
    # nothing at all is likelier than a tenth here, so the lower end is 0 and only the upper one cuts off a tenth
    assert ((drawn == 0).mean() > 0.1, found["low"]) == (True, 0)
    assert (drawn > found["high"]).mean() == pytest.approx(0.1, abs=0.01)
    assert (drawn > found["median"]).mean() == pytest.approx(0.5, abs=0.015)
    assert profile_deposits.value(MODEL, person, unit=10) == found


def test_value__another_unit__scales_with_the_amounts():
    """Amounts and unit ten times as large describe the same player in another currency."""
    small = profile_deposits.value(MODEL, described((100, 150), (10, 60)), unit=10)
    large = profile_deposits.value(MODEL, described((100, 1500), (10, 600)), unit=100)
    for name in ("value", "low", "median", "high", "base"):
        assert large[name] == pytest.approx(10 * small[name])
    assert large["alive"] == small["alive"]


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        ({"currency": ""}, {"currency": "is needed."}),
        ({"deposits": []}, {"deposits": "must hold at least one: of somebody who never deposited the purchase model knows nothing."}),
        ({"deposits": "none"}, {"deposits": "must be a list."}),
        ({"deposits": [{"occurred_at": NOW, "amount": 0}]}, {"deposits[0].amount": "must be above 0."}),
        ({"deposits": [{"occurred_at": NOW, "amount": -5}]}, {"deposits[0].amount": "must be between 0 and 1,000,000,000,000."}),
        ({"deposits": [{"amount": Decimal(5)}]}, {"deposits[0].occurred_at": "is needed."}),
        (
            {"as_of": NOW, "deposits": [{"occurred_at": NOW + timedelta(minutes=1), "amount": 5}]},
            {"deposits[0].occurred_at": "lies after the instant of scoring."},
        ),
        (
            {"deposits": [{"occurred_at": NOW + timedelta(days=1, minutes=1), "amount": 5}]},
            {"deposits[0].occurred_at": "lies in the future."},
        ),
        ({"as_of": NOW + timedelta(days=1, minutes=1)}, {"as_of": "lies in the future."}),
        ({"as_of": "2036-01-01"}, {"as_of": "lies in the future."}),
        ({"age": 40}, {"age": "is not known; fields are currency, deposits, as_of, player_id."}),
    ],
)
def test_read__what_is_wrong__named_field_by_field(change, errors):
    profile = {"currency": "EUR", "deposits": [{"occurred_at": NOW, "amount": 5}]}
    with pytest.raises(InvalidProfile) as refused:
        profile_deposits.read({**profile, **change}, NOW)
    assert refused.value.errors == errors


def test_read__a_clock_ahead_of_ours__its_deposit_is_of_the_day_of_scoring():
    ahead = profile_deposits.read({"currency": "EUR", "deposits": [{"occurred_at": NOW + timedelta(days=1), "amount": 5}]}, NOW)
    assert (ahead.deposits, ahead.day) == (((date(2026, 3, 16), 5.0),), date(2026, 3, 16))
    told = {"as_of": NOW + timedelta(days=1), "currency": "EUR", "deposits": [{"occurred_at": NOW, "amount": 5}]}
    assert profile_deposits.read(told, NOW).day == date(2026, 3, 16)
    assert profile_deposits.read({**told, "as_of": None}, NOW).day == date(2026, 3, 15)


def test_outside__tails_are_those_of_the_fitted_populations():
    """Against a draw of depositors: one in a hundred of them lies beyond the limit of one in a hundred."""
    rng = np.random.default_rng(5)
    rate = rng.gamma(GG.q, 1 / GG.v, 400_000)
    spend = rng.gamma(GG.p * 3, 1 / rate) / 3  # means of three repeat days
    deposits = rng.poisson(rng.gamma(BG.r, 1 / BG.alpha, 400_000) * 20)
    frame = profile_deposits.history(described((100, 15), (60, 11), (30, 11), (10, 6)), unit=1)
    for column, drawn in (("bg_spend", spend), ("bg_frequency", deposits)):
        limit = np.quantile(drawn, 1 - 1e-3)
        for factor, outside in ((3.0, [column]), (0.5, [])):
            changed = frame.assign(bg_age=20.0, **{column: np.ceil(limit * factor)})
            assert profile_deposits.outside(MODEL, changed) == outside, (column, factor)
