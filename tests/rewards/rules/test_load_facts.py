"""Facts from the database: every fact of the catalogue can be loaded, exactly, and as of the asked instant."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from players.models import Player, PlayerTier
from rewards.facts import FactLoadError, load_facts
from rewards.rules.facts import ALIASES, CATALOGUE, Kind
from tests.factories import PlayerFactory, PlayerMetricsFactory, TierFactory
from wallet.services import Source, add_bonus, add_points

pytestmark = pytest.mark.django_db

METRICS = {
    "total_deposited": Decimal("5000.0001"), "total_withdrawn": Decimal("1.5"), "total_refunded": Decimal("2"),
    "total_wagered": Decimal("15000"), "total_won": Decimal("12000.29"), "net_pnl": Decimal("-2999.71"), "net_loss": Decimal("2999.71"),
    "house_edge_contribution": Decimal("600.1234565"), "bonus_wagered": Decimal("3"), "deposit_count": 4, "withdrawal_count": 5,
    "sessions": 25, "playtime_hours": Decimal("48.25"), "avg_session_duration": Decimal("115.2"), "total_bets": 9000,
    "avg_bet_size": Decimal("1.6667"), "active_days": 12, "first_activity_on": date(2025, 3, 1), "last_activity_on": date(2026, 3, 14),
    "last_deposit_on": date(2026, 3, 1), "last_play_on": date(2026, 3, 10), "win_loss_ratio": Decimal("0.800019"),
    "volatility_score": Decimal("1.5"), "bonus_abuse_score": Decimal("12.345"), "deposited_7d": Decimal("10"), "wagered_7d": Decimal("11"),
    "net_loss_7d": Decimal("12"), "sessions_7d": 13, "deposited_30d": Decimal("14"), "wagered_30d": Decimal("15"),
    "net_loss_30d": Decimal("16"), "sessions_30d": 17, "wagered_1d": Decimal("18"), "net_loss_1d": Decimal("19"),
}  # fmt: skip
# without a published scoring run nobody has a value
PREDICTED = ("churn_probability", "churn_risk", "predicted_value", "engagement_probability", "rfm_segment", "predicted_cluster")


@pytest.fixture
def player(now):
    tier = TierFactory(name="Gold", rank=2, earn_multiplier=Decimal("1.25"), cashback_multiplier=Decimal("1.5"))
    player = PlayerFactory(
        country="MT", currency="JPY", language="en", segment="LOSING", tier=tier, acquisition_channel="Affiliate \u00c9",
        registered_at=datetime(2025, 1, 1, 23, 30, tzinfo=UTC), birth_date=date(1990, 3, 16),
    )  # fmt: skip
    PlayerMetricsFactory(player=player, **METRICS)
    PlayerTier.objects.create(
        player=player, tier=tier, since=now, valid_until=datetime(2026, 4, 1, tzinfo=UTC), grace_until=datetime(2026, 4, 15, tzinfo=UTC),
        to_next=Decimal("49.75"), to_keep=Decimal("0.25"), next_review_at=datetime(2026, 4, 15, tzinfo=UTC), looked_at=now,
    )  # fmt: skip
    at = now
    add_points(player_id=player.pk, unit="LP", amount=Decimal("150.25"), source=Source("test", "1"), at=at)
    add_points(player_id=player.pk, unit="RP", amount=Decimal("7.5"), source=Source("test", "2"), at=at)
    add_points(player_id=player.pk, unit="TICKET", amount=Decimal(3), source=Source("test", "3"), at=at)
    add_bonus(
        player_id=player.pk, currency="JPY", amount=Decimal(900), wagering_required=Decimal(9000), expires_at=at + timedelta(days=2),
        source=Source("test", "4"), at=at,
    )  # fmt: skip
    return player


def test_load_facts__whole_catalogue__gives_every_value_exactly(player, now):
    facts = load_facts(CATALOGUE, now)
    assert facts.player_ids.tolist() == [player.pk]
    loaded = {name: facts.value(name, 0) for name in CATALOGUE}
    assert loaded == METRICS | {
        "house_edge_contribution": Decimal("600.123457"),  # kept to six places
        "segment": "LOSING", "tier": "Gold", "tier_rank": 2, "tier_earn_multiplier": Decimal("1.25"),
        "tier_cashback_multiplier": Decimal("1.5"), "country": "MT", "currency": "JPY", "language": "en", "status": "ACTIVE",
        "acquisition_channel": "Affiliate \u00c9", "age_years": 35, "birthday_today": False,
        "lp_balance": Decimal("150.25"), "lp_earned": Decimal("150.25"), "rp_balance": Decimal("7.5"), "ticket_balance": 3,
        "bonus_balance": Decimal(900), "open_bonuses": 1,
        "registered_on": date(2025, 1, 1), "days_since_registration": 438, "days_since_first_activity": 379,
        "days_since_last_activity": 1, "days_since_last_play": 5, "days_since_last_deposit": 14, "weekday": 7, "day_of_month": 15,
        "points_to_next": Decimal("49.75"), "points_to_keep": Decimal("0.25"), "days_to_review": 31, "in_grace": True,
        "tier_may_be_told": True,
        **dict.fromkeys(PREDICTED),
    }  # fmt: skip


def test_load_facts__player_without_anything__has_zeros_and_no_dates(now):
    PlayerFactory(country="", language="", registered_at=None)
    facts = load_facts(CATALOGUE, now)
    loaded = {name: facts.value(name, 0) for name in CATALOGUE}
    assert {name for name, value in loaded.items() if value is None} == {
        "tier", "tier_rank", "country", "language", "acquisition_channel", "age_years", "birthday_today", "registered_on",
        "days_since_registration", "first_activity_on", "last_activity_on", "last_play_on", "last_deposit_on",
        "days_since_first_activity", "days_since_last_activity", "days_since_last_play", "days_since_last_deposit",
        "points_to_next", "points_to_keep", "days_to_review", *PREDICTED,
    }  # fmt: skip
    assert all(CATALOGUE[name].nullable for name, value in loaded.items() if value is None)
    sums = {name: value for name, value in loaded.items() if CATALOGUE[name].unit.value in ("money", "count") and name not in PREDICTED}
    assert set(sums.values()) == {0}
    assert loaded["tier_cashback_multiplier"] == 1


def test_load_facts__earlier_instant__counts_days_from_it_and_knows_no_later_event(player, now):
    facts = load_facts(["days_since_last_play", "days_since_last_deposit", "last_play_on"], datetime(2026, 3, 5, tzinfo=UTC))
    assert [facts.value(name, 0) for name in ("days_since_last_play", "days_since_last_deposit", "last_play_on")] == [None, 4, None]


@pytest.mark.parametrize(
    ("born", "day", "expected"),
    [((1990, 3, 15), (2026, 3, 15), True), ((1990, 3, 15), (2026, 3, 14), False), ((1992, 2, 29), (2026, 2, 28), True),
     ((1992, 2, 29), (2028, 2, 28), False), ((1992, 2, 29), (2028, 2, 29), True)],
)  # fmt: skip
def test_load_facts__birthday__is_true_on_its_day(born, day, expected):
    PlayerFactory(birth_date=date(*born))
    assert load_facts(["birthday_today"], datetime(*day, 8, tzinfo=UTC)).value("birthday_today", 0) is expected


def test_load_facts__ranges_and_ids__pick_players_in_order(now):
    players = [PlayerFactory(segment=segment) for segment in ("NEW", "VIP", "NEW", "LOSING")]
    ids = [player.pk for player in players]
    by_range = load_facts(["segment"], now, lower_id=ids[1], upper_id=ids[3])
    assert by_range.player_ids.tolist() == ids[1:3]
    by_ids = load_facts(["segment"], now, player_ids=[ids[3], ids[0], 10**9])
    assert by_ids.player_ids.tolist() == [ids[0], ids[3]]
    assert [by_ids.value("segment", row) for row in (0, 1)] == ["NEW", "LOSING"]
    assert len(load_facts(["segment", "net_loss"], now, player_ids=[])) == 0


def test_load_facts__one_statement__reads_all_columns(now, django_assert_num_queries):
    PlayerFactory()
    with django_assert_num_queries(1):
        load_facts(["net_loss", "sessions", "days_since_last_play"], now)
    with django_assert_num_queries(3):  # and the names of two categories
        load_facts(["segment", "currency", "net_loss"], now)


def test_load_facts__unknown_name__is_refused(now):
    with pytest.raises(KeyError, match="net_los"):
        load_facts(["net_los"], now)


def test_load_facts__time_without_zone__is_refused():
    with pytest.raises(ValueError, match="time zone"):
        load_facts(["segment"], datetime(2026, 1, 1))  # noqa: DTZ001


def test_load_facts__figure_that_cannot_be_exact__is_refused(now):
    PlayerMetricsFactory(net_loss=Decimal("9999999999999999"))
    with pytest.raises(FactLoadError, match="too many digits"):
        load_facts(["net_loss"], now)


def test_catalogue__aliases__name_existing_facts_and_hide_none():
    assert set(ALIASES.values()) <= CATALOGUE.keys()
    assert not ALIASES.keys() & CATALOGUE.keys()
    assert CATALOGUE["segment"].values == tuple(
        Player._meta.get_field("segment").choices and dict(Player._meta.get_field("segment").choices)
    )


def test_catalogue__every_number_column__is_an_integer_array(player, now):
    facts = load_facts(CATALOGUE, now)
    assert {column.values.dtype for column in facts.columns.values()} == {np.dtype(np.int64)}
    assert all(facts.columns[name].scale == spec.places for name, spec in CATALOGUE.items() if spec.kind is Kind.NUMBER)
