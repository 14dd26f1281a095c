"""A wallet in memory and events for it, in a few words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from wallet.bonus import engine
from wallet.bonus.states import Status
from wallet.bonus.terms import Terms
from wallet.bonus.values import Activity, Grant, Kind, Outcome, Wallet
from wallet.bonus.weights import Rule, Table

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def grant(grant_id: int = 1, *, bonus: int = 10_000, required: str = "1000", **fields: Any) -> Grant:
    """An active casino bonus in EUR; amounts in cents. Fields that are terms go into the terms."""
    names = set(Terms.__dataclass_fields__)
    terms = Terms(**{name: fields.pop(name) for name in list(fields) if name in names})
    made = Grant(
        grant_id=grant_id,
        product=terms.products[0],
        currency="EUR",
        status=Status.ACTIVE,
        terms=terms,
        principal=bonus,
        balance=bonus,
        locked=0,
        deposit=0,
        required=Decimal(required),
        wagered=Decimal(0),
        penalties=Decimal(0),
        spins_left=terms.spins,
        open_bets=0,
        released=0,
        kept=0,
        activated_at=NOW - timedelta(hours=1),
        expires_at=NOW + timedelta(days=7),
    )
    return replace(made, **fields)


def queued(grant_id: int, **fields: Any) -> Grant:
    """A grant that waits for its turn."""
    return grant(grant_id, **{"status": Status.QUEUED, "balance": 0, "activated_at": None, **fields})


def table(*lines: tuple[str, str, str], edge_reference: str = "0.04") -> Table:
    """A contribution table with id 1: (scope, key, weight), where the weight may also be `edge` or `excluded`."""
    return Table(
        1,
        Decimal(edge_reference),
        [
            Rule(
                number,
                scope,
                key,
                word if word in ("edge", "excluded") else "fixed",
                Decimal(1 if word in ("edge", "excluded") else word),
                LONG_AGO,
            )
            for number, (scope, key, word) in enumerate(lines)
        ],
    )


class Play:
    """A wallet that events happen to, one a minute. Amounts in cents."""

    def __init__(self, *grants: Grant, contribution: Table | None = None, **wallet: Any) -> None:
        self.wallet = Wallet(7, {one.grant_id: one for one in grants}, **wallet)
        self.tables = {1: contribution} if contribution else {}
        self._numbers = count(1)
        self._minutes = count(0)

    def send(self, kind: Kind, activity_id: str, **fields: Any) -> Outcome:
        at = fields.pop("at", NOW + timedelta(minutes=next(self._minutes)))
        values: dict[str, Any] = {"round_id": activity_id, "currency": "EUR", "occurred_at": at, "received_at": at, **fields}
        return engine.apply(self.wallet, Activity("platform", activity_id, kind, 7, **values), self.tables)

    def bet(self, amount: int, **fields: Any) -> Outcome:
        """A bet whose round ends with it, unless `ends_round` says otherwise."""
        name = fields.pop("name", f"b{next(self._numbers)}")
        return self.send(Kind.BET, name, amount=amount, **{"ends_round": True, **fields})

    def win(self, amount: int, *, of: str, **fields: Any) -> Outcome:
        return self.send(
            Kind.WIN, fields.pop("name", f"w{next(self._numbers)}"), amount=amount, round_id=of, **{"ends_round": True, **fields}
        )

    def rollback(self, target: str, **fields: Any) -> Outcome:
        return self.send(Kind.ROLLBACK, fields.pop("name", f"r{next(self._numbers)}"), takes_back_id=target, **fields)

    def end(self, round_id: str) -> Outcome:
        return self.send(Kind.ROUND_END, f"e{next(self._numbers)}", round_id=round_id)

    def grant(self, grant_id: int = 1) -> Grant:
        return self.wallet.grants[grant_id]
