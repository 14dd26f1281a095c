"""What happened after a cut-off, worked out by hand."""

import math
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from players.activity import ActivityKind
from players.models import Exclusion, Player
from players.services import ingest
from predictions.features import cutoffs, data_window, frame, history, labels, with_earlier
from predictions.features.history import sampled
from predictions.ml.features import FEATURE_NAMES, LABELS
from tests.factories import PlayerFactory
from tests.players.factories import payment, play, session

from .world import AS_OF, CUT, UNIT, D, ago, give_bonus, make_games, make_unit

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
THEN = CUT - 30 * DAY  # a cut-off whose horizon of 30 days ends with the cut


def outcome(player: Player, as_of: datetime = THEN, horizon: int = 30, until: datetime = AS_OF) -> dict:
    return labels(player.pk, player.pk + 1, as_of, horizon, until).loc[player.pk].to_dict()


@pytest.fixture
def player() -> Player:
    make_games()
    make_unit()
    return PlayerFactory(external_id="ben", registered_at=ago(200))


def pay(ref: str, at: datetime, amount: int = 10, **values: object) -> None:
    ingest(ActivityKind.PAYMENTS, [payment("ben", ref, at, amount=D(amount), **values)], at=AS_OF)


def bet(ref: str, at: datetime, stake: int = 10, payout: int = 0, bonus: int = 0) -> None:
    ingest(
        ActivityKind.PLAYS,
        [play("ben", ref, at, game_code="reel", stake=D(stake), payout=D(payout), bonus_stake=D(bonus))],
        at=AS_OF,
    )


def test_labels__nothing_happens__is_churn(player: Player) -> None:
    found = outcome(player)
    assert list(found) == list(LABELS)
    numbers = {name: found[name] for name in LABELS if not name.startswith("ngr")}
    assert numbers == {"churned": 1, "active_7d": 0, "deposit_days_horizon": 0, "spend_horizon": 0, "is_eligible": True}
    assert math.isnan(found["ngr_90d"])
    assert math.isnan(found["ngr_365d"])


@pytest.mark.parametrize(
    ("what", "at", "churned"),
    [
        ("deposit", THEN, 0),
        ("deposit", CUT - timedelta(microseconds=1), 0),
        ("deposit", THEN - timedelta(microseconds=1), 1),
        ("deposit", CUT, 1),
        ("real bet", THEN + 20 * DAY, 0),
        ("bonus bet", THEN + 20 * DAY, 1),
        ("failed deposit", THEN + 20 * DAY, 1),
        ("withdrawal", THEN + 20 * DAY, 1),
        ("session", THEN + 20 * DAY, 1),
    ],
)
def test_labels__churned__only_without_real_bet_and_deposit(player: Player, what: str, at: datetime, churned: int) -> None:
    if what.endswith("bet"):
        bet("p", at, stake=10, bonus=10 if what == "bonus bet" else 9)
    elif what == "session":
        ingest(ActivityKind.SESSIONS, [session("ben", "s", at)], at=AS_OF)
    else:
        pay("d", at, status="FAILED" if what == "failed deposit" else "COMPLETED", kind="WITHDRAWAL" if what == "withdrawal" else "DEPOSIT")
    assert outcome(player)["churned"] == churned


@pytest.mark.parametrize(("at", "active"), [(THEN, 1), (THEN + 7 * DAY - timedelta(seconds=1), 1), (THEN + 7 * DAY, 0)])
def test_labels__active_7d__ends_after_seven_days(player: Player, at: datetime, active: int) -> None:
    ingest(ActivityKind.SESSIONS, [session("ben", "s", at)], at=AS_OF)
    assert outcome(player)["active_7d"] == active


def test_labels__money__is_net_of_what_bonuses_cost(player: Player) -> None:
    then = CUT - 365 * DAY
    ingest(
        ActivityKind.PAYMENTS,
        [payment("unit-EUR", f"old{n}", then - DAY + timedelta(minutes=n), amount=D(50)) for n in range(30)],
        at=AS_OF,
    )
    Player.objects.filter(pk=player.pk).update(registered_at=then - DAY)
    bet("p0", then - timedelta(seconds=1), stake=1000)
    bet("p1", then, stake=100, payout=30)
    bet("p2", then + 90 * DAY - timedelta(seconds=1), stake=50, payout=60)
    bet("p3", then + 90 * DAY, stake=40, payout=0)
    bet("p4", CUT, stake=1000)
    give_bonus(player, "early", D(5), D(0), then + 10 * DAY)
    give_bonus(player, "late", D(7), D(0), then + 200 * DAY)
    give_bonus(player, "before", D(11), D(0), then - 2 * DAY)
    pay("d1", then, 20)
    pay("d2", then + timedelta(hours=5), 30)
    pay("d3", then + 29 * DAY, 25)
    pay("d4", then + 30 * DAY, 25)
    found = outcome(player, then)
    assert found["ngr_90d"] == (70 - 10 - 5) / 50  # one unit is what it was at that time
    assert found["ngr_365d"] == pytest.approx((70 - 10 + 40 - 12) / 50)
    assert found["deposit_days_horizon"] == 2
    assert found["spend_horizon"] == 75 / 50
    assert math.isnan(outcome(player, then, until=CUT - DAY)["ngr_365d"])
    assert outcome(player, then, until=CUT - DAY)["ngr_90d"] == (70 - 10 - 5) / 50


