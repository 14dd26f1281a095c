"""The bonus lines of a bulk credit: thousands of grants by a handful of statements, as `offers.make` would make them one by one.

In the order of line_no the first bonus of a player and product becomes active, later ones are queued. What has nothing to wager ends
at once and leaves the product free for the next; those begin in rounds, as no two of a product may be open together.
"""

import json
from datetime import datetime
from typing import Any

from django.db.backends.utils import CursorWrapper

from loyalty_site.common.money import exponent

from ..bonus import states
from ..bonus.states import Status
from ..bonus.terms import Terms
from ..errors import CreditStageError, InvalidPosting
from . import queue
from .offers import needs_deposit
from .templates import current_version, terms_of

BONUS_LINES = "wallet_bonus_lines"
TEMPLATES = "wallet_stage_templates"

# needs_claim, claim_hours: of the version; minor_per_unit: 100 for EUR
_CREATE_TEMPLATES = f"""
CREATE TEMP TABLE {TEMPLATES} (
    template_code text, currency text, version_id bigint, needs_claim boolean, claim_hours integer, minor_per_unit integer, terms jsonb
) ON COMMIT DROP
"""

# Runs under the locks of all bonus accounts of the players, so their open and queued grants cannot change any more.
# made: the grant that the source made before. stays: is open after its beginning. A line is blocked by an open or queued grant, and by an
# earlier line of the product that stays. round: 0, or which of the lines that end at once it is.
_NUMBER_BONUS_LINES = f"""
CREATE TEMP TABLE {BONUS_LINES} ON COMMIT DROP AS
SELECT ordered.*,
       CASE WHEN posts THEN nextval('wallet_entry_id_seq') END AS entry_id,
       CASE WHEN fresh THEN nextval('wallet_bonusgrant_id_seq') END AS grant_id
FROM (
    SELECT judged.*,
           version + count(*) FILTER (WHERE posts) OVER in_order AS seq,
           (balance + sum(principal) FILTER (WHERE posts) OVER in_order)::bigint AS balance_after,
           CASE WHEN status = 'ACTIVE' AND NOT stays
                THEN row_number() OVER (PARTITION BY player_id, product, status, stays ORDER BY line_no) ELSE 0 END AS round
    FROM (
        SELECT placed.*, status = 'ACTIVE' AND principal > 0 AS posts
        FROM (
            SELECT read.*,
                   CASE WHEN NOT fresh THEN NULL
                        WHEN offered THEN 'OFFERED'
                        WHEN busy OR coalesce(bool_or(stays AND fresh AND NOT offered) OVER earlier, false) THEN 'QUEUED'
                        ELSE 'ACTIVE' END AS status
            FROM (
                SELECT terms_of.*, NOT (required = 0 AND principal > 0)
                           AND NOT (spins = 0 AND principal < coalesce((terms->>'min_bet')::bigint, 1)) AS stays,
                       fresh AND EXISTS (
                           SELECT FROM wallet_bonusgrant AS other WHERE other.player_id = terms_of.player_id
                           AND other.product = terms_of.product AND other.status IN ('ACTIVE', 'WAGERING', 'PAUSED', 'QUEUED')) AS busy
                FROM (
                    SELECT stage.line_no, stage.player_id, stage.currency, stage.amount_minor, stage.source_type, stage.source_ref,
                           coalesce(stage.source_sub, '') AS source_sub, coalesce(stage.reason, '') AS reason,
                           account.id AS account_id, account.version, account.balance, template.version_id, stage.expires_at,
                           coalesce(template.needs_claim, false) AS offered, template.claim_hours,
                           coalesce(template.terms->'products'->>0, 'casino') AS product,
                           CASE WHEN template.terms->>'kind' = 'free_spins' THEN (template.terms->>'spins')::integer ELSE 0 END AS spins,
                           CASE WHEN template.terms->>'kind' = 'free_spins' THEN 0 ELSE stage.amount_minor END AS principal,
                           CASE WHEN template.version_id IS NULL THEN stage.wagering_required
                                WHEN template.terms->>'kind' = 'free_spins' THEN 0
                                ELSE greatest((template.terms->>'multiple')::numeric, stage.wagering_multiple)
                                     * stage.amount_minor / template.minor_per_unit END AS required,
                           CASE WHEN template.version_id IS NULL THEN %(plain)s::jsonb || jsonb_build_object(
                                    'requirement', trim_scale(stage.wagering_required)::text, 'max_bet', stage.max_bet_minor,
                                    'eligible_games', CASE WHEN jsonb_typeof(stage.eligible_games) = 'array' THEN stage.eligible_games
                                                           ELSE '[]'::jsonb END,
                                    'wagering_seconds', ceil(extract(epoch FROM stage.expires_at - %(at)s::timestamptz))::bigint)
                                ELSE template.terms || jsonb_build_object('multiple',
                                         greatest((template.terms->>'multiple')::numeric, stage.wagering_multiple)::text) END AS terms,
                           posted.id IS NULL AND made.id IS NULL AND row_number() OVER same_source = 1 AS fresh,
                           CASE WHEN made.id IS NOT NULL THEN made.account_id <> account.id
                                    OR (made.template_version_id IS NULL) <> (stage.template_code IS NULL)
                                    OR made.template_version_id IS NULL AND made.principal <> stage.amount_minor
                                ELSE posted.id IS NOT NULL OR waits.id IS NOT NULL END
                           OR first_value(account.id) OVER same_source <> account.id
                           OR first_value(stage.amount_minor) OVER same_source <> stage.amount_minor AS conflict
                    FROM {{stage}} AS stage
                    CROSS JOIN LATERAL (
                        SELECT id, version, balance FROM wallet_account
                        WHERE player_id = stage.player_id AND unit = 'BONUS' AND currency = stage.currency LIMIT 1
                    ) AS account
                    LEFT JOIN {TEMPLATES} AS template
                        ON template.template_code = stage.template_code AND template.currency = stage.currency
                    LEFT JOIN LATERAL (
                        SELECT id FROM wallet_entry WHERE source_ref = stage.source_ref AND source_type = stage.source_type
                        AND source_sub = coalesce(stage.source_sub, '') LIMIT 1
                    ) AS posted ON true
                    LEFT JOIN LATERAL (
                        SELECT id FROM wallet_lot WHERE source_ref = stage.source_ref AND source_type = stage.source_type
                        AND source_sub = coalesce(stage.source_sub, '') LIMIT 1
                    ) AS waits ON true
                    LEFT JOIN LATERAL (
                        SELECT id, account_id, principal, template_version_id FROM wallet_bonusgrant
                        WHERE source_ref = stage.source_ref AND source_type = stage.source_type
                        AND source_sub = coalesce(stage.source_sub, '') LIMIT 1
                    ) AS made ON true
                    WHERE stage.unit = 'BONUS'
                    WINDOW same_source AS (
                        PARTITION BY stage.source_ref, stage.source_type, coalesce(stage.source_sub, '') ORDER BY stage.line_no)
                ) AS terms_of
            ) AS read
            WINDOW earlier AS (PARTITION BY player_id, product ORDER BY line_no, source_ref, source_type, source_sub
                               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        ) AS placed
    ) AS judged
    WINDOW in_order AS (PARTITION BY account_id ORDER BY line_no, source_ref, source_type, source_sub ROWS UNBOUNDED PRECEDING)
    ORDER BY line_no, source_ref, source_type, source_sub
) AS ordered
"""

