"""Every feature against numbers worked out by hand."""

import math
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from players.activity import ActivityKind
from players.services import ingest
from predictions.features import currency_units, frame, frame_for, iterate, ranges
from predictions.features.copying import read_columns
from predictions.ml.features import FEATURE_NAMES, FEATURES, GROUPS, MONEY_FEATURES, UNITS
from tests.cache import forget_cached
from tests.factories import PlayerFactory
from tests.players.factories import payment, session, totals

from .world import AS_OF, CUT, UNIT, D, ago, give_bonus, make_anna, make_games, make_stated, make_unit

pytestmark = pytest.mark.django_db
NAN = math.nan

ANNA = {
    "days_since_last_activity": 1,
    "sessions_7d": 2,
    "sessions_14d": 2,
    "sessions_30d": 3,
    "sessions_90d": 4,
    "session_minutes_mean": 45,
    "active_days_7d": 2,
    "active_days_30d": 3,
    "active_days_90d": 4,
    "active_weeks_90d": 3,
    "usual_gap_days": 94 / 4,
    "gap_overdue": 1 / 23.5,
    "sessions_trend": (3 / 30) / (4 / 90),
    "sessions_week_trend": (2 / 7) / (3 / 30),
    "weekend_share": 2 / 4,
    "top_weekday_share": 2 / 4,
    "days_since_last_deposit": 5,
    "deposit_count_30d": 3,
    "deposit_count_90d": 3,
    "deposits_30d": 50 / UNIT,
    "deposits_90d": 50 / UNIT,
    "deposit_count_total": 4,
    "deposits_total": 100 / UNIT,
    "deposit_mean": 25 / UNIT,
    "deposit_failure_rate": 1 / 5,
    "deposits_trend": 3,
    "withdrawals_90d": 25 / UNIT,
    "withdrawal_count_90d": 1,
    "days_since_last_play": 5,
    "stake_7d": 40 / UNIT,
    "stake_30d": 200 / UNIT,
    "stake_90d": 200 / UNIT,
    "stake_total": 200 / UNIT,
    "rounds_90d": 75,
    "stake_mean_90d": 200 / 75 / UNIT,
    "max_stake_90d": 4 / UNIT,
    "stake_trend": 3,
    "stake_week_trend": (40 / 7) / (200 / 30),
    "game_variety_90d": 2,
    "top_game_share_90d": 0.7,
    "slots_share_90d": 0.7,
    "table_share_90d": 0.3,
    "live_share_90d": 0,
    "sports_share_90d": 0,
    "win_ratio_90d": 0.65,
    "volatility_90d": math.sqrt(50) / 100,
    "ngr_30d": (200 - 130 - 8) / UNIT,
    "ngr_90d": (200 - 130 - 8) / UNIT,
    "ngr_365d": (200 - 130 - 8) / UNIT,
    "theo_90d": (140 * 0.04 + 60 * 0.027) / UNIT,
    "bg_frequency": 2,
    "bg_recency": 90 / 7,
    "bg_age": 95 / 7,
    "bg_spend": 25 / UNIT,
    "bonus_share_90d": 0.1,
    "bonuses_90d": 2,
    "bonus_take_rate": 2 / 3,
    "bonus_cost_90d": 8 / UNIT,
    "bonus_cost_share_90d": 8 / 50,
    "tenure_days": 100,
    "payment_methods": 3,
    "instruments": 3,
    "devices": 2,
    "ips": 2,
    "rapid_deposits": 3 / 5,
    "refunds_365d": 5 / UNIT,
}
NEVER = {
    *("days_since_last_activity", "session_minutes_mean", "usual_gap_days", "gap_overdue", "sessions_trend", "sessions_week_trend"),
    *("weekend_share", "top_weekday_share", "days_since_last_deposit", "deposit_mean", "deposit_failure_rate", "deposits_trend"),
    *("days_since_last_play", "stake_mean_90d", "stake_trend", "stake_week_trend", "top_game_share_90d", "slots_share_90d"),
    *("table_share_90d", "live_share_90d", "sports_share_90d", "win_ratio_90d", "volatility_90d", "bg_frequency", "bg_recency", "bg_age"),
    *("bg_spend", "bonus_share_90d", "bonus_take_rate", "bonus_cost_share_90d"),
}


