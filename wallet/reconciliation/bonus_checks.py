"""The rules of bonus money: accounts against grants, grants against movements, progress against bets, ends against pay-outs."""

from loyalty_site.common.money import OTHER_EXPONENTS
from wallet.bonus.states import OPEN, TRANSITIONS

from .ledger_checks import IN_RANGE
from .report import Check

_OPEN = "(" + ", ".join(f"'{status}'" for status in sorted(OPEN)) + ")"
_GRANTS = "g.player_id >= %(lower)s AND g.player_id < %(upper)s"
_ROW = "account.id, account.player_id, account.unit, account.currency"
_WITH_ACCOUNT = "wallet_bonusgrant AS g JOIN wallet_account AS account ON account.id = g.account_id"
_LEGAL = ", ".join(f"('{before or ''}', '{after}')" for before, following in TRANSITIONS.items() for after in sorted(following))


def _against_movements(name: str, pocket: str) -> Check:
    return Check(
        f"grant's {name} = sum of its movements",
        f"a grant holds {{actual}} as {name}, its movements add up to {{expected}}",
        f"""
        SELECT {_ROW}, coalesce(sum(movement.amount), 0), g.{pocket}
        FROM {_WITH_ACCOUNT} LEFT JOIN wallet_grantmovement AS movement ON movement.grant_id = g.id AND movement.pocket = '{pocket}'
        WHERE {_GRANTS}
        GROUP BY account.id, g.id HAVING coalesce(sum(movement.amount), 0) <> g.{pocket} ORDER BY account.id
        """,
        "grants",
    )


def _against_counts(name: str, text: str, column: str, expected: str) -> Check:
    return Check(
        name,
        text,
        f"""
        SELECT {_ROW}, coalesce(sum(counts.{expected}), 0), g.{column}
        FROM {_WITH_ACCOUNT} LEFT JOIN wallet_wagercount AS counts ON counts.grant_id = g.id
        WHERE {_GRANTS}
        GROUP BY account.id, g.id HAVING coalesce(sum(counts.{expected}), 0) <> g.{column} ORDER BY account.id
        """,
        "grants",
        is_amount=False,
    )


MONEY_CHECKS = (
    Check(
        "bonus account = balances of its open grants",
        "the bonus account holds {actual}, its open grants {expected}",
        f"""
        SELECT {_ROW}, coalesce(sum(g.balance + g.locked), 0), account.balance
        FROM wallet_account AS account LEFT JOIN wallet_bonusgrant AS g ON g.account_id = account.id AND g.status IN {_OPEN}
             AND g.player_id = account.player_id
        WHERE account.unit = 'BONUS' AND {IN_RANGE}
        GROUP BY account.id HAVING coalesce(sum(g.balance + g.locked), 0) <> account.balance ORDER BY account.id
        """,
        "accounts",
    ),
    Check(
        "the source of a bonus stands for nothing else",
        "{actual} other postings or waiting points have the source of a bonus, which could not begin then",
        f"""
        SELECT {_ROW}, 0, others.number
        FROM {_WITH_ACCOUNT} CROSS JOIN LATERAL (
            SELECT (SELECT count(*) FROM wallet_entry AS entry
                    WHERE entry.source_ref = g.source_ref AND entry.source_type = g.source_type AND entry.source_sub = g.source_sub
                      AND NOT EXISTS (SELECT FROM wallet_grantmovement WHERE entry_id = entry.id AND grant_id = g.id))
                 + (SELECT count(*) FROM wallet_lot AS lot
                    WHERE lot.source_ref = g.source_ref AND lot.source_type = g.source_type AND lot.source_sub = g.source_sub) AS number
        ) AS others
        WHERE {_GRANTS} AND g.status IN ('OFFERED', 'QUEUED') AND others.number > 0 ORDER BY account.id
        """,
        "grants",
        is_amount=False,
    ),
    _against_movements("bonus", "balance"),
    _against_movements("locked winnings", "locked"),
    Check(
        "bonus entry = sum of its movements",
        "an entry moved {actual}, its grants {expected}",
        f"""
        SELECT {_ROW}, coalesce(sum(movement.amount), 0), entry.amount
        FROM wallet_entry AS entry JOIN wallet_account AS account ON account.id = entry.account_id
        LEFT JOIN wallet_grantmovement AS movement ON movement.entry_id = entry.id
        WHERE account.unit = 'BONUS' AND {IN_RANGE}
        GROUP BY account.id, entry.id HAVING coalesce(sum(movement.amount), 0) <> entry.amount ORDER BY account.id
        """,
        "entries",
    ),
    _against_counts(
        "wagering progress = sum of counted bets", "a grant shows {actual} wagered, its bets add up to {expected}", "wagered", "counted"
    ),
    _against_counts(
        "penalties = sum of the bets' penalties",
        "a grant shows penalties of {actual}, its bets add up to {expected}",
        "penalties",
        "penalty",
    ),
)

