"""Replay the logs of all wallets from nothing, and compare with what is stored. Reads only, a few hundred players at a time."""

import json
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection

from wallet.activity.load import terms_of
from wallet.bonus.states import Status
from wallet.bonus.values import Activity, Grant, Kind
from wallet.grants.contributions import table_of
from wallet.models import ContributionTable

from .replayed import Counted, Log, Moved, Report, StatusChange, rebuild
from .report import Difference, ReconcileReport

REPLAY_NAME = "replaying the log from nothing rebuilds every grant"
_CHUNK = 500  # players whose logs are held at a time

_PLAYERS = "SELECT DISTINCT player_id FROM wallet_bonusgrant WHERE player_id >= %s AND player_id < %s ORDER BY player_id LIMIT %s"

# the first column is the player, the others the fields of what is made of a row
_GRANTS = """
SELECT player_id, id, product, currency, status, terms::text, principal, balance, locked, deposit, wagering_required, wagered, penalties,
       spins_left, open_bets, released, kept, activated_at, expires_at, queue_order, account_id
FROM wallet_bonusgrant WHERE player_id = ANY(%s) ORDER BY player_id, id
"""
_STATUSES = """
SELECT g.player_id, event.log_number, event.grant_id, event.from_status, event.to_status, event.occurred_at, event.detail::text,
       entry.seq
FROM wallet_grantevent AS event JOIN wallet_bonusgrant AS g ON g.id = event.grant_id
LEFT JOIN wallet_entry AS entry ON entry.id = event.entry_id
WHERE g.player_id = ANY(%s) ORDER BY g.player_id, event.log_number
"""
_ACTIVITY = """
SELECT event.player_id, event.log_number, entry.seq, event.split_stated, event.source, event.activity_id, event.kind, event.currency,
       event.round_id, event.occurred_at, event.received_at, event.product, event.amount, event.real_part, event.bonus_part,
       event.locked_part, event.cash_before, event.ends_round, event.takes_back_id, event.takes_back_kind, event.game_code,
       event.game_category, event.provider, event.is_free_round, event.coverage, event.house_edge,
       event.grant_id, event.waits
FROM wallet_wagerevent AS event LEFT JOIN wallet_entry AS entry ON entry.id = event.entry_id
WHERE event.player_id = ANY(%s) ORDER BY event.player_id, event.log_number
"""
_COUNTS = """
SELECT g.player_id, bet.source, bet.activity_id, bet.kind, counts.grant_id, counts.verdict, counts.counted, counts.penalty
FROM wallet_wagercount AS counts JOIN wallet_wagerevent AS bet ON bet.id = counts.wager_id
JOIN wallet_bonusgrant AS g ON g.id = counts.grant_id WHERE g.player_id = ANY(%s) ORDER BY g.player_id, counts.id
"""
# bonus money that neither activity nor a change of status moved: spent by hand, taken back, lent for a reversal
_MOVED = """
SELECT account.player_id, entry.seq, entry.occurred_at, entry.house, account.currency, movement.grant_id, movement.pocket, movement.amount
FROM wallet_account AS account JOIN wallet_entry AS entry ON entry.account_id = account.id
JOIN wallet_grantmovement AS movement ON movement.entry_id = entry.id
JOIN wallet_bonusgrant AS g ON g.id = movement.grant_id
WHERE account.unit = 'BONUS' AND account.player_id = ANY(%s)
  AND entry.house IN ('rewards', 'game', 'opening', 'manual', 'redemption', 'debt')
  AND (entry.source_type, entry.source_ref, entry.source_sub) IS DISTINCT FROM (g.source_type, g.source_ref, g.source_sub)
  AND NOT EXISTS (SELECT FROM wallet_grantevent AS event WHERE event.grant_id = g.id AND event.entry_id = entry.id)
  AND entry.source_type <> 'wager'
ORDER BY account.player_id, entry.seq
"""


def replay(report: ReconcileReport, lower_id: int, upper_id: int) -> None:
    """Replay the logs of players `lower_id <= id < upper_id` and note in the report what does not come out as stored.

    Five statements for each chunk of players, none per player or event.
    """
    report.note(REPLAY_NAME, "grants", 0, [])
    tables = {table.pk: table_of(table) for table in ContributionTable.objects.all()}
    for logs, accounts in _chunks(lower_id, upper_id):
        found = [
            Difference(REPLAY_NAME, accounts.get(grant_id), log.player_id, text) for log in logs for grant_id, text in rebuild(log, tables)
        ]
        report.note(REPLAY_NAME, "grants", sum(len(log.grants) for log in logs), found)


def _chunks(lower_id: int, upper_id: int) -> Iterator[tuple[list[Log], dict[int, int]]]:
    """Logs of players with grants, and the account of each grant."""
    while players := [row[0] for row in _fetch(_PLAYERS, lower_id, upper_id, _CHUNK)]:
        logs = {player_id: Log(player_id) for player_id in players}
        accounts: dict[int, int] = {}
        for player_id, *columns, account_id in _fetch(_GRANTS, players):
            grant = _grant(columns)
            logs[player_id].grants[grant.grant_id] = grant
            accounts[grant.grant_id] = account_id
        for player_id, rows in _by_player(_STATUSES, players):
            logs[player_id].statuses = [_status(row) for row in rows]
        for player_id, rows in _by_player(_ACTIVITY, players):
            logs[player_id].activity = [_report(player_id, row) for row in rows]
        for player_id, rows in _by_player(_COUNTS, players):
            logs[player_id].counts = [Counted((source, activity_id, kind), *rest) for _, source, activity_id, kind, *rest in rows]
        for player_id, rows in _by_player(_MOVED, players):
            logs[player_id].moved = [Moved(*row[1:]) for row in rows]
        yield list(logs.values()), accounts
        lower_id = players[-1] + 1


def _grant(columns: list[Any]) -> Grant:
    grant_id, product, currency, status, terms, *amounts = columns
    return Grant(grant_id, product, currency, Status(status), terms_of(terms), *amounts)


def _status(row: tuple[Any, ...]) -> StatusChange:
    _, number, grant_id, before, after, at, detail, entry_seq = row
    return StatusChange(number, grant_id, Status(before) if before else None, Status(after), at, json.loads(detail), entry_seq)


def _report(player_id: int, row: tuple[Any, ...]) -> Report:
    (
        _, number, entry_seq, stated, source, activity_id, kind, currency, round_id, occurred_at, received_at, product, amount, real, bonus,
        locked, cash_before, ends_round, takes_back_id, takes_back_kind, game_code, game_category, provider, is_free_round, coverage,
        house_edge, grant_id, waits,
    ) = row  # fmt: skip
    activity = Activity(
        source=source,
        activity_id=activity_id,
        kind=Kind(kind),
        player_id=player_id,
        currency=currency,
        round_id=round_id,
        occurred_at=occurred_at,
        received_at=received_at,
        product=product,
        amount=amount,
        real_part=real if stated else None,
        bonus_part=bonus if stated else None,
        locked_part=locked if stated else None,
        cash_before=cash_before,
        ends_round=ends_round,
        takes_back_id=takes_back_id,
        takes_back_kind=takes_back_kind,
        game_code=game_code,
        game_category=game_category,
        provider=provider,
        is_free_round=is_free_round,
        coverage=coverage,
        house_edge=house_edge,
    )
    return Report(number, activity, entry_seq, (real, bonus, locked, grant_id, waits))


def _by_player(statement: str, players: list[int]) -> Iterator[tuple[int, Iterator[tuple[Any, ...]]]]:
    return groupby(_fetch(statement, players), key=itemgetter(0))


def _fetch(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