# what the rest of the bulk credit needs to know: only lines that post money now are fresh there
_HAND_OVER = f"""
INSERT INTO {{lines}} (line_no, player_id, unit, currency, amount_minor, source_type, source_ref, source_sub, reason, account_id, fresh,
                       conflict, entry_id, grant_id, seq, balance_after)
SELECT line_no, player_id, 'BONUS', currency, amount_minor, source_type, source_ref, source_sub, reason, account_id, coalesce(posts, false),
       conflict, entry_id, grant_id, seq, balance_after
FROM {BONUS_LINES}
"""

# a source that stands for points on one line and for a bonus on another
_ACROSS_UNITS = f"""
UPDATE {{lines}} AS line SET conflict = true FROM {BONUS_LINES} AS bonus
WHERE line.source_ref = bonus.source_ref AND line.source_type = bonus.source_type AND line.source_sub = bonus.source_sub
  AND line.account_id <> bonus.account_id
"""

_ENDS_AT = """CASE WHEN status = 'OFFERED' THEN %(at)s::timestamptz + claim_hours * interval '1 hour'
    WHEN status = 'QUEUED' THEN %(at)s::timestamptz + %(queue_days)s * interval '1 day'
    WHEN version_id IS NULL THEN expires_at
    ELSE %(at)s::timestamptz + (terms->>'wagering_seconds')::bigint * interval '1 second' END"""