def test_labels__horizon_beyond_the_data__is_unknown_and_not_eligible(player: Player) -> None:
    found = outcome(player, THEN + DAY)
    assert all(math.isnan(found[name]) for name in ("churned", "deposit_days_horizon", "spend_horizon"))
    assert found["active_7d"] == 0
    assert found["is_eligible"] is False
    assert math.isnan(outcome(player, CUT - 6 * DAY)["active_7d"])


@pytest.mark.parametrize(
    ("starts", "ends", "eligible"),
    [
        (THEN - 10 * DAY, THEN, True),  # over as the horizon begins
        (THEN - 10 * DAY, THEN + timedelta(seconds=1), False),
        (THEN - 10 * DAY, None, False),
        (CUT - timedelta(seconds=1), None, False),
        (CUT, None, True),
    ],
)
def test_labels__exclusion__takes_the_player_out_when_it_overlaps(
    player: Player, starts: datetime, ends: datetime | None, eligible: bool
) -> None:
    Exclusion.objects.create(player=player, kind="COOL_OFF", starts_at=starts, ends_at=ends, recorded_at=starts)
    assert outcome(player)["is_eligible"] is eligible


def test_labels__closed_account__counts_only_where_it_outlived_the_horizon(player: Player) -> None:
    pay("d", THEN + 40 * DAY)
    Player.objects.filter(pk=player.pk).update(status="CLOSED")
    until = AS_OF + 60 * DAY
    assert outcome(player, THEN, until=until)["is_eligible"] is True
    assert outcome(player, THEN + 20 * DAY, until=until)["is_eligible"] is False
    assert outcome(player, THEN + 41 * DAY, until=until - DAY)["is_eligible"] is False
    assert outcome(player, THEN, until=CUT)["is_eligible"] is False  # what comes after the data is not known


def test_labels__currency_without_unit__is_not_eligible() -> None:
    make_unit()
    nils = PlayerFactory(currency="SEK", registered_at=ago(200))
    found = outcome(nils)
    assert found["is_eligible"] is False
    assert found["churned"] == 1
    assert math.isnan(found["spend_horizon"])


def test_labels__no_horizon__is_refused() -> None:
    with pytest.raises(ValueError, match="use at least 1"):
        labels(0, 1, THEN, 0, AS_OF)


def test_cutoffs__last_horizon__ends_with_the_data() -> None:
    found = cutoffs(AS_OF, 30, 3, 15)
    assert found == [CUT - 60 * DAY, CUT - 45 * DAY, CUT - 30 * DAY]
    with pytest.raises(ValueError, match="at least 1"):
        cutoffs(AS_OF, 30, 0)


def test_data_window__latest_event_of_any_kind(player: Player) -> None:
    assert data_window() == ((ago(60)).date(), ago(60, 2))  # the deposits that make the unit
    pay("d", ago(90, 8))
    ingest(ActivityKind.SESSIONS, [session("ben", "s", ago(2, 9, 30))], at=AS_OF)
    pay("e", ago(2, 8))
    assert data_window() == (ago(90).date(), ago(2, 9, 30))


def test_data_window__empty() -> None:
    assert data_window() == (None, None)


def test_history__frames_and_labels__are_those_of_each_cutoff(player: Player) -> None:
    others = [PlayerFactory(registered_at=ago(10 + 20 * number)) for number in range(6)]
    pay("d", ago(50))
    found = history(AS_OF, 30, 2)
    assert found.horizon_days == 30
    assert [one.as_of for one in found.cutoffs] == [CUT - 60 * DAY, CUT - 30 * DAY]
    for one in found.cutoffs:
        pd.testing.assert_frame_equal(one.features, frame(0, 2**62, one.as_of), check_exact=True)
        pd.testing.assert_frame_equal(one.labels, labels(0, 2**62, one.as_of, 30, AS_OF), check_exact=True)
        assert one.features.index.equals(one.labels.index)
    assert others[0].pk not in found.evaluation.features.index
    assert found.development[0].labels.loc[player.pk, "churned"] == 0


