"""The bulk door: credits of many players, posted by a handful of set-based statements inside the caller's transaction.

The caller creates the stage, fills it (COPY or INSERT .. SELECT) and posts it. Any batching of the same lines leaves the same
balances, seq and grants as posting them one by one in the order of line_no.
"""

from datetime import datetime
from typing import Any

from django.db.backends.utils import CursorWrapper

from loyalty_site.common.money import from_minor

from .errors import CreditStageError, IdempotencyConflict
from .grants import bulk
from .models import EARNING_HOUSES, House
from .points import bulk as points
from .values import MAX_AMOUNT_MINOR, PostResult, account_label, money_unit

STAGE = "wallet_credit_stage"
LINES = "wallet_credit_lines"

_CREATE_STAGE = f"""
CREATE TEMP TABLE IF NOT EXISTS {STAGE} (
    line_no bigint, player_id bigint, unit text, currency text, amount_minor bigint,
    source_type text, source_ref text, source_sub text, reason text,
    wagering_required numeric, expires_at timestamptz, max_bet_minor bigint, eligible_games jsonb,
    template_code text, wagering_multiple numeric
) ON COMMIT DROP
"""

# Look-ups are lateral with LIMIT 1 throughout: one index probe a line, so the cost of a batch follows the batch, not the ledger.
# (Left to itself the planner hashes whole tables until they are some hundred times the batch.)
_FAULTS = f"""
SELECT line_no, fault FROM (
    SELECT stage.line_no, CASE
        WHEN stage.line_no IS NULL THEN 'line_no is empty'
        WHEN stage.player_id IS NULL THEN 'player_id is empty'
        WHEN NOT EXISTS (SELECT FROM players_player WHERE id = stage.player_id LIMIT 1)
            THEN 'there is no player with id ' || stage.player_id
        WHEN stage.unit IS NULL OR stage.unit NOT IN ('LP', 'RP', 'BONUS', 'TICKET')
            THEN 'unit ' || coalesce(stage.unit, '(empty)') || ' is unknown; use LP, RP, BONUS or TICKET'
        WHEN stage.unit = 'BONUS' AND coalesce(stage.currency, '') !~ '^[A-Z]{{3}}$' THEN 'bonus money needs an ISO 4217 currency'
        WHEN stage.unit <> 'BONUS' AND coalesce(stage.currency, '') <> '' THEN stage.unit || ' has no currency; leave it empty'
        WHEN stage.amount_minor IS NULL THEN 'amount_minor is empty'
        WHEN stage.amount_minor <= 0 THEN 'amount_minor must be positive, not ' || stage.amount_minor
        WHEN stage.amount_minor > {MAX_AMOUNT_MINOR} THEN 'amount_minor is larger than any posting may be'
        WHEN coalesce(stage.source_type, '') = '' OR coalesce(stage.source_ref, '') = '' THEN 'source_type and source_ref must be given'
        WHEN length(stage.source_type) > 40 OR length(stage.source_ref) > 128 OR length(stage.source_sub) > 64
            THEN 'source is too long (type 40, ref 128, sub 64 characters)'
        WHEN length(stage.reason) > 500 THEN 'reason is longer than 500 characters'
        WHEN stage.unit <> 'BONUS' AND stage.template_code IS NOT NULL THEN 'only bonus money has a template; leave template_code empty'
        WHEN stage.wagering_multiple < 0 OR stage.wagering_multiple >= 1e6 OR stage.wagering_multiple <> round(stage.wagering_multiple, 2)
            THEN 'wagering_multiple must be a number from 0 on with at most two decimal places, or empty'
        WHEN stage.unit = 'BONUS' AND stage.template_code IS NOT NULL THEN NULL
        WHEN stage.unit = 'BONUS' AND (stage.wagering_required IS NULL OR stage.wagering_required < 0
                                       OR stage.wagering_required >= 1e14 OR stage.wagering_required = 'NaN')
            THEN 'wagering_required of a bonus must be a number from 0 on'
        WHEN stage.unit = 'BONUS' AND stage.wagering_required <> round(stage.wagering_required, 6)
            THEN 'wagering_required has more than six decimal places'
        WHEN stage.unit = 'BONUS' AND (stage.expires_at IS NULL OR stage.expires_at <= %(at)s) THEN 'expires_at must lie after the posting'
        WHEN stage.unit = 'BONUS' AND stage.max_bet_minor <= 0 THEN 'max_bet_minor must be positive or empty'
        WHEN stage.unit = 'BONUS' AND jsonb_typeof(stage.eligible_games) NOT IN ('array', 'null')
            THEN 'eligible_games must be a list of game codes or categories'
    END AS fault
    FROM {STAGE} AS stage
) AS checked WHERE fault IS NOT NULL ORDER BY line_no LIMIT 5
"""

