"""Writing what the engine decided: all outcomes of a chunk by one statement, the same for one event and for thousands.

The statement is made of one insert or update for each kind of row that there is; ids and log numbers are drawn in it, and rows refer
to rows of the same statement by position. Nothing is read: balances, seq and progress are those of the locked working copies.
"""

import json
from collections.abc import Sequence
from typing import Any

from wallet.bonus.states import FINAL, OPEN, Status
from wallet.bonus.values import Flag, Grant, Kind, Outcome, Posting, Recorded
from wallet.models import EARNING_HOUSES
from wallet.values import GRANT_SOURCE, PLATFORM_SOURCE

from .answers import amount_of
from .load import Chunk, Key, Loaded
from .sql import instants, numbers, run, texts
from .statement import PARTS, arrays, statement

WAGER_SOURCE = "wager"

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
    names = tuple(name for name in PARTS if rows.of[name])
    parameters: list[Any] = [len(rows.of["entries"]), len(rows.of["events"]), rows.log]
    for name in names:
        parameters += arrays(PARTS[name], rows.of[name])
    run(statement(names), parameters, rows=max(len(rows.of[name]) for name in names))


class _Rows:
    """The rows of a chunk, by part of the statement. Positions count from 1."""

    def __init__(self) -> None:
        self.of: dict[str, list[tuple[Any, ...]]] = {name: [] for name in PARTS}
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
            actor_id = None
            if posting.credits_grant is not None:
                row = loaded.grant_rows[posting.credits_grant]
                source, reason, actor_id = row.source, row.reason, row.maker_id
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
                    reversed_n, reversed_id, reason, actor_id, activity.received_at,
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