def test_with_earlier__adds_cutoffs_before_those_that_are_there(player: Player) -> None:
    PlayerFactory(registered_at=ago(400))
    near = history(AS_OF, 30, 2)
    found = with_earlier(near, AS_OF, [61, 365])
    assert [one.as_of for one in found.cutoffs] == [CUT - 365 * DAY, CUT - 61 * DAY, CUT - 60 * DAY, CUT - 30 * DAY]
    assert list(found.cutoffs[2:]) == list(near.cutoffs)
    pd.testing.assert_frame_equal(found.cutoffs[1].labels, labels(0, 2**62, CUT - 61 * DAY, 30, AS_OF), check_exact=True)
    for one in found.cutoffs[:2]:
        pd.testing.assert_frame_equal(one.features, frame(0, 2**62, one.as_of), check_exact=True)
    assert [player.pk in one.features.index for one in found.cutoffs] == [False, True, True, True]
    with pytest.raises(ValueError, match="is no earlier cut-off"):
        with_earlier(near, AS_OF, [60])


def test_history__sample__is_the_same_players_every_time(player: Player) -> None:
    for _ in range(20):
        PlayerFactory(registered_at=ago(100))
    one, again, other = (history(AS_OF, 30, 2, sample=8, seed=seed) for seed in (1, 1, 2))
    assert [len(cutoff.features) for cutoff in one.cutoffs] == [8, 8]
    for first, second in zip(one.cutoffs, again.cutoffs, strict=True):
        pd.testing.assert_frame_equal(first.features, second.features, check_exact=True)
        pd.testing.assert_frame_equal(first.labels, second.labels, check_exact=True)
        pd.testing.assert_frame_equal(first.features, frame(0, 2**62, first.as_of).loc[first.features.index], check_exact=True)
    assert one.cutoffs[0].features.index.equals(one.cutoffs[1].features.index)
    assert not one.cutoffs[0].features.index.equals(other.cutoffs[0].features.index)


def test_history__empty_database__has_empty_cutoffs() -> None:
    found = history(AS_OF, 30, 1)
    assert len(found.evaluation.features) == len(found.evaluation.labels) == 0
    assert list(found.evaluation.features.columns)[: len(FEATURE_NAMES)] == list(FEATURE_NAMES)


def test_history__always__beyond_the_sample_where_they_were_known(player: Player) -> None:
    later = AS_OF - timedelta(days=45)  # after the first cut-off, before the second
    others = [PlayerFactory(registered_at=AS_OF - timedelta(days=200)).pk for _ in range(20)]
    new = PlayerFactory(registered_at=later).pk
    alone = history(AS_OF, 30, 2, sample=5, seed=1)
    wanted = [*others[:3], new, max(others) + 1000]
    first, second = history(AS_OF, 30, 2, sample=5, seed=1, always=wanted).cutoffs
    assert set(first.features.index) == {*alone.cutoffs[0].features.index, *others[:3]}
    assert set(second.features.index) == {*alone.cutoffs[1].features.index, *others[:3], new}
    assert first.features.index.is_monotonic_increasing
    assert first.labels.index.equals(first.features.index)
    assert [cutoff.added for cutoff in (first, second)] == [
        {player for player in (*others[:3], new) if player in cutoff.features.index} - {*drawn.features.index}
        for cutoff, drawn in zip((first, second), alone.cutoffs, strict=True)
    ]
    assert second.features.index[second.is_drawn].equals(alone.cutoffs[1].features.index)
    assert all(cutoff.added == set() and cutoff.is_drawn.all() for cutoff in history(AS_OF, 30, 2, always=wanted).cutoffs)


def test_sampled__ids__are_spread_evenly_and_in_order() -> None:
    ids = np.arange(1, 100_001)
    found = sampled(ids, 10_000, seed=3)
    assert (np.diff(found) > 0).all()
    assert np.abs(np.histogram(found, bins=10, range=(1, 100_000))[0] - 1000).max() < 120
    assert sampled(ids[:5], 10, seed=3).tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="use at least 1"):
        sampled(ids, 0, seed=3)


def test_labels__unit__is_that_of_the_cutoff(player: Player) -> None:
    pay("d", THEN, 40)
    assert outcome(player)["spend_horizon"] == 40 / UNIT
