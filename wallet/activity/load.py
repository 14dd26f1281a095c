"""Wallets as the engine wants them: locked, then read with a fixed number of statements, for one player or for the players of a chunk.

Lock and read are separate statements on purpose: a statement sees the database as it was when it began, so what is read with the
lock itself would be what was there before the wait.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from players.selectors import barred_players
from wallet.bonus.states import Status
from wallet.bonus.terms import Terms
from wallet.bonus.values import Activity, Grant, Kind, Recorded, Wallet
from wallet.bonus.weights import Table

from .sql import numbers, run, run_together, texts, unnest
from .tables import tables_of

Key = tuple[str, str, str]

# all accounts that activity can move; together they are the mutex of a player's bonuses (wallet.locks)
LOCK_SQL = """
SELECT id, player_id, unit, currency, balance, version, earned_total, owed FROM wallet_account
WHERE player_id = ANY((SELECT $1::bigint[])::bigint[]) AND unit IN ('BONUS', 'OWED') ORDER BY id FOR UPDATE
"""
# A player without any gets one, in the player's own currency: without it nothing would keep two first events of a player apart.
# Sorted by the unique key, so that two transactions wait for each other in one direction only.
_MAKE_ACCOUNTS_SQL = """
INSERT INTO wallet_account (player_id, unit, currency, balance, version, earned_total, owed)
SELECT p.id, 'BONUS', CASE WHEN p.currency ~ '^[A-Z]{3}$' THEN p.currency ELSE 'EUR' END, 0, 0, 0, 0
FROM players_player AS p WHERE p.id = ANY((SELECT $1::bigint[])::bigint[]) ORDER BY p.id
ON CONFLICT (player_id, unit, currency) DO NOTHING
"""
_MAKE_OWED_SQL = """
INSERT INTO wallet_account (player_id, unit, currency, balance, version, earned_total, owed) VALUES ($1, 'OWED', $2, 0, 0, 0, 0)
RETURNING id, player_id, unit, currency, balance, version, earned_total, owed
"""

_GRANT_COLUMNS = """g.id, g.player_id, g.product, g.currency, g.status, g.terms::text, g.principal, g.balance, g.locked, g.deposit,
    g.wagering_required, g.wagered, g.penalties, g.spins_left, g.open_bets, g.released, g.kept, g.activated_at, g.expires_at, g.queue_order,
    made.house, g.account_id, g.source_type, g.source_ref, g.source_sub, made.reason, made.actor_id,
    (SELECT version FROM wallet_contributionversion)"""
_BEGUN = "CROSS JOIN (VALUES ('rewards', '', NULL::bigint)) AS made(house, reason, actor_id)"  # its credit is in the books
# how a queued grant is credited when its turn comes was said when it was given, as in wallet.grants.queue
_TO_BEGIN = """LEFT JOIN LATERAL (
    SELECT coalesce(e.detail->>'house', 'rewards') AS house, coalesce(e.detail->>'reason', '') AS reason, e.actor_id
    FROM wallet_grantevent AS e WHERE e.grant_id = g.id ORDER BY e.id LIMIT 1
) AS made ON true"""
GRANTS_SQL = f"""
SELECT {_GRANT_COLUMNS} FROM wallet_bonusgrant AS g {_BEGUN}
WHERE g.player_id = ANY((SELECT $1::bigint[])::bigint[]) AND g.status IN ('ACTIVE', 'WAGERING', 'PAUSED')
UNION ALL
SELECT {_GRANT_COLUMNS} FROM wallet_bonusgrant AS g {_TO_BEGIN}
WHERE g.player_id = ANY((SELECT $1::bigint[])::bigint[]) AND g.status = 'QUEUED'
"""
_NAMED_GRANTS_SQL = f"SELECT {_GRANT_COLUMNS} FROM wallet_bonusgrant AS g {_BEGUN} WHERE g.id = ANY((SELECT $1::bigint[])::bigint[])"

_ASKED = (
    ("player_id", "bigint"), ("source", "text"), ("activity_id", "text"), ("kind", "text"), ("round_id", "text"), ("takes_back_id", "text"),
)  # fmt: skip
_EVENT_COLUMNS = """e.source, e.activity_id, e.kind, e.player_id, e.currency, e.round_id, e.occurred_at, e.received_at, e.product,
    e.amount, e.cash_before, e.ends_round, e.takes_back_id, e.takes_back_kind, e.game_code, e.game_category, e.provider, e.house_edge,
    e.is_free_round, e.coverage, e.real_part, e.bonus_part, e.locked_part, e.grant_id, e.waits, e.id, e.entry_id, e.cash_change"""
# What is known of the activities asked for: the very same (whoever's they are), the targets of rollbacks, everything of the rounds of
# both, and rollbacks that came before their target. Lateral probes throughout: the cost follows the question, not the table.
EVENTS_SQL = f"""
WITH asked AS MATERIALIZED (
    SELECT * FROM {unnest(_ASKED, "a")}
), named AS MATERIALIZED (
    SELECT e.id, e.player_id, e.source, e.round_id, e.player_id = asked.player_id AS own
    FROM asked CROSS JOIN LATERAL (
        SELECT id, player_id, source, round_id FROM wallet_wagerevent
        WHERE source = asked.source AND activity_id = asked.activity_id AND kind = asked.kind OFFSET 0
    ) AS e
    UNION ALL
    SELECT e.id, e.player_id, e.source, e.round_id, e.player_id = asked.player_id
    FROM asked CROSS JOIN LATERAL (
        SELECT id, player_id, source, round_id FROM wallet_wagerevent
        WHERE source = asked.source AND activity_id = asked.takes_back_id AND kind IN ('BET', 'WIN') OFFSET 0
    ) AS e
    WHERE asked.takes_back_id <> ''
), rounds AS (
    SELECT player_id, source, round_id FROM asked UNION SELECT player_id, source, round_id FROM named WHERE own
), found AS (
    SELECT id FROM named
    UNION
    SELECT e.id FROM rounds CROSS JOIN LATERAL (
        SELECT id FROM wallet_wagerevent
        WHERE player_id = rounds.player_id AND round_id = rounds.round_id AND source = rounds.source OFFSET 0
    ) AS e
    UNION
    SELECT e.id FROM asked CROSS JOIN LATERAL (
        SELECT id FROM wallet_wagerevent
        WHERE player_id = asked.player_id AND takes_back_id = asked.activity_id AND kind = 'ROLLBACK' AND source = asked.source OFFSET 0
    ) AS e
)
SELECT {_EVENT_COLUMNS}, c.counted, c.penalty, e.kind IN ('BET', 'WIN') AND EXISTS (
    SELECT FROM wallet_wagerevent AS r WHERE r.player_id = e.player_id AND r.takes_back_id = e.activity_id AND r.kind = 'ROLLBACK'
        AND r.source = e.source AND r.takes_back_kind = e.kind AND NOT r.waits)
