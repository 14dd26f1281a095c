"""What a proof of the books says: which checks ran over how many rows, and what differs."""

from dataclasses import dataclass, field
from decimal import Decimal

from wallet.errors import WalletError
from wallet.values import account_label, shown

MAX_REPORTED = 20  # differences listed per check; the count is always exact


class ReconcileError(WalletError):
    """The books do not balance; the message names the accounts."""

    slug = "books-do-not-balance"


@dataclass(frozen=True, slots=True)
class Check:
    """One rule that the rows must keep. `subject` names what is looked at, a key of `SUBJECTS`.

    `sql` has the parameters lower and upper (player ids, half-open) and yields account id (or None), player id, unit, currency,
    expected, actual of every row that is wrong. `is_amount` says that the last two are minor units of the account.
    """

    name: str
    text: str
    sql: str
    subject: str
    is_amount: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not as it must be."""

    check: str
    account_id: int | None
    player_id: int | None
    text: str

    def __str__(self) -> str:
        where = f"account {self.account_id} (player {self.player_id}): " if self.account_id is not None else ""
        if self.account_id is None and self.player_id is not None:
            where = f"player {self.player_id}: "
        return f"{where}{self.text}"


@dataclass(slots=True)
class CheckResult:
    """How one check went over all ranges that were looked at."""

    name: str
    subject: str
    rows: int = 0
    differences: int = 0

    @property
    def ok(self) -> bool:
        return self.differences == 0


@dataclass(frozen=True, slots=True)
class SideSum:
    """Both sides of the books of one unit: what players hold, and what the house gave for it."""

    unit: str
    currency: str
    accounts: int
    players: Decimal
    house: Decimal

    @property
    def balanced(self) -> bool:
        return self.players + self.house == 0

    def __add__(self, other: "SideSum") -> "SideSum":
        return SideSum(self.unit, self.currency, self.accounts + other.accounts, self.players + other.players, self.house + other.house)


@dataclass(slots=True)
class ReconcileReport:
    """What was checked (rows per check) and what was found. Reports of several ranges of players are merged by `add`."""

    accounts: int = 0
    entries: int = 0
    grants: int = 0
    results: dict[str, CheckResult] = field(default_factory=dict)
    sides: list[SideSum] = field(default_factory=list)
    difference_count: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.difference_count == 0 and all(side.balanced for side in self.sides)

    @property
    def checks(self) -> list[str]:
        return list(self.results)

    def note(self, name: str, subject: str, rows: int, differences: list[Difference], count: int | None = None) -> None:
        """Count `rows` looked at by a check and what it found (`count`, when `differences` are only the first of them)."""
        found = len(differences) if count is None else count
        result = self.results.setdefault(name, CheckResult(name, subject))
        room = max(0, MAX_REPORTED - min(result.differences, MAX_REPORTED))
        result.rows += rows
        result.differences += found
        self.difference_count += found
        self.differences.extend(differences[:room])

    def add(self, other: "ReconcileReport") -> None:
        """Take in the report of another range of players."""
        self.accounts += other.accounts
        self.entries += other.entries
        self.grants += other.grants
        for result in other.results.values():
            named = [difference for difference in other.differences if difference.check == result.name]
            self.note(result.name, result.subject, result.rows, named, result.differences)
        sides = {(side.unit, side.currency): side for side in self.sides}
        for side in other.sides:
            known = sides.get((side.unit, side.currency))
            sides[side.unit, side.currency] = side if known is None else known + side
        self.sides = [sides[key] for key in sorted(sides)]


def require_balanced(report: ReconcileReport) -> None:
    """Raise ReconcileError that names the first differences, unless the books balance."""
    if report.ok:
        return
    lines = [str(difference) for difference in report.differences[:5]]
    lines += [
        f"{account_label(side.unit, side.currency)}: players hold {side.players}, the house gave {-side.house}"
        for side in report.sides
        if not side.balanced
    ]
    raise ReconcileError(f"{report.difference_count} differences; " + "; ".join(lines))


def difference_of(check: Check, row: tuple[object, ...]) -> Difference:
    account_id, player_id, unit, currency, expected, actual = row
    if check.is_amount:
        expected, actual = shown(int(expected), str(unit), str(currency)), shown(int(actual), str(unit), str(currency))  # type: ignore[call-overload]
    text = check.text.format(expected=expected, actual=actual)
    return Difference(check.name, None if account_id is None else int(account_id), int(player_id), text)  # type: ignore[call-overload]
