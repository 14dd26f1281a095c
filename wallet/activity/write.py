"""Writing what the engine decided: all outcomes of a chunk by one statement, the same for one event and for thousands.

The statement is made of one insert or update for each kind of row that there is; ids and log numbers are drawn in it, and rows refer
to rows of the same statement by position. Nothing is read: balances, seq and progress are those of the locked working copies.
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from wallet.bonus.states import FINAL, OPEN, Status
from wallet.bonus.values import Flag, Grant, Kind, Outcome, Posting, Recorded
from wallet.models import EARNING_HOUSES
from wallet.values import GRANT_SOURCE

from .answers import amount_of
from .load import Chunk, Key, Loaded
from .sql import flags, instants, numbers, run, texts, unnest

WAGER_SOURCE = "wager"
PLATFORM_SOURCE = "platform"  # grants of the operator's own bonus engine
_ARRAYS = {"bigint": numbers, "numeric": numbers, "integer": numbers, "boolean": flags, "timestamptz": instants}

_ENTRY = "(SELECT entry FROM ids)"
_EVENT = "(SELECT event FROM ids)"
_LOG = "(SELECT log FROM ids)"
_IDS = """ids AS MATERIALIZED (
    SELECT ARRAY(SELECT nextval('wallet_entry_id_seq') FROM generate_series(1, $1::integer)) AS entry,
           ARRAY(SELECT nextval('wallet_wagerevent_id_seq') FROM generate_series(1, $2::integer)) AS event,
           ARRAY(SELECT nextval('wallet_log_number') FROM generate_series(1, $3::integer)) AS log
)"""


class _Part(NamedTuple):
    """Rows of one table: `columns` are the parameters (name, type), `sql` what is done with the rows `v` of them."""

    columns: tuple[tuple[str, str], ...]
    sql: str


def _columns(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (one.split() for one in text.split(","))
    return tuple((name, kind) for name, kind in pairs)


# `..._n` is the position of a row of this statement, `..._id` the id of an older one
_PARTS = {
    "events": _Part(
        _columns(
            "n bigint, log_n bigint, source text, activity_id text, kind text, player_id bigint, currency text, product text, "
            "round_id text, ends_round boolean, amount bigint, real_part bigint, bonus_part bigint, locked_part bigint, "
            "split_stated boolean, cash_before bigint, grant_id bigint, takes_back_id text, takes_back_kind text, game_code text, "
            "game_category text, provider text, house_edge numeric, is_free_round boolean, coverage numeric, entry_n bigint, "
            "waits boolean, cash_change bigint, occurred_at timestamptz, received_at timestamptz"
        ),
        f"""INSERT INTO wallet_wagerevent (id, log_number, source, activity_id, kind, player_id, currency, product, round_id, ends_round,
            amount, real_part, bonus_part, locked_part, split_stated, cash_before, grant_id, takes_back_id, takes_back_kind, game_code,
            game_category, provider, house_edge, is_free_round, coverage, entry_id, waits, cash_change, occurred_at, received_at)
        SELECT {_EVENT}[v.n], {_LOG}[v.log_n], v.source, v.activity_id, v.kind, v.player_id, v.currency, v.product, v.round_id,
            v.ends_round, v.amount, v.real_part, v.bonus_part, v.locked_part, v.split_stated, v.cash_before, v.grant_id, v.takes_back_id,
            v.takes_back_kind, v.game_code, v.game_category, v.provider,
            CASE WHEN v.house_edge IS NULL AND v.kind = 'BET' THEN (SELECT house_edge FROM players_game WHERE code = v.game_code)
                 ELSE v.house_edge END,
            v.is_free_round, v.coverage, {_ENTRY}[v.entry_n], v.waits, v.cash_change, v.occurred_at, v.received_at
        FROM {{rows}}""",
    ),
    "settled": _Part(  # events that waited, and now have their parts
        _columns(
            "id bigint, real_part bigint, bonus_part bigint, locked_part bigint, grant_id bigint, takes_back_kind text, entry_n bigint"
        ),
        f"""UPDATE wallet_wagerevent AS e SET waits = false, amount = v.real_part + v.bonus_part + v.locked_part,
            real_part = v.real_part, bonus_part = v.bonus_part,
            locked_part = v.locked_part, grant_id = v.grant_id, takes_back_kind = v.takes_back_kind, entry_id = {_ENTRY}[v.entry_n]
        FROM {{rows}} WHERE e.id = v.id""",
    ),
    "entries": _Part(
        _columns(
            "n bigint, account_id bigint, house text, amount bigint, seq bigint, balance_after bigint, source_type text, "
            "source_ref text, source_sub text, reversal_n bigint, reversal_id bigint, reason text, occurred_at timestamptz"
        ),
        f"""INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub,
            reversal_of_id, reason, occurred_at)
        SELECT {_ENTRY}[v.n], v.account_id, v.house, v.amount, v.seq, v.balance_after, v.source_type, v.source_ref, v.source_sub,
            coalesce({_ENTRY}[v.reversal_n], v.reversal_id), v.reason, v.occurred_at
        FROM {{rows}}""",
    ),
    "accounts": _Part(
        _columns("id bigint, balance bigint, version bigint, earned_total bigint, owed bigint"),
        """UPDATE wallet_account AS a SET balance = v.balance, version = v.version, earned_total = v.earned_total, owed = v.owed
        FROM {rows} WHERE a.id = v.id""",
    ),
    "movements": _Part(
        _columns("grant_id bigint, entry_n bigint, pocket text, amount bigint"),
        f"""INSERT INTO wallet_grantmovement (grant_id, entry_id, pocket, amount)
        SELECT v.grant_id, {_ENTRY}[v.entry_n], v.pocket, v.amount FROM {{rows}}""",
    ),
    "grants": _Part(
        _columns(
            "id bigint, status text, principal bigint, balance bigint, locked bigint, wagering_required numeric, wagered numeric, "
            "penalties numeric, spins_left integer, open_bets integer, released bigint, kept bigint, activated_at timestamptz, "
            "expires_at timestamptz, closed_at timestamptz"
        ),
        """UPDATE wallet_bonusgrant AS g SET status = v.status, principal = v.principal, balance = v.balance, locked = v.locked,
            wagering_required = v.wagering_required, wagered = v.wagered, penalties = v.penalties, spins_left = v.spins_left,
            open_bets = v.open_bets, released = v.released, kept = v.kept, activated_at = v.activated_at, expires_at = v.expires_at,
            closed_at = coalesce(v.closed_at, g.closed_at)
        FROM {rows} WHERE g.id = v.id""",
    ),
    "counts": _Part(
        _columns(
            "wager_n bigint, wager_id bigint, settled_n bigint, grant_id bigint, verdict text, rule text, weight numeric, "
            "counted_stake numeric, counted numeric, penalty numeric, progress_before numeric, progress_after numeric, "
            "required_after numeric, occurred_at timestamptz"
        ),
        f"""INSERT INTO wallet_wagercount (wager_id, settled_by_id, grant_id, verdict, rule, weight, counted_stake, counted, penalty,
            progress_before, progress_after, required_after, occurred_at)
        SELECT coalesce({_EVENT}[v.wager_n], v.wager_id), {_EVENT}[v.settled_n], v.grant_id, v.verdict, v.rule, v.weight, v.counted_stake,
            v.counted, v.penalty, v.progress_before, v.progress_after, v.required_after, v.occurred_at
        FROM {{rows}}""",
    ),
    "changes": _Part(
        _columns(
            "grant_id bigint, from_status text, to_status text, cause text, detail jsonb, log_n bigint, entry_n bigint, "
            "occurred_at timestamptz"
        ),
        f"""INSERT INTO wallet_grantevent (grant_id, from_status, to_status, cause, detail, log_number, entry_id, occurred_at)
        SELECT v.grant_id, v.from_status, v.to_status, v.cause, v.detail, {_LOG}[v.log_n], {_ENTRY}[v.entry_n], v.occurred_at
        FROM {{rows}}""",
    ),
    "payouts": _Part(
        _columns(
            "key text, player_id bigint, grant_id bigint, entry_n bigint, currency text, amount bigint, paid_as text, "
            "created_at timestamptz"
        ),
        f"""INSERT INTO wallet_payoutinstruction (key, player_id, grant_id, entry_id, currency, amount, status, attempts, next_attempt_at,
            last_error, created_at, delivered_at, platform_ref)
        SELECT coalesce(v.key, 'grant-' || v.grant_id || '-entry-' || {_ENTRY}[v.entry_n]), v.player_id, v.grant_id, {_ENTRY}[v.entry_n],
            v.currency, v.amount, CASE WHEN v.paid_as = '' THEN 'PENDING' ELSE 'DELIVERED' END, 0, v.created_at, '', v.created_at,
            CASE WHEN v.paid_as <> '' THEN v.created_at END, v.paid_as
        FROM {{rows}}""",
    ),
    "flags": _Part(
        _columns("player_id bigint, kind text, grant_id bigint, source_ref text, detail jsonb, occurred_at timestamptz"),
        """INSERT INTO wallet_walletflag (player_id, kind, grant_id, source_ref, detail, occurred_at)
        SELECT v.player_id, v.kind, v.grant_id, v.source_ref, v.detail, v.occurred_at FROM {rows}
        ON CONFLICT (player_id, kind, source_ref) DO NOTHING""",
    ),
}

# One product has one open grant (a partial unique index, checked row by row): what closes goes before what begins.
_CLOSE_FIRST_SQL = """
UPDATE wallet_bonusgrant AS g SET status = v.status, balance = 0, locked = 0, closed_at = v.closed_at
FROM unnest((SELECT $1::bigint[]), (SELECT $2::text[]), (SELECT $3::timestamptz[])) AS v(id, status, closed_at) WHERE g.id = v.id
"""


def write(chunk: Chunk, outcomes: Sequence[tuple[Loaded, Outcome]]) -> None:
    """Write these outcomes, in the order in which they took effect, inside the caller's transaction, under the wallets' locks."""
    rows = _Rows()
    for loaded, outcome in outcomes:
        if not outcome.repeated:
            rows.add(loaded, outcome)
    rows.finish()
    if rows.is_empty:
        return
    rows.close_first()
    names = tuple(name for name in _PARTS if rows.of[name])
    parameters: list[Any] = [len(rows.of["entries"]), len(rows.of["events"]), rows.log]
    for name in names:
        parameters += _arrays(_PARTS[name], rows.of[name])
    run(_statement(names), parameters, rows=max(len(rows.of[name]) for name in names))


@lru_cache(maxsize=256)
def _statement(names: tuple[str, ...]) -> str:
    first, parts = 4, [_IDS]
    for name in names:
        part = _PARTS[name]
        parts.append(f"{name}_written AS ({part.sql.format(rows=unnest(part.columns, 'v', first))})")
        first += len(part.columns)
    return "WITH " + ", ".join(parts) + " SELECT FROM ids"


def _arrays(part: _Part, rows: list[tuple[Any, ...]]) -> Iterable[str]:
    for (_, kind), values in zip(part.columns, zip(*rows, strict=True), strict=True):
        yield _ARRAYS.get(kind, texts)(values)


class _Rows:
    """The rows of a chunk, by part of the statement. Positions count from 1."""

    def __init__(self) -> None:
        self.of: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _PARTS}
        self.log = 0
        self.positions: dict[Key, int] = {}  # of events of this statement
        self.events: list[tuple[int, int, Recorded, int]] = []  # position, log position, what, cash change
        self.entry_of: dict[Key, int] = {}  # position of the entry of an event of this statement
        self.settled: dict[int, Recorded] = {}
        self.targets: dict[Key, str] = {}  # of rollbacks that name only an id: the kind of what they took back
        self.loaded: dict[int, Loaded] = {}
        self.closed_at: dict[int, Any] = {}
        self.begins = False

    @property
    def is_empty(self) -> bool:
        return not any(self.of.values())

    def add(self, loaded: Loaded, outcome: Outcome) -> None:
        recorded = outcome.recorded
        assert recorded is not None  # decisions without an activity are written by wallet.grants
        self.loaded[loaded.wallet.player_id] = loaded
        key = recorded.activity.key
        self.log += 1
        position = len(self.events) + 1
        self.positions[key] = position
        self.events.append((position, self.log, recorded, outcome.cash_change))
        self._find_target(loaded, recorded)
        for waited in outcome.also_recorded:
            if waited.activity.kind == Kind.ROLLBACK:
                self.targets[waited.activity.key] = str(recorded.activity.kind)
            if waited.event_id is not None:
                self.settled[waited.event_id] = waited
        entries = self._post(loaded, outcome, recorded)
        self._count(outcome, recorded)
        self._change(outcome, entries)
        self._pay(loaded, outcome, recorded, entries)
        for flag in outcome.flags:
            self.of["flags"].append(_flag(flag, loaded, recorded))

    def _find_target(self, loaded: Loaded, recorded: Recorded) -> None:
        activity = recorded.activity
        if activity.kind == Kind.ROLLBACK and not activity.takes_back_kind and not recorded.waits:
            known = loaded.wallet.known
            targets = (kind for kind in (Kind.BET, Kind.WIN) if (activity.source, activity.takes_back_id, kind) in known)
            self.targets[activity.key] = str(next(targets))

    def _post(self, loaded: Loaded, outcome: Outcome, recorded: Recorded) -> list[tuple[Posting, int]]:
        """The entries of an outcome; returns each posting with the position of its entry."""
        activity = recorded.activity
        made = []
        for posting in outcome.postings:
            account = loaded.account(posting.unit, posting.currency)
            account.balance += posting.amount
            account.version += 1
            account.changed = True
            if posting.house in EARNING_HOUSES:
                account.earned += posting.amount
            if posting.house == "debt" and posting.unit == "BONUS":
                account.owed += posting.amount
            position = len(self.of["entries"]) + 1
            if posting.credits_grant is not None:
                source, reason = loaded.grant_rows[posting.credits_grant].source, "next in the queue"
            elif posting.closes_grant is not None:
                source = (GRANT_SOURCE, str(posting.closes_grant), posting.sub)
                reason = next((one.cause for one in outcome.transitions if one.grant_id == posting.closes_grant and one.after in FINAL), "")
            else:
                source = (WAGER_SOURCE, f"{activity.source}:{activity.activity_id}", _sub(activity.kind, posting.sub))
                reason = ""
                self._tie(outcome, recorded, posting, position)
            reversed_n, reversed_id = self._reversed(loaded, posting)
            self.of["entries"].append(
                (
                    position, account.account_id, posting.house, posting.amount, account.version, account.balance, *source,
                    reversed_n, reversed_id, reason, activity.received_at,
                )
            )  # fmt: skip
            self.of["movements"] += [(one.grant_id, position, one.pocket, one.amount) for one in posting.movements]
            made.append((posting, position))
        return made

    def _tie(self, outcome: Outcome, recorded: Recorded, posting: Posting, position: int) -> None:
        """Remember the entry of the event itself, or of the one that waited for it."""
        if posting.unit != "BONUS":
            return
        if posting.sub == "":
            self.entry_of[recorded.activity.key] = position
        elif posting.sub.startswith("win-") and posting.sub[4:].isdigit():
            self.entry_of[outcome.also_recorded[int(posting.sub[4:])].activity.key] = position

    def _reversed(self, loaded: Loaded, posting: Posting) -> tuple[int | None, int | None]:
        if posting.reverses is None:
            return None, None
        if posting.reverses in self.entry_of:
            return self.entry_of[posting.reverses], None
        return None, loaded.wallet.known[posting.reverses].entry_id

    def _count(self, outcome: Outcome, recorded: Recorded) -> None:
        for count in outcome.counts:
            wager_n = self.positions.get(count.bet)
            wager_id = None
            if wager_n is None:
                wager_id = self.loaded[recorded.activity.player_id].wallet.known[count.bet].event_id
            self.of["counts"].append(
                (
                    wager_n, wager_id, self.positions[count.settled_by], count.grant_id, count.verdict, count.rule[:120], count.weight,
                    count.counted_stake, count.counted, count.penalty, count.before, count.after, count.required_after,
                    recorded.activity.received_at,
                )
            )  # fmt: skip

    def _change(self, outcome: Outcome, entries: list[tuple[Posting, int]]) -> None:
        for change in outcome.transitions:
            self.log += 1
            entry = next(
                (position for posting, position in entries if change.grant_id in (posting.credits_grant, posting.closes_grant)
                 and (posting.credits_grant is None) == (change.after in FINAL)),
                None,
            )  # fmt: skip
            if change.after in FINAL:
                self.closed_at[change.grant_id] = change.at
            elif change.before == Status.QUEUED:
                self.begins = True
            self.of["changes"].append(
                (
                    change.grant_id, str(change.before), str(change.after), change.cause[:300], json.dumps(change.detail), self.log,
                    entry if change.after not in OPEN or change.before == Status.QUEUED else None, change.at,
                )
            )  # fmt: skip

    def _pay(self, loaded: Loaded, outcome: Outcome, recorded: Recorded, entries: list[tuple[Posting, int]]) -> None:
        for payout in outcome.payouts:
            posting, position = next(
                (posting, position)
                for posting, position in entries
                if posting.house == "payout" and posting.sub == payout.sub and posting.movements[0].grant_id == payout.grant_id
            )
            # the end of a grant happens once; late wins of it are told apart by their entry
            key = f"grant-{payout.grant_id}-{payout.sub}" if posting.closes_grant is not None else None
            source = loaded.grant_rows[payout.grant_id].source
            # a bonus of the platform's own engine is paid out by that engine
            paid_as = f"user bonus {source[1]}"[:120] if source[0] == PLATFORM_SOURCE else ""
            self.of["payouts"].append(
                (
                    key, loaded.wallet.player_id, payout.grant_id, position, payout.currency, payout.amount, paid_as,
                    recorded.activity.received_at,
                )
            )  # fmt: skip

    def finish(self) -> None:
        """The rows whose last state counts: events, accounts and grants."""
        for position, log, recorded, cash_change in self.events:
            self.of["events"].append(self._event(position, log, recorded, cash_change))
        for event_id, recorded in self.settled.items():
            self.of["settled"].append(
                (
                    event_id, recorded.real_part, recorded.bonus_part, recorded.locked_part, recorded.grant_id,
                    self._takes_back_kind(recorded), self.entry_of.get(recorded.activity.key),
                )
            )  # fmt: skip
        for loaded in self.loaded.values():
            for account in loaded.accounts.values():
                if account.changed:
                    self.of["accounts"].append((account.account_id, account.balance, account.version, account.earned, account.owed))
            for grant in loaded.changed_grants():
                self.of["grants"].append(_grant(grant, self.closed_at.get(grant.grant_id)))

    def close_first(self) -> None:
        """With a grant that begins, write the ends of the others before it."""
        if not self.begins:
            return
        closed = [row for row in self.of["grants"] if row[-1] is not None]
        if closed:
            run(
                _CLOSE_FIRST_SQL,
                [numbers(row[0] for row in closed), texts(row[1] for row in closed), instants(row[-1] for row in closed)],
                rows=len(closed),
            )

    def _event(self, position: int, log: int, recorded: Recorded, cash_change: int) -> tuple[Any, ...]:
        a = recorded.activity
        stated = a.real_part is not None or a.bonus_part is not None or a.locked_part is not None
        return (
            position, log, a.source, a.activity_id, str(a.kind), a.player_id, a.currency, a.product, a.round_id, a.ends_round,
            amount_of(recorded), recorded.real_part, recorded.bonus_part, recorded.locked_part, stated, a.cash_before,
            recorded.grant_id, a.takes_back_id, self._takes_back_kind(recorded), a.game_code, a.game_category, a.provider,
            a.house_edge, a.is_free_round, a.coverage,
            self.entry_of.get(a.key), recorded.waits, cash_change, a.occurred_at, a.received_at,
        )  # fmt: skip

    def _takes_back_kind(self, recorded: Recorded) -> str:
        return recorded.activity.takes_back_kind or self.targets.get(recorded.activity.key, "")


def _grant(grant: Grant, closed_at: Any) -> tuple[Any, ...]:
    return (
        grant.grant_id, str(grant.status), grant.principal, grant.balance, grant.locked, grant.required, grant.wagered, grant.penalties,
        grant.spins_left, grant.open_bets, grant.released, grant.kept, grant.activated_at, grant.expires_at, closed_at,
    )  # fmt: skip


def _flag(flag: Flag, loaded: Loaded, recorded: Recorded) -> tuple[Any, ...]:
    activity = recorded.activity
    return (
        loaded.wallet.player_id, flag.kind, flag.grant_id, f"{activity.source}:{activity.activity_id}", json.dumps(flag.detail),
        activity.received_at,
    )  # fmt: skip


def _sub(kind: str, sub: str) -> str:
    return f"{kind}{sub}" if not sub or sub.startswith("-") else f"{kind}-{sub}"