def row(player_id: int) -> pd.Series:
    return frame_for([player_id], AS_OF).loc[player_id]


def test_catalogue__every_feature__has_words_unit_and_group() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURES) == len(ANNA)
    assert {feature.unit for feature in FEATURES} == set(UNITS)
    assert {feature.group for feature in FEATURES} == set(GROUPS)
    assert all(feature.label and feature.increases and feature.decreases and feature.definition for feature in FEATURES)


def test_frame__worked_player__has_every_figure() -> None:
    make_games()
    make_unit()
    anna = make_anna()
    found = row(anna.pk)
    assert found["currency"] == "EUR"
    assert found["currency_unit"] == UNIT
    assert found[list(FEATURE_NAMES)].astype(float).to_dict() == pytest.approx({name: ANNA[name] for name in FEATURE_NAMES}, rel=1e-14)


def test_frame__shape__is_one_float_row_per_known_player() -> None:
    make_unit()
    PlayerFactory(registered_at=CUT)  # registers as the cut falls: not known yet
    PlayerFactory(registered_at=None)  # never seen
    known = PlayerFactory(registered_at=CUT - timedelta(microseconds=1))
    found = frame(0, 2**62, AS_OF)
    assert list(found.columns) == [*FEATURE_NAMES, "currency", "currency_unit"]
    assert found.index.name == "player_id"
    assert found.index.dtype == np.int64
    assert (found.dtypes[list(FEATURE_NAMES)] == np.float64).all()
    assert len(found) == 2
    assert found.loc[known.pk, "tenure_days"] == 1


def test_frame__no_activity__is_zero_where_counted_and_unknown_where_divided() -> None:
    make_unit()
    found = row(PlayerFactory(registered_at=ago(1)).pk)[list(FEATURE_NAMES)].astype(float)
    assert set(found[found.isna()].index) == NEVER
    assert (found[[name for name in FEATURE_NAMES if name not in NEVER | {"tenure_days"}]] == 0).all()


def test_frame__new_player__has_trends_over_the_days_here() -> None:
    make_unit()
    player = PlayerFactory(external_id="new", registered_at=ago(10))
    ingest(ActivityKind.SESSIONS, [session("new", f"s{day}", ago(day)) for day in range(1, 11)], at=AS_OF)
    found = row(player.pk)
    assert found["sessions_trend"] == 1
    assert found["sessions_week_trend"] == pytest.approx((7 / 7) / (10 / 10))


def test_frame__statement__stands_for_the_days_up_to_its_own() -> None:
    make_games()
    make_unit()
    found = row(make_stated().pk)
    assert found["deposits_total"] == (200 + 60) / UNIT
    assert found["stake_total"] == (1000 + 30) / UNIT
    assert found["deposit_count_total"] == 2
    assert found["tenure_days"] == 30  # without a registration: from the first active day


def test_frame__statement_alone__makes_a_player_known() -> None:
    make_unit()
    player = PlayerFactory(external_id="only", registered_at=None)
    ingest(ActivityKind.TOTALS, [totals("only", ago(20), total_deposited=D(300), total_wagered=D(900))], at=AS_OF)
    found = row(player.pk)
    assert (found["deposits_total"], found["stake_total"]) == (300 / UNIT, 900 / UNIT)
    assert math.isnan(found["tenure_days"])