FROM found CROSS JOIN LATERAL (SELECT * FROM wallet_wagerevent WHERE id = found.id OFFSET 0) AS e
LEFT JOIN LATERAL (SELECT counted, penalty FROM wallet_wagercount WHERE wager_id = e.id AND e.kind = 'BET' LIMIT 1) AS c ON true
ORDER BY e.log_number
"""
EDGES_SQL = "SELECT code, house_edge FROM players_game WHERE code = ANY((SELECT $1::text[])::text[]) AND house_edge IS NOT NULL"


@dataclass(slots=True)
class AccountState:
    """An account as it will be when what happened so far is written."""

    account_id: int
    player_id: int
    unit: str
    currency: str
    balance: int
    version: int
    earned: int
    owed: int
    changed: bool = False


@dataclass(frozen=True, slots=True)
class GrantRow:
    """What of a stored grant the engine does not need, and the state it had when it was read. `reason` and `maker_id`: of the credit
    of a queued one, when its turn comes."""

    account_id: int
    source: tuple[str, str, str]
    reason: str
    maker_id: int | None
    before: tuple[Any, ...]


@dataclass(slots=True)
class Loaded:
    """One player's wallet under its lock."""

    wallet: Wallet
    accounts: dict[tuple[str, str], AccountState]
    grant_rows: dict[int, GrantRow] = field(default_factory=dict)
    cash_changes: dict[int, int] = field(default_factory=dict)  # of known events, by event id

    def account(self, unit: str, currency: str) -> AccountState:
        """The account, made if it is the first of its unit and currency."""
        found = self.accounts.get((unit, currency))
        if found is None:
            (row,) = run(_MAKE_OWED_SQL, [self.wallet.player_id, currency]) if unit == "OWED" else ((),)
            found = self.accounts[unit, currency] = AccountState(*row)
        return found

    def changed_grants(self) -> list[Grant]:
        return [grant for grant_id, grant in self.wallet.grants.items() if changing(grant) != self.grant_rows[grant_id].before]