# sorted by the unique key, so that two transactions that create the same accounts wait for each other in one direction only
_CREATE_ACCOUNTS = f"""
INSERT INTO wallet_account (player_id, unit, currency, balance, version, earned_total, owed)
SELECT player_id, unit, currency, 0, 0, 0, 0
FROM (SELECT DISTINCT player_id, unit, coalesce(currency, '') AS currency FROM {STAGE}) AS wanted
LEFT JOIN LATERAL (
    SELECT id FROM wallet_account AS account
    WHERE account.player_id = wanted.player_id AND account.unit = wanted.unit AND account.currency = wanted.currency LIMIT 1
) AS known ON true
WHERE known.id IS NULL
ORDER BY player_id, unit, currency
ON CONFLICT (player_id, unit, currency) DO NOTHING
"""

_LOCK_ACCOUNTS = f"""
WITH locked AS MATERIALIZED (
    SELECT id FROM wallet_account
    WHERE id = ANY (ARRAY(
        SELECT known.id
        FROM (SELECT DISTINCT player_id, unit, coalesce(currency, '') AS currency FROM {STAGE}) AS wanted
        CROSS JOIN LATERAL (
            SELECT id FROM wallet_account AS account
            WHERE account.player_id = wanted.player_id AND account.unit = wanted.unit
              AND (account.unit = 'BONUS' OR account.currency = wanted.currency)
        ) AS known
    ))
    ORDER BY id FOR UPDATE
) SELECT count(*) FROM locked
"""

# Runs under the locks, so what it reads of accounts and of their entries cannot change any more. A line is fresh when its source
# is neither in the ledger nor on an earlier line; only fresh lines get ids, seq and a balance.
_NUMBER_LINES = f"""
CREATE TEMP TABLE {LINES} ON COMMIT DROP AS
SELECT line_no, player_id, unit, currency, amount_minor, source_type, source_ref, source_sub, reason,
       account_id, fresh, conflict, CASE WHEN fresh THEN nextval('wallet_entry_id_seq') END AS entry_id, NULL::bigint AS grant_id,
       version + count(*) FILTER (WHERE fresh) OVER in_order AS seq,
       (balance + sum(amount_minor) FILTER (WHERE fresh) OVER in_order)::bigint AS balance_after
FROM (
    SELECT stage.line_no, stage.player_id, stage.unit, coalesce(stage.currency, '') AS currency, stage.amount_minor,
           stage.source_type, stage.source_ref, coalesce(stage.source_sub, '') AS source_sub, coalesce(stage.reason, '') AS reason,
           account.id AS account_id, account.version, account.balance,
           posted.id IS NULL AND row_number() OVER same_source = 1 AS fresh,
           (posted.id IS NOT NULL AND (posted.account_id <> account.id OR posted.amount <> stage.amount_minor OR posted.house <> %(house)s))
           OR made.id IS NOT NULL
           OR first_value(account.id) OVER same_source <> account.id
           OR first_value(stage.amount_minor) OVER same_source <> stage.amount_minor AS conflict
    FROM {STAGE} AS stage
    CROSS JOIN LATERAL (
        SELECT id, version, balance FROM wallet_account
        WHERE player_id = stage.player_id AND unit = stage.unit AND currency = coalesce(stage.currency, '') LIMIT 1
    ) AS account
    LEFT JOIN LATERAL (
        SELECT id, account_id, amount, house FROM wallet_entry
        WHERE source_ref = stage.source_ref AND source_type = stage.source_type AND source_sub = coalesce(stage.source_sub, '') LIMIT 1
    ) AS posted ON true
    LEFT JOIN LATERAL (
        SELECT id FROM wallet_bonusgrant
        WHERE source_ref = stage.source_ref AND source_type = stage.source_type AND source_sub = coalesce(stage.source_sub, '') LIMIT 1
    ) AS made ON true
    WHERE stage.unit <> 'BONUS'
    WINDOW same_source AS (PARTITION BY stage.source_ref, stage.source_type, coalesce(stage.source_sub, '') ORDER BY stage.line_no)
) AS known
WINDOW in_order AS (PARTITION BY account_id ORDER BY line_no, source_ref, source_type, source_sub ROWS UNBOUNDED PRECEDING)
"""

_CONFLICTS = f"""
SELECT line_no, source_type || ':' || source_ref || CASE WHEN source_sub = '' THEN '' ELSE ':' || source_sub END
FROM {LINES} WHERE conflict ORDER BY line_no LIMIT 5
"""