def test_frame__currency_with_few_deposits__has_no_monetary_feature() -> None:
    make_unit()
    make_unit("SEK", D(200), deposits=29)
    player = PlayerFactory(external_id="nils", currency="SEK")
    ingest(ActivityKind.PAYMENTS, [payment("nils", "f1", ago(5), amount=D(100), status="FAILED")], at=AS_OF)
    found = row(player.pk)
    assert currency_units(AS_OF) == {"EUR": UNIT}
    assert found["currency"] == "SEK"
    assert math.isnan(found["currency_unit"])
    assert found[list(MONEY_FEATURES)].isna().all()
    assert found["deposit_failure_rate"] == 1
    ingest(ActivityKind.PAYMENTS, [payment("nils", "d1", ago(400), amount=D(100))], at=AS_OF)
    forget_cached()
    assert "SEK" not in currency_units(AS_OF)  # more than 365 days ago
    ingest(ActivityKind.PAYMENTS, [payment("nils", "d2", ago(365, 0), amount=D(100))], at=AS_OF)
    forget_cached()
    assert currency_units(AS_OF)["SEK"] == 200


def test_frame__bonus_cost__uses_the_minor_units_of_the_currency() -> None:
    make_unit("JPY", D(1000))
    player = PlayerFactory(external_id="yuki", currency="JPY")
    give_bonus(player, "cash", D(500), D(0), ago(10))
    assert row(player.pk)["bonus_cost_90d"] == 0.5


def test_frame__split_into_ranges__gives_the_same_bits() -> None:
    make_games()
    make_unit()
    make_unit("SEK", D(200))
    make_anna()
    make_stated()
    for _ in range(5):
        PlayerFactory()
    whole = frame(0, 2**62, AS_OF)
    pieces = list(iterate(AS_OF, size=2))
    assert [len(piece) for piece in pieces] == [2, 2, 2, 2, 1]
    assert [upper for _, upper in ranges(2)][:-1] == [lower for lower, _ in ranges(2)][1:]
    joined = pd.concat(pieces)
    pd.testing.assert_frame_equal(joined, whole, check_exact=True)
    chosen = frame_for(whole.index[[6, 0, 3, 3]].tolist(), AS_OF)
    pd.testing.assert_frame_equal(chosen, whole.iloc[[0, 3, 6]], check_exact=True)


def test_frame__nobody__is_empty() -> None:
    found = frame(0, 0, AS_OF)
    assert len(found) == 0
    assert list(found.columns) == [*FEATURE_NAMES, "currency", "currency_unit"]
    assert ranges() == []
    assert list(iterate(AS_OF)) == []


def test_frame__as_of_without_zone__is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        frame(0, 1, AS_OF.replace(tzinfo=None))


def test_read_columns__null_or_other_width__is_refused() -> None:
    sql = "SELECT 1::bigint, 'EUR'::bytea, {}"
    assert read_columns(sql.format("2.5::float8"), {}, ["a"])[2].tolist() == [[2.5]]
    for wrong in ("NULL::float8", "2::int4", "2.5::float8, 1::float8"):
        with pytest.raises(RuntimeError, match="a query for columns gave"):
            read_columns(sql.format(wrong), {}, ["a"])


def test_frame__settings_of_the_callers_transaction__are_given_back() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '5MB'")
        frame(0, 10, AS_OF)
        cursor.execute("SELECT current_setting('work_mem')")
        assert cursor.fetchone()[0] == "5MB"


def test_currency_units__even_number__is_the_mean_of_the_middle_two() -> None:
    make_unit(deposits=30)
    player = PlayerFactory(external_id="rich")
    ingest(ActivityKind.PAYMENTS, [payment("rich", f"d{n}", ago(9, 1, n), amount=Decimal(40)) for n in range(30)], at=AS_OF)
    assert currency_units(AS_OF) == {"EUR": 30}
    assert row(player.pk)["deposit_mean"] == 40 / 30


def test_columns__while_statements_are_logged__are_read_all_the_same() -> None:
    with CaptureQueriesContext(connection):
        ids, currencies, values = read_columns("SELECT %(id)s::bigint, 'EUR'::bytea, 1.5::float8", {"id": 7}, ["one"])
    assert (ids.tolist(), currencies.tolist(), values.tolist()) == ([7], [b"EUR"], [[1.5]])
