"""Players whose every figure can be worked out on paper, as of Sunday 2026-03-15."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from players.activity import ActivityKind
from players.models import Player
from players.services import ingest
from tests.factories import GameFactory, PlayerFactory
from tests.players.factories import payment, play, session, totals
from wallet.services import Source, add_bonus

D = Decimal
AS_OF = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)
CUT = datetime(2026, 3, 15, tzinfo=UTC)
UNIT = 20


def ago(days: int, hour: int = 12, minute: int = 0) -> datetime:
    """An instant on the day so many days before the cut; negative: after it."""
    return CUT - timedelta(days=days) + timedelta(hours=hour, minutes=minute)


def make_games() -> None:
    GameFactory(code="reel", category="slots", house_edge=D("0.04"))
    GameFactory(code="wheel", category="roulette", house_edge=D("0.027"))
    GameFactory(code="dealer", category="live", house_edge=D("0.01"))


_UNIT_DEPOSIT = D(UNIT)


def make_unit(currency: str = "EUR", amount: Decimal = _UNIT_DEPOSIT, deposits: int = 61) -> Player:
    """A player whose deposits make the currency's median, whatever the few others do."""
    player = PlayerFactory(external_id=f"unit-{currency}", currency=currency)
    ingest(
        ActivityKind.PAYMENTS,
        [payment(player.external_id, f"u{number}", ago(60, 1) + timedelta(minutes=number), amount=amount) for number in range(deposits)],
        at=AS_OF,
    )
    return player


def make_anna() -> Player:
    """100 days here, 95 days of deposits, four visits, three bonuses."""
    anna = PlayerFactory(external_id="anna", registered_at=ago(100, 3))
    paid = [
        payment("anna", "d1", ago(95), amount=D(50), method="card", instrument="c1"),
        payment("anna", "d2", ago(23), amount=D(30), method="card", instrument="c1"),
        payment("anna", "f1", ago(23), amount=D(30), method="card", instrument="c2", status="FAILED"),
        payment("anna", "d3", ago(5), amount=D(10), method="paypal", instrument="p1"),
        payment("anna", "d4", ago(5, 13), amount=D(10), method="paypal", instrument="p1"),
        payment("anna", "w1", ago(4), kind="WITHDRAWAL", amount=D(25), method="bank", instrument=""),
        payment("anna", "w2", ago(3), kind="WITHDRAWAL", amount=D(40), method="cheque", instrument="", status="PENDING"),
        payment("anna", "r1", ago(14), kind="CHARGEBACK", amount=D(5), method="card", instrument="c9"),
    ]
    visits = [
        session("anna", "s1", ago(64), ago(64, 12, 30), ip="10.0.0.1", device_id="one"),
        session("anna", "s2", ago(23), ago(23, 13), ip="10.0.0.1", device_id="one"),
        session("anna", "s3", ago(5), ago(5, 12, 45), ip="10.0.0.2", device_id="two"),
        # goes on beyond midnight: begun before the cut, its end not yet known at it
        session("anna", "s4", ago(1, 23, 30), ago(0, 0, 30), ip="10.0.0.2", device_id="two"),
    ]
    rounds = [
        play("anna", "p1", ago(23, 12, 5), game_code="reel", stake=D(100), payout=D(40), bonus_stake=D(20), rounds=25),
        play("anna", "p2", ago(23, 12, 6), game_code="wheel", stake=D(60), payout=D(80), rounds=30),
        play("anna", "p3", ago(5, 12, 5), game_code="reel", stake=D(40), payout=D(10), rounds=20),
    ]
    ingest(ActivityKind.PAYMENTS, paid, at=AS_OF)
    ingest(ActivityKind.SESSIONS, visits, at=AS_OF)
    ingest(ActivityKind.PLAYS, rounds, at=AS_OF)
    give_bonus(anna, "cash", D(8), D(0), ago(10))  # nothing to wager: cash at once
    give_bonus(anna, "open", D(10), D(100), ago(9))
    give_bonus(anna, "queue", D(10), D(100), ago(8))  # waits behind the open one
    return anna


def give_bonus(player: Player, ref: str, amount: Decimal, wagering: Decimal, at: datetime) -> None:
    add_bonus(
        player_id=player.pk,
        currency=player.currency,
        amount=amount,
        wagering_required=wagering,
        expires_at=at + timedelta(days=60),
        source=Source("test", f"{player.external_id}-{ref}"),
        at=at,
    )


def make_stated() -> Player:
    """Totals by statement up to a day, deposits and play of that time as events too, and more after it."""
    player = PlayerFactory(external_id="stated", registered_at=None)
    ingest(
        ActivityKind.PAYMENTS,
        [payment("stated", "d1", ago(30), amount=D(40)), payment("stated", "d2", ago(10), amount=D(60))],
        at=AS_OF,
    )
    ingest(
        ActivityKind.PLAYS,
        [
            play("stated", "p1", ago(30), game_code="reel", stake=D(10), rounds=10),
            play("stated", "p2", ago(10), game_code="reel", stake=D(30), rounds=10),
        ],
        at=AS_OF,
    )
    ingest(
        ActivityKind.TOTALS,
        [
            totals("stated", ago(40), total_deposited=D(100), total_wagered=D(500)),
            totals("stated", ago(20), total_deposited=D(200), total_wagered=D(1000)),
        ],
        at=AS_OF,
    )
    return player
