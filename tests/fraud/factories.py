"""Activity for the detectors, through the door that all activity takes."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count

from players.services import ingest

_numbers = count(1)


def session(player: str, at: datetime, *, device: str = "", ip: str | None = None) -> None:
    ingest("SESSIONS", [(player, f"s{next(_numbers)}", at, at + timedelta(minutes=20), ip, device)], at=at)


def payment(player: str, at: datetime, amount: str, *, kind: str = "DEPOSIT", status: str = "COMPLETED", instrument: str = "") -> None:
    ingest("PAYMENTS", [(player, f"p{next(_numbers)}", kind, status, Decimal(amount), "card", instrument, at)], at=at)


def play(player: str, at: datetime, stake: str, payout: str = "0", *, bonus: str = "0", rounds: int = 10, game: str = "slot-test") -> None:
    ingest(
        "PLAYS",
        [(player, f"g{next(_numbers)}", None, game, "slots", at, Decimal(stake), Decimal(payout), Decimal(bonus), rounds)],
        at=at,
    )
