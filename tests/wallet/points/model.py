"""Points in lots as one would keep them by hand: the oracle of the state machines."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

NEVER = datetime(2000, 1, 1, tzinfo=UTC)  # only compared among lots without an end


@dataclass
class ModelLot:
    """A lot as one would keep it by hand."""

    qty: int
    left: int
    earned: datetime
    end: datetime | None
    entry: int | None = None  # id of the crediting entry; None while it waits
    waits_until: datetime | None = None
    taken_back: bool = False
    ran_out: int = 0
    cancelled: bool = False
    gives_back: "ModelLot | None" = None


@dataclass
class ModelWallet:
    """One player: lots in the order in which they were made, spends with their pairs, what is owed."""

    lots: list[ModelLot] = field(default_factory=list)
    owed: int = 0
    earned: int = 0

    def usable(self) -> list[ModelLot]:
        found = [lot for lot in self.lots if lot.entry is not None and lot.left]
        return sorted(found, key=lambda lot: (lot.end is None, lot.end or NEVER, lot.earned, self.lots.index(lot)))

    def balance(self) -> int:
        return sum(lot.left for lot in self.usable())

    def run_out(self, at: datetime) -> None:
        for lot in self.usable():
            if lot.end is not None and lot.end <= at:
                lot.ran_out += lot.left
                lot.left = 0

    def pay(self, lot: ModelLot, most: int) -> None:
        paid = min(self.owed, most, lot.left)
        lot.left -= paid
        self.owed -= paid

    def take(self, amount: int) -> list[tuple[ModelLot, int]]:
        pairs = []
        for lot in self.usable():
            part = min(lot.left, amount)
            if part:
                lot.left -= part
                amount -= part
                pairs.append((lot, part))
        assert amount == 0
        return pairs

    def credit(self, minor: int, at: datetime, end: datetime | None, entry: int) -> None:
        lot = ModelLot(minor, minor, at, end, entry)
        self.lots.append(lot)
        self.earned += minor
        self.pay(lot, minor)

    def take_back(self, lot: ModelLot, order: list[ModelLot]) -> None:
        """Take a credit back: its rest, then lots that gave it back, then later ones, then a debt. `order`: what was usable before what
        ran out was taken off."""
        rest = lot.qty - lot.left
        lot.left = 0
        lot.taken_back = True
        forgiven = min(lot.ran_out, rest)
        lot.ran_out -= forgiven
        rest -= forgiven
        behind = sorted([*order, lot], key=lambda one: (one.end is None, one.end or NEVER, one.earned, self.lots.index(one)))
        later = behind[behind.index(lot) + 1 :]
        giving_back = [one for one in order if one.gives_back is lot]
        for other in [*giving_back, *(one for one in later if one not in giving_back)]:
            if other is not lot:
                part = min(other.left, rest)
                other.left -= part
                rest -= part
        self.owed += rest
        self.earned -= lot.qty
