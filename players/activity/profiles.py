"""Merge of player profiles. An empty (NULL) stage value keeps what is stored."""

from datetime import datetime
from typing import Any

from players import thresholds

from .days import TOUCHED_PLAYERS

# column -> value of a player that is new and whose stage row leaves it empty
_PROFILE = {
    "username": "''",
    "first_name": "''",
    "last_name": "''",
    "email": "''",
    "birth_date": "NULL",
    "country": "''",
    "currency": "%(currency)s",
    "language": "''",
    "registered_at": "NULL",
    "acquisition_channel": "''",
    "status": "'ACTIVE'",
}

# A country may stand in several markets (CA and CA-ON): the market named like the country comes first, then by code.
_MARKET_OF = """(SELECT j.id FROM players_jurisdiction j WHERE {country} <> '' AND {country} = ANY(j.countries)
    ORDER BY j.code <> {country}, j.code LIMIT 1)"""


def merge_profiles(cursor: Any, kind: str, stage: str, at: datetime, import_job_id: int | None) -> tuple[int, int, int, int]:
    """(created, updated, distinct keys, players created). A changed consent counts as an update of the player."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.merge_row")
    cursor.execute(
        f"""CREATE TEMP TABLE merge_row ON COMMIT DROP AS
        SELECT DISTINCT ON (external_id) * FROM {stage} ORDER BY external_id, stage_row DESC"""
    )
    keys = int(cursor.rowcount)
    cursor.execute("ANALYZE merge_row")
    parameters = {"currency": thresholds.base_currency(), "job": import_job_id, "at": at}
    created = _create(cursor, parameters)
    cursor.execute(
        "SELECT p.id FROM players_player p JOIN merge_row s ON s.external_id = p.external_id ORDER BY p.id FOR NO KEY UPDATE OF p"
    )
    updated = _update(cursor, parameters)
    cursor.execute("DROP TABLE merge_row")
    return created, updated, keys, created


def _create(cursor: Any, parameters: dict[str, Any]) -> int:
    values = ", ".join(f"COALESCE(s.{column}, {default})" for column, default in _PROFILE.items())
    cursor.execute(
        f"""
        WITH inserted AS (
            INSERT INTO players_player (external_id, {", ".join(_PROFILE)}, jurisdiction_id, segment, risk_score, attributes,
                import_job_id, created_at, updated_at)
            SELECT s.external_id, {values}, {_MARKET_OF.format(country="s.country")}, 'NEW', 0, COALESCE(s.attributes, '{{}}'),
                %(job)s, %(at)s, %(at)s
            FROM merge_row s
            WHERE NOT EXISTS (SELECT 1 FROM players_player p WHERE p.external_id = s.external_id)
            ORDER BY s.external_id
            ON CONFLICT (external_id) DO NOTHING
            RETURNING id, external_id
        ), consent AS (
            INSERT INTO players_protection (player_id, marketing_consent, marketing_consent_at, profiling_consent,
                profiling_consent_at, harm_flag, harm_note)
            SELECT i.id, COALESCE(s.marketing_consent, false), CASE WHEN s.marketing_consent THEN %(at)s::timestamptz END,
                COALESCE(s.profiling_consent, false), CASE WHEN s.profiling_consent THEN %(at)s::timestamptz END, false, ''
            FROM inserted i JOIN merge_row s USING (external_id) WHERE s.marketing_consent OR s.profiling_consent
        )
        INSERT INTO {TOUCHED_PLAYERS} SELECT id FROM inserted
        """,
        parameters,
    )
    return int(cursor.rowcount)


def _update(cursor: Any, parameters: dict[str, Any]) -> int:
    kept = ", ".join(f"COALESCE(s.{column}, p.{column}) AS {column}" for column in _PROFILE)
    cursor.execute(
        f"""
        WITH wanted AS (
            SELECT p.id, {kept}, p.attributes || COALESCE(s.attributes, '{{}}') AS attributes,
                COALESCE(p.jurisdiction_id, {_MARKET_OF.format(country="COALESCE(s.country, p.country)")}) AS jurisdiction_id,
                s.marketing_consent, s.profiling_consent
            FROM merge_row s JOIN players_player p ON p.external_id = s.external_id
        ), profile AS (
            UPDATE players_player p SET {", ".join(f"{column} = w.{column}" for column in _PROFILE)},
                attributes = w.attributes, jurisdiction_id = w.jurisdiction_id, updated_at = %(at)s
            FROM wanted w
            WHERE p.id = w.id AND ({", ".join(f"p.{column}" for column in _PROFILE)}, p.attributes, p.jurisdiction_id)
                IS DISTINCT FROM ({", ".join(f"w.{column}" for column in _PROFILE)}, w.attributes, w.jurisdiction_id)
            RETURNING p.id
        ), consent AS (
            INSERT INTO players_protection AS c (player_id, marketing_consent, marketing_consent_at, profiling_consent,
                profiling_consent_at, harm_flag, harm_note)
            SELECT w.id, COALESCE(w.marketing_consent, old.marketing_consent, false),
                CASE WHEN w.marketing_consent IS DISTINCT FROM COALESCE(old.marketing_consent, false) AND w.marketing_consent IS NOT NULL
                    THEN %(at)s::timestamptz ELSE old.marketing_consent_at END,
                COALESCE(w.profiling_consent, old.profiling_consent, false),
                CASE WHEN w.profiling_consent IS DISTINCT FROM COALESCE(old.profiling_consent, false) AND w.profiling_consent IS NOT NULL
                    THEN %(at)s::timestamptz ELSE old.profiling_consent_at END,
                false, ''
            FROM wanted w LEFT JOIN players_protection old ON old.player_id = w.id
            WHERE COALESCE(w.marketing_consent, old.marketing_consent, false) <> COALESCE(old.marketing_consent, false)
               OR COALESCE(w.profiling_consent, old.profiling_consent, false) <> COALESCE(old.profiling_consent, false)
            ORDER BY w.id
            ON CONFLICT (player_id) DO UPDATE SET
                marketing_consent = EXCLUDED.marketing_consent, marketing_consent_at = EXCLUDED.marketing_consent_at,
                profiling_consent = EXCLUDED.profiling_consent, profiling_consent_at = EXCLUDED.profiling_consent_at
            RETURNING c.player_id
        ), changed AS (
            SELECT id FROM profile UNION SELECT player_id FROM consent
        ), touched AS (
            INSERT INTO {TOUCHED_PLAYERS} SELECT id FROM changed
        )
        SELECT count(*) FROM changed
        """,
        parameters,
    )
    return int(cursor.fetchone()[0])
