"""Run the checks over a range of players, or over all of them range by range."""

from collections.abc import Sequence

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Max

from loyalty_site.common.money import from_minor
from players.models import Player
from wallet.values import money_unit

from .bonus_checks import MONEY_CHECKS, STORY_CHECKS
from .guards import check_guards
from .ledger_checks import IN_RANGE, LEDGER_CHECKS, SIDES
from .points_checks import LOTS_SUBJECT, POINTS_CHECKS
from .replay import replay
from .report import Check, ReconcileReport, SideSum, difference_of

RANGE = 20_000  # players at a time: memory stays flat, however many there are
SIDES_NAME = "both sides of every unit add up to zero"

_PLAYERS = "player_id >= %(lower)s AND player_id < %(upper)s"
_OF_ACCOUNT = f"JOIN wallet_account AS account ON account.id = {{}}.account_id WHERE {IN_RANGE}"
_OF_GRANT = f"JOIN wallet_bonusgrant AS g ON g.id = {{}}.grant_id WHERE g.{_PLAYERS.replace('AND ', 'AND g.')}"

# what checks look at -> how many of them there are
SUBJECTS = {
    "accounts": f"SELECT count(*) FROM wallet_account AS account WHERE {IN_RANGE}",
    "entries": f"SELECT count(*) FROM wallet_entry AS entry {_OF_ACCOUNT.format('entry')}",
    "grants": f"SELECT count(*) FROM wallet_bonusgrant WHERE {_PLAYERS}",
    "counts": f"SELECT count(*) FROM wallet_wagercount AS counts {_OF_GRANT.format('counts')}",
    "events": f"SELECT count(*) FROM wallet_wagerevent WHERE {_PLAYERS}",
    "status events": f"SELECT count(*) FROM wallet_grantevent AS event {_OF_GRANT.format('event')}",
    "lots": LOTS_SUBJECT,
    "payouts": f"SELECT count(*) FROM wallet_payoutinstruction WHERE {_PLAYERS}",
}

QUICK_CHECKS: tuple[Check, ...] = (*LEDGER_CHECKS, *MONEY_CHECKS, *POINTS_CHECKS)
ALL_CHECKS: tuple[Check, ...] = (*QUICK_CHECKS, *STORY_CHECKS)

_ONE_EFFECT = """
SELECT NULL::bigint, min(player_id), 'BONUS', '', 1, count(*) FROM wallet_wagerevent
GROUP BY source, activity_id, kind HAVING count(*) > 1 ORDER BY 2
"""
_ONE_EFFECT_CHECK = Check(
    "one event per source, activity and kind", "an activity has {actual} events instead of {expected}", _ONE_EFFECT, "events", False
)


def reconcile(lower_id: int, upper_id: int) -> ReconcileReport:
    """Check what the wallet caches of players `lower_id <= id < upper_id` against their entries. Writes nothing.

    Each check is one statement, so it sees one state of the database while postings go on.
    """
    return _run(QUICK_CHECKS, lower_id, upper_id)


def verify(player_id: int | None = None) -> ReconcileReport:
    """Prove all books (or those of one player): every check, the database's own guards, and the replay of the log from nothing.

    Writes nothing; goes over the players range by range, so memory stays flat.
    """
    total = ReconcileReport()
    if player_id is None:
        check_guards(total)
        _check(total, _ONE_EFFECT_CHECK, {}, _count("events", 0, 2**62))
    for lower, upper in _ranges(player_id):
        part = _run(ALL_CHECKS, lower, upper)
        replay(part, lower, upper)
        total.add(part)
    return total


def _ranges(player_id: int | None) -> Sequence[tuple[int, int]]:
    if player_id is not None:
        return [(player_id, player_id + 1)]
    highest = Player.objects.aggregate(highest=Max("pk"))["highest"] or 0
    return [(lower, lower + RANGE) for lower in range(0, highest + 1, RANGE)]


def _run(checks: Sequence[Check], lower_id: int, upper_id: int) -> ReconcileReport:
    report = ReconcileReport()
    parameters = {"lower": lower_id, "upper": upper_id}
    rows = {subject: _count(subject, lower_id, upper_id) for subject in dict.fromkeys(check.subject for check in checks)}
    report.accounts, report.entries, report.grants = rows["accounts"], rows["entries"], rows["grants"]
    for check in checks:
        _check(report, check, parameters, rows[check.subject])
    with connection.cursor() as cursor:
        _add_sides(cursor, report, parameters)
    return report


def _check(report: ReconcileReport, check: Check, parameters: dict[str, int], rows: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(check.sql, parameters)
        report.note(check.name, check.subject, rows, [difference_of(check, row) for row in cursor.fetchall()])


def _add_sides(cursor: CursorWrapper, report: ReconcileReport, parameters: dict[str, int]) -> None:
    cursor.execute(SIDES, parameters)
    for unit, currency, accounts, players, house in cursor.fetchall():
        code = money_unit(unit, currency)
        report.sides.append(SideSum(unit, currency, accounts, from_minor(players, code), from_minor(house, code)))
    report.note(SIDES_NAME, "accounts", report.accounts, [])
    report.results[SIDES_NAME].differences = sum(not side.balanced for side in report.sides)


def _count(subject: str, lower_id: int, upper_id: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(SUBJECTS[subject], {"lower": lower_id, "upper": upper_id})
        return int(cursor.fetchone()[0])