@dataclass(slots=True)
class Chunk:
    """The wallets of some players, by player id; players that do not exist are not in it."""

    wallets: dict[int, Loaded] = field(default_factory=dict)
    tables: dict[int, Table] = field(default_factory=dict)
    edges: dict[str, Decimal] = field(default_factory=dict)  # house edges of the catalogue, by game code


def changing(grant: Grant) -> tuple[Any, ...]:
    """Everything of a grant that an event can change."""
    return (
        grant.status, grant.principal, grant.balance, grant.locked, grant.required, grant.wagered, grant.penalties, grant.spins_left,
        grant.open_bets, grant.released, grant.kept, grant.activated_at, grant.expires_at,
    )  # fmt: skip


def lock_wallets(player_ids: Iterable[int]) -> dict[int, Loaded]:
    """Lock the wallets of these players, in order of account id, and return them empty but for their accounts."""
    ids = sorted(set(player_ids))
    rows = run(LOCK_SQL, [numbers(ids)], rows=len(ids))
    if _make_accounts(ids, rows):
        rows = run(LOCK_SQL, [numbers(ids)], rows=len(ids))
    return _wallets(rows)


def load(activities: Sequence[Activity], *, at: datetime) -> Chunk:
    """Lock and read the wallets of the players of these activities, with what is known of the rounds concerned.

    `at` decides whether a player may take up the next bonus of the queue.
    """
    ids = sorted({activity.player_id for activity in activities})
    statements = [(LOCK_SQL, [numbers(ids)]), *_questions(ids, activities)]
    accounts, *answers = run_together(statements, rows=len(activities))
    if _make_accounts(ids, accounts):  # what was read was read without a lock
        accounts, *answers = run_together(statements, rows=len(activities))
    chunk = Chunk(_wallets(accounts))
    _fill(chunk, activities, answers, at)
    return chunk


def look(player_id: int, activity: Activity, *, at: datetime) -> Chunk:
    """The same for one activity of an existing player, without a lock and without accounts: for answers that promise nothing."""
    chunk = Chunk({player_id: Loaded(Wallet(player_id), {})})
    _fill(chunk, [activity], run_together(_questions([player_id], [activity])), at)
    return chunk


def _make_accounts(player_ids: list[int], accounts: list[tuple[Any, ...]]) -> bool:
    """Make the first account of players who have none; True when there were such players."""
    with_account = {row[1] for row in accounts if row[2] == "BONUS"}
    missing = [one for one in player_ids if one not in with_account]
    if missing:
        run(_MAKE_ACCOUNTS_SQL, [numbers(missing)], rows=len(missing))
    return bool(missing)


def _wallets(accounts: list[tuple[Any, ...]]) -> dict[int, Loaded]:
    wallets: dict[int, Loaded] = {}
    for row in accounts:
        account = AccountState(*row)
        loaded = wallets.setdefault(account.player_id, Loaded(Wallet(account.player_id), {}))
        loaded.accounts[account.unit, account.currency] = account
        if account.unit == "BONUS" and account.owed:
            loaded.wallet.owed[account.currency] = account.owed
    return wallets


def _questions(player_ids: list[int], activities: Sequence[Activity]) -> list[tuple[str, list[Any]]]:
    """The reading statements: grants, what is known, and house edges of the catalogue."""
    columns = [
        numbers(one.player_id for one in activities), texts(one.source for one in activities),
        texts(one.activity_id for one in activities), texts(one.kind for one in activities), texts(one.round_id for one in activities),
        texts(one.takes_back_id for one in activities),
    ]  # fmt: skip
    codes = {one.game_code for one in activities if one.game_code and one.house_edge is None and one.kind == Kind.BET}
    questions: list[tuple[str, list[Any]]] = [(GRANTS_SQL, [numbers(player_ids)]), (EVENTS_SQL, columns)]
    return [*questions, (EDGES_SQL, [texts(sorted(codes))])] if codes else questions