# the requirement of a grant as frozen: a fixed one, or the multiple times its base; minor units become units of the currency
_PLACES = "CASE g.currency " + " ".join(f"WHEN '{unit}' THEN {places}" for unit, places in OTHER_EXPONENTS.items()) + " ELSE 2 END"
_FROZEN = f"""
    coalesce((g.terms->>'requirement')::numeric, coalesce((g.terms->>'multiple')::numeric, 0)
             * (g.principal + CASE g.terms->>'base' WHEN 'bonus_deposit' THEN g.deposit ELSE 0 END) / power(10::numeric, {_PLACES}))
"""

STORY_CHECKS = (
    Check(
        "requirement = what the terms say + penalties",
        "a grant has to wager {actual}, its terms and penalties say {expected}",
        f"""
        SELECT {_ROW}, round({_FROZEN} + g.penalties, 6), g.wagering_required FROM {_WITH_ACCOUNT}
        WHERE {_GRANTS} AND g.activated_at IS NOT NULL AND g.wagering_required <> round({_FROZEN} + g.penalties, 6) ORDER BY account.id
        """,
        "grants",
        is_amount=False,
    ),
    Check(
        "progress lies between 0 and the requirement",
        "a grant shows {actual} wagered of {expected}",
        f"""
        SELECT {_ROW}, g.wagering_required, g.wagered FROM {_WITH_ACCOUNT}
        WHERE {_GRANTS} AND (g.wagered < 0 OR g.wagered > g.wagering_required) ORDER BY account.id
        """,
        "grants",
        is_amount=False,
    ),
    Check(
        "each count follows the one before it",
        "a bet counts from {actual}, the bets before it lead to {expected}",
        f"""
        SELECT id, player_id, unit, currency, reached, progress_before FROM (
            SELECT {_ROW}, counts.progress_before, counts.grant_id,
                   coalesce(sum(counts.counted) OVER (PARTITION BY counts.grant_id ORDER BY counts.id
                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS reached
            FROM wallet_wagercount AS counts JOIN wallet_bonusgrant AS g ON g.id = counts.grant_id
            JOIN wallet_account AS account ON account.id = g.account_id WHERE {_GRANTS}
        ) AS chain WHERE reached <> progress_before ORDER BY id
        """,
        "counts",
        is_amount=False,
    ),
    Check(
        "released = pay-out entries = pay-out instructions",
        "a grant says it released {actual}, its pay-out entries and instructions say {expected}",
        f"""
        SELECT {_ROW}, coalesce(paid.amount, 0), g.released
        FROM {_WITH_ACCOUNT}
        LEFT JOIN LATERAL (
            SELECT -sum(movement.amount) AS amount FROM wallet_grantmovement AS movement
            JOIN wallet_entry AS entry ON entry.id = movement.entry_id AND entry.house = 'payout' WHERE movement.grant_id = g.id
        ) AS paid ON true
        LEFT JOIN LATERAL (SELECT sum(amount) AS amount FROM wallet_payoutinstruction WHERE grant_id = g.id) AS told ON true
        WHERE {_GRANTS} AND (coalesce(paid.amount, 0) <> g.released OR coalesce(told.amount, 0) <> coalesce(paid.amount, 0))
        ORDER BY account.id
        """,
        "grants",
    ),
    Check(
        "every release has one instruction of its amount",
        "a pay-out entry moved {actual}, the platform was told {expected}",
        f"""
        SELECT {_ROW}, -coalesce(payout.amount, 0), entry.amount
        FROM wallet_entry AS entry JOIN wallet_account AS account ON account.id = entry.account_id
        LEFT JOIN wallet_payoutinstruction AS payout ON payout.entry_id = entry.id
        WHERE entry.house = 'payout' AND account.unit = 'BONUS' AND {IN_RANGE}
          AND (payout.id IS NULL OR payout.amount <> -entry.amount OR payout.player_id <> account.player_id
               OR payout.currency <> account.currency)
        UNION ALL
        SELECT {_ROW}, 0, -payout.amount
        FROM wallet_payoutinstruction AS payout JOIN wallet_entry AS entry ON entry.id = payout.entry_id
        JOIN wallet_account AS account ON account.id = entry.account_id
        WHERE {IN_RANGE} AND entry.house <> 'payout'
        """,
        "payouts",
    ),
    Check(
        "released is at most the cap",
        "a grant released {actual}, its cap allows {expected}",
        f"""
        SELECT {_ROW}, floor((g.terms->>'cash_out_cap')::numeric * g.principal), g.released
        FROM {_WITH_ACCOUNT}
        WHERE {_GRANTS} AND g.terms->>'cash_out_cap' IS NOT NULL AND g.released > (g.terms->>'cash_out_cap')::numeric * g.principal
        ORDER BY account.id
        """,
        "grants",
    ),
    Check(
        "status events lead to the status by legal steps",
        "a grant is {actual} and its events say {expected}",
        f"""
        WITH steps AS (
            SELECT event.grant_id, event.from_status, event.to_status,
                   lag(event.to_status, 1, '') OVER in_order AS reached,
                   lead(event.id) OVER in_order IS NULL AS is_last
            FROM wallet_grantevent AS event JOIN wallet_bonusgrant AS g ON g.id = event.grant_id WHERE {_GRANTS}
            WINDOW in_order AS (PARTITION BY event.grant_id ORDER BY event.log_number, event.id)
        ), wrong AS (
            SELECT grant_id,
                   min(from_status || ' -> ' || to_status || CASE WHEN from_status <> reached THEN ' after ' || reached ELSE '' END) AS step
            FROM steps WHERE from_status <> reached OR (from_status, to_status) NOT IN (VALUES {_LEGAL}) GROUP BY grant_id
        )
        SELECT {_ROW}, coalesce(wrong.step, steps.to_status, 'nothing'), g.status
        FROM {_WITH_ACCOUNT} LEFT JOIN steps ON steps.grant_id = g.id AND steps.is_last LEFT JOIN wrong ON wrong.grant_id = g.id
        WHERE {_GRANTS} AND (wrong.step IS NOT NULL OR steps.to_status IS DISTINCT FROM g.status) ORDER BY account.id
        """,
        "status events",
        is_amount=False,
    ),
    Check(
        "open bets = bets on it without settlement",
        "a grant shows {actual} open bets, its events say {expected}",
        f"""
        SELECT {_ROW}, count(bet.id), g.open_bets
        FROM {_WITH_ACCOUNT} LEFT JOIN wallet_wagerevent AS bet ON bet.grant_id = g.id AND bet.kind = 'BET' AND NOT bet.waits
             AND NOT EXISTS (SELECT FROM wallet_wagercount AS counts WHERE counts.wager_id = bet.id)
        WHERE {_GRANTS} GROUP BY account.id, g.id HAVING count(bet.id) <> g.open_bets ORDER BY account.id
        """,
        "grants",
        is_amount=False,
    ),
    Check(
        "the parts of an event add up to its amount",
        "an event has the amount {actual}, its parts add up to {expected}",
        """
        SELECT NULL::bigint, event.player_id, 'BONUS', event.currency, event.real_part + event.bonus_part + event.locked_part, event.amount
        FROM wallet_wagerevent AS event
        WHERE event.player_id >= %(lower)s AND event.player_id < %(upper)s AND NOT event.waits AND NOT event.is_free_round
          AND (event.amount <> event.real_part + event.bonus_part + event.locked_part
               OR least(event.real_part, event.bonus_part, event.locked_part) < 0)
        """,
        "events",
    ),
    Check(
        "the entry of an event moves its bonus and locked part",
        "an event's entry moved {actual}, its parts say {expected}",
        """
        SELECT entry.account_id, event.player_id, 'BONUS', event.currency, said.amount, coalesce(entry.amount, 0)
        FROM wallet_wagerevent AS event LEFT JOIN wallet_entry AS entry ON entry.id = event.entry_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN event.kind = 'BET' OR event.kind = 'ROLLBACK' AND event.takes_back_kind = 'WIN' THEN -1 ELSE 1 END
                   * (event.bonus_part + event.locked_part) AS amount
        ) AS said
        WHERE event.player_id >= %(lower)s AND event.player_id < %(upper)s AND NOT event.waits AND coalesce(entry.amount, 0) <> said.amount
        ORDER BY event.id
        """,
        "events",
    ),
    Check(
        "a rollback takes back what its bet counted",
        "the rollbacks of a bet took back {actual} of the {expected} that it counted",
        f"""
        SELECT {_ROW}, counts.counted, -taken.counted
        FROM wallet_wagerevent AS bet JOIN wallet_wagercount AS counts ON counts.wager_id = bet.id
        JOIN wallet_bonusgrant AS g ON g.id = counts.grant_id JOIN wallet_account AS account ON account.id = g.account_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS rollbacks, coalesce(sum(back.counted), 0) AS counted,
                   coalesce(bool_or(back.verdict = 'GRANT_CLOSED'), false) AS late,
                   -- an earlier rollback of a penalty took the overhang: no more than all that was left can go
                   coalesce(bool_or(back.progress_after = 0), false) AS emptied
            FROM wallet_wagerevent AS event LEFT JOIN wallet_wagercount AS back ON back.wager_id = event.id AND back.grant_id = g.id
            WHERE event.player_id = bet.player_id AND event.kind = 'ROLLBACK' AND NOT event.waits AND event.source = bet.source
              AND event.takes_back_id = bet.activity_id AND event.takes_back_kind = 'BET'
        ) AS taken
        WHERE {_GRANTS} AND bet.kind = 'BET' AND taken.rollbacks > 0 AND NOT taken.late AND NOT taken.emptied
          AND -taken.counted < counts.counted
        ORDER BY account.id
        """,
        "counts",
        is_amount=False,
    ),
)
