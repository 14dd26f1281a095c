"""The rules of points: accounts against lots, lots against their uses, entries against the lots they made and used."""

from wallet.points.movements import LOT_SOURCE

from .ledger_checks import IN_RANGE
from .report import Check

_POINTS = "account.unit IN ('LP', 'RP', 'TICKET')"
_ROW = "account.id, account.player_id, account.unit, account.currency"
_LOTS = f"wallet_lot AS lot JOIN wallet_account AS account ON account.id = lot.account_id WHERE {IN_RANGE}"
_ENTRIES = "wallet_entry AS entry JOIN wallet_account AS account ON account.id = entry.account_id"
LOTS_SUBJECT = f"SELECT count(*) FROM {_LOTS}"

POINTS_CHECKS = (
    Check(
        "points account = what remains of its active lots",
        "the account holds {actual}, its active lots {expected}",
        f"""
        SELECT {_ROW}, coalesce(sum(lot.remaining), 0), account.balance
        FROM wallet_account AS account LEFT JOIN wallet_lot AS lot ON lot.account_id = account.id AND lot.status = 'ACTIVE'
        WHERE {_POINTS} AND {IN_RANGE}
        GROUP BY account.id HAVING coalesce(sum(lot.remaining), 0) <> account.balance ORDER BY account.id
        """,
        "accounts",
    ),
    Check(
        "lot = its credit and its uses",
        "a lot has {actual} left, its credit and uses add up to {expected}",
        f"""
        SELECT {_ROW}, sums.amount, sums.remaining
        FROM (
            SELECT lot.account_id, lot.remaining,
                   CASE WHEN lot.status = 'CANCELLED' AND lot.entry_id IS NULL THEN 0 ELSE lot.qty END
                   + coalesce((SELECT sum(amount) FROM wallet_lotuse WHERE lot_id = lot.id), 0) AS amount
            FROM {_LOTS}
        ) AS sums JOIN wallet_account AS account ON account.id = sums.account_id
        WHERE sums.amount <> sums.remaining ORDER BY account.id
        """,
        "lots",
    ),
    Check(
        "points entry = the lot it made and the lots it used",
        "an entry moved {actual}, its lots {expected}",
        f"""
        SELECT {_ROW}, moved.amount, entry.amount
        FROM {_ENTRIES}
        CROSS JOIN LATERAL (
            SELECT coalesce((SELECT sum(qty) FROM wallet_lot WHERE entry_id = entry.id), 0)
                 + coalesce((SELECT sum(amount) FROM wallet_lotuse WHERE entry_id = entry.id), 0) AS amount
        ) AS moved
        WHERE {_POINTS} AND {IN_RANGE} AND moved.amount <> entry.amount ORDER BY account.id
        """,
        "entries",
    ),
    Check(
        "a credit of points makes one lot, a debit none",
        "an entry made {actual} lots instead of {expected}",
        f"""
        SELECT {_ROW}, asked.lots, made.lots
        FROM {_ENTRIES}
        CROSS JOIN LATERAL (SELECT count(*) AS lots FROM wallet_lot WHERE entry_id = entry.id) AS made
        CROSS JOIN LATERAL (
            SELECT CASE WHEN entry.amount < 0 OR entry.source_type = 'wallet.entry' THEN 0
                        WHEN entry.reversal_of_id IS NOT NULL THEN least(made.lots, 1) ELSE 1 END AS lots
        ) AS asked
        WHERE {_POINTS} AND {IN_RANGE} AND made.lots <> asked.lots ORDER BY account.id
        """,
        "entries",
        is_amount=False,
    ),
    Check(
        "lots and uses stay within one account",
        "a lot or use belongs to account {actual}, its entry to {expected}",
        f"""
        SELECT {_ROW}, entry.account_id, lot.account_id
        FROM wallet_lot AS lot JOIN wallet_account AS account ON account.id = lot.account_id
        JOIN wallet_entry AS entry ON entry.id = lot.entry_id
        WHERE {IN_RANGE} AND (entry.account_id <> lot.account_id OR lot.player_id <> account.player_id)
        UNION ALL
        SELECT {_ROW}, entry.account_id, lot.account_id
        FROM wallet_lot AS lot JOIN wallet_account AS account ON account.id = lot.account_id
        JOIN wallet_lotuse AS uses ON uses.lot_id = lot.id JOIN wallet_entry AS entry ON entry.id = uses.entry_id
        WHERE {IN_RANGE} AND entry.account_id <> lot.account_id
        ORDER BY 1
        """,
        "lots",
        is_amount=False,
    ),
    Check(
        "expiry takes all that an expired lot had left",
        "an expiry moved {actual} of a lot that had {expected}",
        f"""
        SELECT {_ROW}, -chain.before, uses.amount
        FROM (
            SELECT uses.id, lot.account_id, lot.qty + coalesce(sum(uses.amount) OVER (
                       PARTITION BY uses.lot_id ORDER BY uses.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
            FROM wallet_lotuse AS uses JOIN wallet_lot AS lot ON lot.id = uses.lot_id
            JOIN wallet_account AS account ON account.id = lot.account_id WHERE {IN_RANGE}
        ) AS chain
        JOIN wallet_lotuse AS uses ON uses.id = chain.id
        JOIN wallet_entry AS entry ON entry.id = uses.entry_id AND entry.source_type = '{LOT_SOURCE}' AND entry.house = 'expiry'
        JOIN wallet_account AS account ON account.id = chain.account_id
        WHERE -chain.before <> uses.amount ORDER BY account.id
        """,
        "lots",
    ),
)
