"""Nothing that happens from the cut on changes one bit of a feature; what happens just before it does."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from players.activity import ActivityKind
from players.models import Player
from players.services import exclude_player, ingest, set_deposit_limit, set_harm_flag
from predictions.features import currency_units, frame
from predictions.ml.features import FEATURE_NAMES
from tests.factories import PlayerFactory, TierFactory
from tests.players.factories import payment, play, session, totals

from .world import AS_OF, CUT, D, ago, give_bonus, make_anna, make_games, make_stated, make_unit

pytestmark = pytest.mark.django_db

LATE = [CUT, AS_OF, AS_OF + timedelta(hours=6), CUT + timedelta(days=1), CUT + timedelta(days=200)]
JUST_BEFORE = CUT - timedelta(microseconds=1)


def pay(anna: Player, moments: list) -> None:
    kinds = [
        ("DEPOSIT", "COMPLETED"),
        ("DEPOSIT", "FAILED"),
        ("WITHDRAWAL", "COMPLETED"),
        ("REFUND", "COMPLETED"),
        ("CHARGEBACK", "COMPLETED"),
    ]
    rows = [
        payment("anna", f"x{n}{kind}{status}", at, kind=kind, status=status, amount=D(777), method=f"new{n}", instrument=f"i{n}")
        for n, at in enumerate(moments)
        for kind, status in kinds
    ]
    ingest(ActivityKind.PAYMENTS, rows, at=AS_OF)


def visit(anna: Player, moments: list) -> None:
    rows = [session("anna", f"x{n}", at, at + timedelta(minutes=5), ip=f"10.9.0.{n}", device_id=f"x{n}") for n, at in enumerate(moments)]
    ingest(ActivityKind.SESSIONS, rows, at=AS_OF)


def bet(anna: Player, moments: list) -> None:
    rows = [
        play("anna", f"x{n}", at, game_code="dealer", stake=D(500), payout=D(90), bonus_stake=D(5), rounds=3)
        for n, at in enumerate(moments)
    ]
    ingest(ActivityKind.PLAYS, rows, at=AS_OF)


def state(anna: Player, moments: list) -> None:
    rows = [totals("anna", at, total_deposited=D(9000), total_wagered=D(9000), sessions=50, bets=5) for at in moments]
    ingest(ActivityKind.TOTALS, rows, at=AS_OF)


def give(anna: Player, moments: list) -> None:
    for number, at in enumerate(moments):
        give_bonus(anna, f"x-free{number}", D(70), D(0), at)
        give_bonus(anna, f"x-queued{number}", D(70), D(100), at)


def end_session(anna: Player, moments: list) -> None:
    """The session that was going on at the cut ends earlier or later than was known."""
    ingest(
        ActivityKind.SESSIONS,
        [session("anna", "s4", ago(1, 23, 30), moment, ip="10.0.0.2", device_id="two") for moment in moments[-1:]],
        at=AS_OF,
    )


KINDS = {"payments": pay, "sessions": visit, "plays": bet, "totals": state, "grants": give, "ends of sessions": end_session}


def world() -> tuple[Player, pd.DataFrame]:
    make_games()
    make_unit()
    anna = make_anna()
    make_stated()
    PlayerFactory(external_id="quiet", registered_at=ago(3))
    return anna, frame(0, 2**62, AS_OF)


def same_bits(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    columns = [*FEATURE_NAMES, "currency_unit"]
    return one.index.equals(other.index) and np.array_equal(
        one[columns].to_numpy().view(np.uint64), other[columns].to_numpy().view(np.uint64)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_frame__events_from_the_cut_on__change_no_bit(kind: str) -> None:
    anna, before = world()
    KINDS[kind](anna, LATE)
    assert same_bits(before, frame(0, 2**62, AS_OF))


@pytest.mark.parametrize("kind", KINDS)
def test_frame__the_same_events_just_before_the_cut__change_it(kind: str) -> None:
    """The control: the comparison above would notice."""
    anna, before = world()
    KINDS[kind](anna, [JUST_BEFORE])
    assert not same_bits(before, frame(0, 2**62, AS_OF))


def test_frame__all_kinds_and_all_that_is_kept_of_a_player_later__change_no_bit() -> None:
    anna, before = world()
    for add in KINDS.values():
        add(anna, LATE)
    exclude_player(anna.pk, "SELF_EXCLUSION", AS_OF, None, "asked", None, AS_OF)
    exclude_player(anna.pk, "COOL_OFF", CUT + timedelta(days=3), CUT + timedelta(days=9), "asked", None, AS_OF)
    set_deposit_limit(anna.pk, "DAY", D(5), None, AS_OF)
    set_harm_flag(anna.pk, True, "worried", None, AS_OF)
    # what a player is today says nothing of what it was then
    Player.objects.filter(pk=anna.pk).update(status="CLOSED", segment="VIP", tier=TierFactory(), risk_score=99)
    PlayerFactory(external_id="later", registered_at=AS_OF)
    ingest(ActivityKind.PAYMENTS, [payment("later", f"d{n}", AS_OF + timedelta(minutes=n), amount=D(9999)) for n in range(99)], at=AS_OF)
    assert currency_units(AS_OF) == {"EUR": 20}
    assert same_bits(before, frame(0, 2**62, AS_OF))


@pytest.mark.parametrize("hour", [0, 2, 23])
def test_frame__any_hour_of_the_day__is_the_same_cut(hour: int) -> None:
    _, before = world()
    assert same_bits(before, frame(0, 2**62, CUT + timedelta(hours=hour)))
