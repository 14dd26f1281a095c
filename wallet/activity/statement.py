"""The one statement that writes what the engine decided: its parts, one for each kind of row, and how they are put together.

`..._n` is the position of a row of the same statement, `..._id` the id of an older one.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from .sql import flags, instants, numbers, texts, unnest

_ARRAYS: dict[str, Callable[[Any], str]] = {
    "bigint": numbers, "numeric": numbers, "integer": numbers, "boolean": flags, "timestamptz": instants,
}  # fmt: skip

_ENTRY = "(SELECT entry FROM ids)"
_EVENT = "(SELECT event FROM ids)"
_LOG = "(SELECT log FROM ids)"
_IDS = """ids AS MATERIALIZED (
    SELECT ARRAY(SELECT nextval('wallet_entry_id_seq') FROM generate_series(1, $1::integer)) AS entry,
           ARRAY(SELECT nextval('wallet_wagerevent_id_seq') FROM generate_series(1, $2::integer)) AS event,
           ARRAY(SELECT nextval('wallet_log_number') FROM generate_series(1, $3::integer)) AS log
)"""


class Part(NamedTuple):
    """Rows of one table: `columns` are the parameters (name, type), `sql` what is done with the rows `v` of them."""

    columns: tuple[tuple[str, str], ...]
    sql: str


def _columns(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (one.split() for one in text.split(","))
    return tuple((name, kind) for name, kind in pairs)


PARTS = {
    "events": Part(
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
    "settled": Part(  # events that waited, and now have their parts
        _columns(
            "id bigint, real_part bigint, bonus_part bigint, locked_part bigint, grant_id bigint, takes_back_kind text, entry_n bigint"
        ),
        f"""UPDATE wallet_wagerevent AS e SET waits = false, amount = v.real_part + v.bonus_part + v.locked_part,
            real_part = v.real_part, bonus_part = v.bonus_part,
            locked_part = v.locked_part, grant_id = v.grant_id, takes_back_kind = v.takes_back_kind, entry_id = {_ENTRY}[v.entry_n]
        FROM {{rows}} WHERE e.id = v.id""",
    ),
    "entries": Part(
        _columns(
            "n bigint, account_id bigint, house text, amount bigint, seq bigint, balance_after bigint, source_type text, "
            "source_ref text, source_sub text, reversal_n bigint, reversal_id bigint, reason text, actor_id bigint, "
            "occurred_at timestamptz"
        ),
        f"""INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub,
            reversal_of_id, reason, actor_id, occurred_at)
        SELECT {_ENTRY}[v.n], v.account_id, v.house, v.amount, v.seq, v.balance_after, v.source_type, v.source_ref, v.source_sub,
            coalesce({_ENTRY}[v.reversal_n], v.reversal_id), v.reason, v.actor_id, v.occurred_at
        FROM {{rows}}""",
    ),
    "accounts": Part(
        _columns("id bigint, balance bigint, version bigint, earned_total bigint, owed bigint"),
        """UPDATE wallet_account AS a SET balance = v.balance, version = v.version, earned_total = v.earned_total, owed = v.owed
        FROM {rows} WHERE a.id = v.id""",
    ),
    "movements": Part(
        _columns("grant_id bigint, entry_n bigint, pocket text, amount bigint"),
        f"""INSERT INTO wallet_grantmovement (grant_id, entry_id, pocket, amount)
        SELECT v.grant_id, {_ENTRY}[v.entry_n], v.pocket, v.amount FROM {{rows}}""",
    ),
    "grants": Part(
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
    "counts": Part(
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
    "changes": Part(
        _columns(
            "grant_id bigint, from_status text, to_status text, cause text, detail jsonb, log_n bigint, entry_n bigint, "
            "occurred_at timestamptz"
        ),
        f"""INSERT INTO wallet_grantevent (grant_id, from_status, to_status, cause, detail, log_number, entry_id, occurred_at)
        SELECT v.grant_id, v.from_status, v.to_status, v.cause, v.detail, {_LOG}[v.log_n], {_ENTRY}[v.entry_n], v.occurred_at
        FROM {{rows}}""",
    ),
    "payouts": Part(
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
    "flags": Part(
        _columns("player_id bigint, kind text, grant_id bigint, source_ref text, detail jsonb, occurred_at timestamptz"),
        """INSERT INTO wallet_walletflag (player_id, kind, grant_id, source_ref, detail, occurred_at)
        SELECT v.player_id, v.kind, v.grant_id, v.source_ref, v.detail, v.occurred_at FROM {rows}
        ON CONFLICT (player_id, kind, source_ref) DO NOTHING""",
    ),
}


@lru_cache(maxsize=256)
def statement(names: tuple[str, ...]) -> str:
    first, parts = 4, [_IDS]
    for name in names:
        part = PARTS[name]
        parts.append(f"{name}_written AS ({part.sql.format(rows=unnest(part.columns, 'v', first))})")
        first += len(part.columns)
    return "WITH " + ", ".join(parts) + " SELECT FROM ids"


def arrays(part: Part, rows: list[tuple[Any, ...]]) -> Iterable[str]:
    for (_, kind), values in zip(part.columns, zip(*rows, strict=True), strict=True):
        yield _ARRAYS.get(kind, texts)(values)
