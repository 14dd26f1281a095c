"""The rules of the ledger itself: what an account caches against what its entries say."""

from .report import Check

IN_RANGE = "account.player_id >= %(lower)s AND account.player_id < %(upper)s"
EARNING = "('rewards', 'game', 'opening')"

SUMS = f"""
    SELECT account.id, account.player_id, account.unit, account.currency, account.balance, account.version, account.earned_total,
           account.owed, coalesce(sums.amount, 0) AS amount, coalesce(sums.entries, 0) AS entries, coalesce(sums.last_seq, 0) AS last_seq,
           coalesce(sums.earned, 0) AS earned, coalesce(sums.lent, 0) AS lent
    FROM wallet_account AS account
    LEFT JOIN LATERAL (
        SELECT sum(amount) AS amount, count(*) AS entries, max(seq) AS last_seq,
               sum(amount) FILTER (WHERE house IN {EARNING}) AS earned, sum(amount) FILTER (WHERE house = 'debt') AS lent
        FROM wallet_entry WHERE account_id = account.id
    ) AS sums ON true
    WHERE {IN_RANGE}
"""

LEDGER_CHECKS = (
    Check(
        "balance = sum of entries",
        "the balance is {actual}, its entries add up to {expected}",
        f"SELECT id, player_id, unit, currency, amount, balance FROM ({SUMS}) AS s WHERE balance <> amount ORDER BY id",
        "accounts",
    ),
    Check(
        "earned total = sum of earning entries",
        "the earned total is {actual}, its entries add up to {expected}",
        f"SELECT id, player_id, unit, currency, earned, earned_total FROM ({SUMS}) AS s WHERE earned_total <> earned ORDER BY id",
        "accounts",
    ),
    Check(
        "owed = sum of debt entries",
        "the account owes {actual}, its debt entries add up to {expected}",
        # an account of owed cash is the debt itself: its balance says it
        f"SELECT id, player_id, unit, currency, lent, owed FROM ({SUMS}) AS s "
        "WHERE owed <> CASE unit WHEN 'OWED' THEN 0 ELSE lent END ORDER BY id",
        "accounts",
    ),
    Check(
        "seq runs from 1 without gaps to the version",
        "the version is {actual}, but there are {expected} entries or their seq has gaps",
        f"SELECT id, player_id, unit, currency, entries, version FROM ({SUMS}) AS s "
        "WHERE version <> entries OR last_seq <> entries ORDER BY id",
        "accounts",
        is_amount=False,
    ),
    Check(
        "balance after each entry = sum so far",
        "an entry says {actual} after it, the entries up to it add up to {expected}",
        f"""
        SELECT DISTINCT ON (id) id, player_id, unit, currency, running, balance_after FROM (
            SELECT account.id, account.player_id, account.unit, account.currency, entry.seq, entry.balance_after,
                   sum(entry.amount) OVER (PARTITION BY entry.account_id ORDER BY entry.seq ROWS UNBOUNDED PRECEDING) AS running
            FROM wallet_entry AS entry JOIN wallet_account AS account ON account.id = entry.account_id
            WHERE {IN_RANGE}
        ) AS chain WHERE running <> balance_after ORDER BY id, seq
        """,
        "entries",
    ),
    Check(
        "a reversal takes back what it reverses",
        "a reversal moved {actual}, the entry that it reverses asks for {expected}",
        f"""
        SELECT account.id, account.player_id, account.unit, account.currency, -original.amount, entry.amount
        FROM wallet_entry AS entry JOIN wallet_account AS account ON account.id = entry.account_id
        JOIN wallet_entry AS original ON original.id = entry.reversal_of_id
        WHERE {IN_RANGE} AND (entry.amount <> -original.amount OR entry.account_id <> original.account_id) ORDER BY account.id
        """,
        "entries",
    ),
)

SIDES = f"""
SELECT unit, currency, count(*), coalesce(sum(balance), 0)::bigint, coalesce(-sum(amount), 0)::bigint
FROM ({SUMS}) AS s GROUP BY unit, currency ORDER BY unit, currency
"""