_POST_ENTRIES = f"""
INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub, reason, occurred_at)
SELECT entry_id, account_id, %(house)s, amount_minor, seq, balance_after, source_type, source_ref, source_sub, reason, %(at)s
FROM {LINES} WHERE fresh ORDER BY entry_id
"""

_RAISE_BALANCES = f"""
UPDATE wallet_account AS account
SET balance = account.balance + sums.amount, version = account.version + sums.entries,
    earned_total = account.earned_total + CASE WHEN %(earning)s THEN sums.amount ELSE 0 END
FROM (SELECT account_id, sum(amount_minor) AS amount, count(*) AS entries FROM {LINES} WHERE fresh GROUP BY account_id) AS sums
WHERE account.id = sums.account_id AND account.id = ANY (ARRAY(SELECT DISTINCT account_id FROM {LINES} WHERE fresh))
"""


def create_credit_stage(cursor: CursorWrapper) -> str:
    """Create (or empty) the temp table that takes the lines of this transaction; returns its name. It vanishes at commit.

    Columns: line_no, player_id, unit, currency, amount_minor, source_type, source_ref, source_sub, reason, and for BONUS lines
    wagering_required (amount to wager, in units of the currency), expires_at, max_bet_minor, eligible_games (JSON list); or template_code,
    whose current version then gives the terms, and wagering_multiple where more than the template's multiple has to be wagered.
    """
    cursor.execute(_CREATE_STAGE)
    cursor.execute(f"TRUNCATE {STAGE}")
    return STAGE


def post_credit_stage(cursor: CursorWrapper, *, house: str, at: datetime) -> PostResult:
    """Post every line of the stage against the house code, in the caller's transaction.

    A line whose source was posted before with the same content is skipped and counted as a duplicate. Points make a lot each; where
    their policy makes them wait they become pending lots instead, without an entry, counted as `waiting`. Lines of one account get
    consecutive seq in the order of line_no. BONUS lines make a grant each: active, completed at once (nothing to wager), queued behind
    another one of its product, or offered; queued and offered ones and free spins have no entry yet, and count as posted.
    Afterwards the temp table `wallet_credit_lines` holds line_no, account_id and, for what this call posted, entry_id and grant_id.

    Raises CreditStageError (a line that cannot be posted) or IdempotencyConflict (a source with other content); the caller's
    transaction is to be rolled back then. Accounts are locked in id order until it ends.
    """
    if house not in House.values:
        raise CreditStageError(f"house code {house!r} is unknown; use one of {', '.join(House.values)}")
    parameters: dict[str, Any] = {"house": house, "at": at, "earning": house in EARNING_HOUSES}
    cursor.execute(f"ANALYZE {STAGE}")
    cursor.execute(_FAULTS, parameters)
    if faults := cursor.fetchall():
        raise CreditStageError("; ".join(f"line {line_no}: {fault}" for line_no, fault in faults))
    cursor.execute(f"SELECT EXISTS (SELECT FROM {STAGE} WHERE unit = 'BONUS')")
    has_bonus = cursor.fetchone()[0]
    if has_bonus:
        bulk.read_templates(cursor, STAGE, at)
    cursor.execute(_CREATE_ACCOUNTS)
    cursor.execute(_LOCK_ACCOUNTS)
    aside = points.set_waiting_aside(cursor, STAGE, house=house, at=at)
    # from here on nobody else can post to these accounts: what is in the ledger now decides what is a duplicate
    cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{LINES}")
    cursor.execute(_NUMBER_LINES, parameters)
    if has_bonus:
        bulk.number_bonus_lines(cursor, STAGE, LINES, at)
    cursor.execute(_CONFLICTS)
    if conflicts := cursor.fetchall():
        raise IdempotencyConflict(
            "; ".join(f"line {line_no}: source {source} stands for a posting with other content" for line_no, source in conflicts)
        )
    cursor.execute(_POST_ENTRIES, parameters)
    posted = cursor.rowcount
    cursor.execute(_RAISE_BALANCES, parameters)
    points.make_lots(cursor, LINES, house=house, at=at)
    cursor.execute(f"SELECT unit, currency, sum(amount_minor) FROM {LINES} WHERE fresh GROUP BY unit, currency ORDER BY unit, currency")
    sums = cursor.fetchall()
    if has_bonus:
        posted += bulk.make_grants(cursor, house=house, at=at)
    cursor.execute(f"SELECT count(*) FROM {STAGE}")
    duplicates = cursor.fetchone()[0] - posted
    return PostResult(
        posted=posted,
        duplicates=duplicates + aside.known,
        waiting=aside.kept,
        by_unit={account_label(unit, currency): from_minor(int(minor), money_unit(unit, currency)) for unit, currency, minor in sums},
    )