_MAKE_GRANTS = (
    f"""
    INSERT INTO wallet_bonusgrant (id, player_id, account_id, currency, template_version_id, product, principal, balance, locked, deposit,
                                   deposit_ref, wagering_required, wagered, penalties, terms, released, kept, spins_left, open_bets, status,
                                   queue_order, offered_at, activated_at, expires_at, source_type, source_ref, source_sub)
    SELECT grant_id, player_id, account_id, currency, version_id, product, principal,
           CASE WHEN status = 'ACTIVE' THEN principal ELSE 0 END, 0, 0, '', required, 0, 0, terms, 0, 0,
           CASE WHEN status = 'ACTIVE' THEN spins ELSE 0 END, 0, status, 0, %(at)s,
           CASE WHEN status = 'ACTIVE' THEN %(at)s::timestamptz END, {_ENDS_AT}, source_type, source_ref, source_sub
    FROM {BONUS_LINES} WHERE fresh AND round = %(round)s ORDER BY grant_id
    """,
    f"""
    INSERT INTO wallet_grantevent (grant_id, from_status, to_status, cause, detail, entry_id, occurred_at)
    SELECT grant_id, '', status,
           left(CASE status WHEN 'OFFERED' THEN 'offered by ' WHEN 'QUEUED' THEN 'given by ' ELSE 'credited by ' END
                || source_type || ' ' || source_ref
                || CASE WHEN status = 'QUEUED' THEN '; another bonus of the product comes first' ELSE '' END, 300),
           jsonb_build_object(
               'product', product, 'principal', principal::text, 'deposit', '0', 'deposit_ref', '', 'required', trim_scale(required)::text,
               'spins', (CASE WHEN status = 'ACTIVE' THEN spins ELSE 0 END)::text,
               'expires_at', to_char(({_ENDS_AT}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
               'queue_order', '0', 'house', %(house)s::text, 'reason', reason),
           entry_id, %(at)s
    FROM {BONUS_LINES} WHERE fresh AND round = %(round)s ORDER BY grant_id
    """,
    f"""
    INSERT INTO wallet_grantmovement (grant_id, entry_id, pocket, amount)
    SELECT grant_id, entry_id, 'balance', principal FROM {BONUS_LINES} WHERE posts AND round = %(round)s ORDER BY grant_id
    """,
)


def read_templates(cursor: CursorWrapper, stage: str, at: datetime) -> None:
    """Note the current terms of every template that the stage names. Raises CreditStageError for one that cannot be given so."""
    cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{TEMPLATES}")
    cursor.execute(_CREATE_TEMPLATES)
    cursor.execute(
        f"SELECT template_code, currency, min(line_no) FROM {stage} WHERE unit = 'BONUS' AND template_code IS NOT NULL "
        "GROUP BY 1, 2 ORDER BY 3"
    )
    for code, currency, line_no in cursor.fetchall():
        try:
            version = current_version(code)
            terms = terms_of(version, currency)
        except InvalidPosting as error:
            raise CreditStageError(f"line {line_no}: {error}") from error
        if needs_deposit(version) and not version.needs_claim:
            raise CreditStageError(
                f"line {line_no}: bonus template {code!r} needs a deposit, which a bulk credit cannot name; "
                "let the player claim it (needs_claim)"
            )
        row = (code, currency, version.pk, version.needs_claim, version.claim_hours, 10 ** exponent(currency), json.dumps(terms.as_json()))
        cursor.execute(f"INSERT INTO {TEMPLATES} VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb)", row)


def number_bonus_lines(cursor: CursorWrapper, stage: str, lines: str, at: datetime) -> None:
    """Decide what becomes of each bonus line, and add the lines to the table of all lines. The accounts must be locked."""
    cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{BONUS_LINES}")
    cursor.execute(_NUMBER_BONUS_LINES.format(stage=stage), {"at": at, "plain": json.dumps(Terms().as_json())})
    cursor.execute(_ACROSS_UNITS.format(lines=lines))
    cursor.execute(_HAND_OVER.format(lines=lines))


def make_grants(cursor: CursorWrapper, *, house: str, at: datetime) -> int:
    """Store the grants of the numbered lines, whose entries are posted; returns how many have no entry (offered, queued, free spins)."""
    cursor.execute(
        f"SELECT coalesce(max(round), 0), count(*) FILTER (WHERE fresh AND NOT posts), array_agg(DISTINCT status) FILTER (WHERE fresh) "
        f"FROM {BONUS_LINES}"
    )
    rounds, without_entry, statuses = cursor.fetchone()
    for status in statuses or ():
        states.check(None, Status(status))
    parameters: dict[str, Any] = {"at": at, "house": house, "queue_days": queue.queue_days()}
    for number in [*range(1, rounds + 1), 0]:
        for statement in _MAKE_GRANTS:
            cursor.execute(statement, {**parameters, "round": number})
        if number:
            cursor.execute(f"SELECT grant_id FROM {BONUS_LINES} WHERE fresh AND round = %s ORDER BY grant_id", [number])
            queue.close_spent([row[0] for row in cursor.fetchall()], at=at)
    cursor.execute(f"SELECT DISTINCT player_id FROM {BONUS_LINES} WHERE status = 'QUEUED'")
    queue.start_next([row[0] for row in cursor.fetchall()], at=at)
    return int(without_entry)