def _fill(chunk: Chunk, activities: Sequence[Activity], answers: list[list[tuple[Any, ...]]], at: datetime) -> None:
    """Put what was read into the wallets of `chunk`."""
    grants, events, *edges = answers
    version = _add_grants(chunk, grants)
    held = {grant_id for loaded in chunk.wallets.values() for grant_id in loaded.wallet.grants}
    if named := {row[23] for row in events if row[23] is not None and row[3] in chunk.wallets} - held:
        version = _add_grants(chunk, run(_NAMED_GRANTS_SQL, [numbers(named)], rows=len(named))) or version
    _add_events(chunk, [one for one in activities if one.player_id in chunk.wallets], events)
    chunk.edges = dict(edges[0]) if edges else {}
    queued = [
        player_id
        for player_id, loaded in chunk.wallets.items()
        if any(grant.status == Status.QUEUED for grant in loaded.wallet.grants.values())
    ]
    for player_id in barred_players(queued, at) if queued else ():
        chunk.wallets[player_id].wallet.may_start = False
    table_ids = {
        grant.terms.contribution_table
        for loaded in chunk.wallets.values()
        for grant in loaded.wallet.grants.values()
        if grant.terms.contribution_table is not None
    }
    chunk.tables = tables_of(table_ids, version)


def _add_grants(chunk: Chunk, rows: list[tuple[Any, ...]]) -> Any:
    for grant_id, player_id, product, currency, status, terms, *rest, account_id, type_, ref, sub, reason, maker_id, _ in rows:
        if player_id not in chunk.wallets:
            continue
        grant = Grant(grant_id, product, currency, Status(status), terms_of(terms), *rest)
        loaded = chunk.wallets[player_id]
        loaded.wallet.grants[grant_id] = grant
        loaded.grant_rows[grant_id] = GrantRow(account_id, (type_, ref, sub), reason, maker_id, changing(grant))
    return rows[0][-1] if rows else None


def _add_events(chunk: Chunk, asked: Sequence[Activity], rows: list[tuple[Any, ...]]) -> None:
    foreign: dict[Key, Recorded] = {}
    keys_asked = {one.key for one in asked} | {(one.source, one.takes_back_id, kind) for one in asked for kind in (Kind.BET, Kind.WIN)}
    for row in rows:
        recorded, cash_change = _recorded(row)
        owner = chunk.wallets.get(recorded.activity.player_id)
        if owner is not None:
            owner.wallet.remember(recorded)
            assert recorded.event_id is not None
            owner.cash_changes[recorded.event_id] = cash_change
        if recorded.activity.key in keys_asked:
            foreign[recorded.activity.key] = recorded
    # An activity id that another player used is known to everybody, so that it is refused; it is no part of the player's rounds.
    for one in asked:
        for key in (one.key, (one.source, one.takes_back_id, Kind.BET), (one.source, one.takes_back_id, Kind.WIN)):
            if key in foreign:
                chunk.wallets[one.player_id].wallet.known.setdefault(key, foreign[key])


def _recorded(row: tuple[Any, ...]) -> tuple[Recorded, int]:
    (
        source, activity_id, kind, player_id, currency, round_id, occurred_at, received_at, product, amount, cash_before, ends_round,
        takes_back_id, takes_back_kind, game_code, game_category, provider, house_edge, is_free_round, coverage, real, bonus, locked,
        grant_id, waits, event_id, entry_id, cash_change, counted, penalty, taken_back,
    ) = row  # fmt: skip
    activity = Activity(
        source, activity_id, Kind(kind), player_id, currency, round_id, occurred_at, received_at, product, amount, None, None, None,
        cash_before, ends_round, takes_back_id, takes_back_kind, game_code, game_category, provider, house_edge, is_free_round, coverage,
    )  # fmt: skip
    penalty = Decimal(0) if penalty is None else penalty
    return Recorded(activity, real, bonus, locked, grant_id, waits, event_id, entry_id, counted, penalty, taken_back), cash_change


# terms are frozen with the grant, so equal texts are equal terms; most grants of a chunk share a few
_terms_kept: dict[str, Terms] = {}
_TERMS_KEPT_AT_MOST = 2000


def terms_of(stored: str) -> Terms:
    """The terms that a grant stores, from the text of its JSON."""
    found = _terms_kept.get(stored)
    if found is None:
        if len(_terms_kept) >= _TERMS_KEPT_AT_MOST:
            _terms_kept.clear()
        found = _terms_kept[stored] = Terms.from_json(json.loads(stored))
    return found
