"""The staged rows of a job and their difference to what is stored, set by set.

A job's rows stand in a table of its own, `import_stage_<job>` (unlogged: a crash of the server empties it, and the file is then read
again). The difference is never stored: it is computed from the stage when shown and again, under lock, when written.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from players.activity import COLUMNS, ActivityKind
from players.imports.fields import FIELDS, id_field, money_field

_SQL_TYPES = {"amount": "numeric(20,4)", "instant": "timestamptz", "day": "date", "flag": "boolean", "ip": "inet", "object": "jsonb"}

# kind of the journal's rows of players without a profile whose currency is named by activity
NAMED_CURRENCY = "CURRENCY"


def table_of(job_id: int) -> str:
    return f"import_stage_{int(job_id)}"


def touched_table_of(job_id: int) -> str:
    return f"import_touched_{int(job_id)}"


def create(cursor: Any, job_id: int, kind: str) -> str:
    """Make the job's empty stage, replacing an older one; returns its name."""
    name = table_of(job_id)
    columns = []
    for one in FIELDS[kind]:
        sql_type = {"bets": "bigint", "sessions": "integer", "rounds": "integer"}.get(one.name) or _SQL_TYPES.get(one.type, "text")
        columns.append(f"{one.name} {sql_type}")
    cursor.execute(f"DROP TABLE IF EXISTS {name}")
    cursor.execute(f"CREATE UNLOGGED TABLE {name} (row_number bigint NOT NULL, {', '.join(columns)})")
    return name


def drop(cursor: Any, job_id: int) -> None:
    cursor.execute(f"DROP TABLE IF EXISTS {table_of(job_id)}")


def row_count(cursor: Any, job_id: int) -> int | None:
    """Rows in the job's stage, or None when it does not exist."""
    cursor.execute("SELECT to_regclass(%s)", [table_of(job_id)])
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute(f"SELECT count(*) FROM {table_of(job_id)}")
    return int(cursor.fetchone()[0])


@dataclass(frozen=True)
class Target:
    """Where rows of a kind are stored. `defaults` are the SQL values of a new row whose cell is blank."""

    table: str
    defaults: dict[str, str]
    stored: dict[str, str]  # our column -> SQL over the stored row, where the names differ


TARGETS: dict[str, Target] = {
    ActivityKind.PLAYERS: Target(
        "players_player",
        {"marketing_consent": "false", "profiling_consent": "false", "attributes": "'{}'::jsonb", "status": "'ACTIVE'"},
        {"marketing_consent": "COALESCE(c.marketing_consent, false)", "profiling_consent": "COALESCE(c.profiling_consent, false)"},
    ),
    ActivityKind.PAYMENTS: Target("players_payment", {"status": "'COMPLETED'", "method": "''", "instrument": "''"}, {}),
    ActivityKind.SESSIONS: Target("players_playsession", {"device_id": "''"}, {}),
    ActivityKind.PLAYS: Target(
        "players_gameplay",
        {"session_ref": "''", "bonus_stake": "0", "rounds": "1"},
        {"game_code": "g.code", "game_category": "g.category"},
    ),
    ActivityKind.TOTALS: Target("players_activitytotals", {}, {}),
}


@dataclass(frozen=True)
class Difference:
    """SQL of the difference between the stage of one job and the stored rows."""

    kind: str
    job_id: int
    mapped: tuple[str, ...]
    as_of: datetime
    as_of_is_stated: bool

    @property
    def key_column(self) -> str:
        return id_field(self.kind)

    @property
    def compared(self) -> list[str]:
        """Mapped columns that are neither part of the key nor only used when something is created."""
        keys = {self.key_column, "external_id", "game_category"} | ({"as_of"} if self.kind == ActivityKind.TOTALS else set())
        if self.names_currency:
            keys.add("currency")  # the player's, once the row is taken
        return [name for name in self.mapped if name not in keys]

    @property
    def names_currency(self) -> bool:
        """Whether the rows say in which currency their amounts are."""
        return money_field(self.kind) is not None and "currency" in self.mapped

    def stored(self, column: str) -> str:
        target = TARGETS[self.kind]
        return target.stored.get(column, f"t.{column}")

    def effective(self, column: str) -> str:
        """SQL of the value the stored row shall have: the cell; blank keeps what is stored; a new row gets the default."""
        target = TARGETS[self.kind]
        if self.kind == ActivityKind.TOTALS:
            if column == "as_of":
                return "COALESCE(s.as_of, %(as_of)s::timestamptz)"
            # beside an older statement a new one stands alone; the same statement again keeps what the file does not say
            return f"COALESCE(s.{column}, t.{column})" if self.as_of_is_stated else f"s.{column}"
        if column == "attributes":
            return "COALESCE(t.attributes, '{}'::jsonb) || COALESCE(s.attributes, '{}'::jsonb)"
        parts = [f"s.{column}", self.stored(column)]
        if column in target.defaults:
            parts.append(target.defaults[column])
        return f"COALESCE({', '.join(parts)})"

    def source(self) -> str:
        """FROM clause: stage `s`, player `p`, stored row `t` (and consent `c`, game `g`)."""
        stage = table_of(self.job_id)
        player = f"FROM {stage} s LEFT JOIN players_player p ON p.external_id = s.{self.key_column}"
        if self.kind == ActivityKind.PLAYERS:
            return (
                f"FROM {stage} s LEFT JOIN players_player t ON t.external_id = s.external_id "
                "LEFT JOIN players_protection c ON c.player_id = t.id LEFT JOIN players_player p ON p.id = t.id"
            )
        if self.kind == ActivityKind.TOTALS:
            if self.as_of_is_stated:
                return f"{player} LEFT JOIN players_activitytotals t ON t.player_id = p.id AND t.as_of = {self.effective('as_of')}"
            return (
                f"{player} LEFT JOIN (SELECT DISTINCT ON (player_id) * FROM players_activitytotals WHERE as_of <= %(as_of)s "
                "ORDER BY player_id, as_of DESC) t ON t.player_id = p.id"
            )
        table = TARGETS[self.kind].table
        game = " LEFT JOIN players_game g ON g.id = t.game_id" if self.kind == ActivityKind.PLAYS else ""
        return f"{player} LEFT JOIN {table} t ON t.player_id = p.id AND t.external_id = s.external_id{game}"

    def verdict(self) -> str:
        compared = self.compared
        if not compared:
            return "CASE WHEN t.id IS NULL THEN 'created' ELSE 'unchanged' END"
        wanted = ", ".join(self.effective(name) for name in compared)
        stored = ", ".join(self.stored(name) for name in compared)
        return (
            f"CASE WHEN t.id IS NULL THEN 'created' WHEN ROW({wanted}) IS DISTINCT FROM ROW({stored}) THEN 'changed' ELSE 'unchanged' END"
        )

    @property
    def parameters(self) -> dict[str, Any]:
        return {"as_of": self.as_of}

    def summarise(self, cursor: Any) -> dict[str, int]:
        """Counts of the whole stage. Leaves the temporary table `import_verdict(row_number, verdict)` of what is not unchanged."""
        cursor.execute("DROP TABLE IF EXISTS pg_temp.import_verdict")
        cursor.execute(
            f"""CREATE TEMP TABLE import_verdict ON COMMIT DROP AS
            SELECT s.row_number, {self.verdict()} AS verdict, p.id AS player_id, s.{self.key_column} AS player {self.source()}""",
            self.parameters,
        )
        cursor.execute(
            """SELECT count(*) FILTER (WHERE verdict = 'created'), count(*) FILTER (WHERE verdict = 'changed'),
                count(*) FILTER (WHERE verdict = 'unchanged') FROM import_verdict"""
        )
        created, changed, unchanged = cursor.fetchone()
        cursor.execute("DELETE FROM import_verdict WHERE verdict = 'unchanged'")
        cursor.execute("SELECT count(DISTINCT player) FROM import_verdict WHERE player_id IS NULL")
        players_created = cursor.fetchone()[0]
        cursor.execute("SELECT count(DISTINCT player_id) FROM import_verdict")
        return {
            "created": created,
            "changed": changed,
            "unchanged": unchanged,
            "players_created": players_created,
            "players_updated": cursor.fetchone()[0],
        }

    def samples(self, cursor: Any, limit: int = 200) -> list[dict[str, Any]]:
        """The first changed rows field by field, then created rows, as plain JSON; needs `import_verdict`."""
        shown = [name for name in COLUMNS[self.kind] if name in self.mapped and name != self.key_column]
        amounts = {one.name for one in FIELDS[self.kind] if one.type == "amount"}

        def text(name: str, value: str) -> str:
            return f"trim_scale({value})::text" if name in amounts else f"({value})::text"

        pairs = ", ".join(
            f"'{name}', jsonb_build_array({text(name, self.stored(name))}, {text(name, self.effective(name))})" for name in shown
        )
        cursor.execute(
            f"""SELECT s.row_number, v.verdict, s.{self.key_column}, jsonb_build_object({pairs})
            {self.source()} JOIN (SELECT row_number, verdict FROM import_verdict ORDER BY verdict, row_number LIMIT {int(limit)}) v
            USING (row_number) ORDER BY v.verdict, s.row_number""",
            self.parameters,
        )
        found = []
        for row_number, verdict, player, values in cursor.fetchall():
            fields = values if isinstance(values, dict) else json.loads(values)
            if verdict == "changed":
                fields = {name: pair for name, pair in fields.items() if pair[0] != pair[1] and name in self.compared}
            else:
                fields = {name: [None, pair[1]] for name, pair in fields.items() if pair[1] not in (None, "")}
            found.append({"row": row_number, "verdict": verdict, "player": player, "fields": fields})
        return found


def key_columns(kind: str, mapped: tuple[str, ...]) -> list[str]:
    """Columns that may stand only once in a file."""
    if kind == ActivityKind.PLAYERS:
        return ["external_id"]
    if kind == ActivityKind.TOTALS:
        return ["player_external_id", "as_of"] if "as_of" in mapped else ["player_external_id"]
    return ["player_external_id", "external_id"]


def take_out_changed_currencies(cursor: Any, job_id: int) -> list[tuple[int, str, str]]:
    """Take rows out of the stage that would change the currency of a player with activity: what is on record is in the old one.

    Returns [(row number, stored currency, currency in the file)]. A player known from activity alone has an assumed currency, which the
    first profile may correct, unless the rows of that activity named it.
    """
    cursor.execute(
        f"""DELETE FROM {table_of(job_id)} s USING players_player p
        WHERE p.external_id = s.external_id AND s.currency <> p.currency
          AND (p.country <> '' OR p.registered_at IS NOT NULL OR EXISTS (
            SELECT 1 FROM players_importchange c WHERE c.kind = '{NAMED_CURRENCY}' AND c.target_id = p.id))
          AND (EXISTS (SELECT 1 FROM players_playerday d WHERE d.player_id = p.id)
            OR EXISTS (SELECT 1 FROM players_activitytotals t WHERE t.player_id = p.id))
        RETURNING s.row_number, p.currency, s.currency"""
    )
    return sorted(cursor.fetchall())


def take_out_other_currencies(cursor: Any, job_id: int, kind: str) -> tuple[list[tuple[int, str, str]], list[tuple[int, str, str]]]:
    """Take rows out of the stage whose amounts are in another currency than the player's: nothing is converted.

    Returns ([(row number, its currency, the player's)], [(row number, its currency, all currencies)] of players that are not known yet
    and for whom the rows name several, of which none is known to be right).
    """
    name, key = table_of(job_id), id_field(kind)
    cursor.execute(
        f"""DELETE FROM {name} s USING players_player p WHERE p.external_id = s.{key} AND s.currency <> p.currency
        RETURNING s.row_number, s.currency, p.currency"""
    )
    other = sorted(cursor.fetchall())
    cursor.execute(
        f"""DELETE FROM {name} s USING (
            SELECT {key}, string_agg(DISTINCT currency, ', ' ORDER BY currency) AS named FROM {name}
            GROUP BY {key} HAVING count(DISTINCT currency) > 1) several
        WHERE several.{key} = s.{key} AND s.currency IS NOT NULL RETURNING s.row_number, s.currency, several.named"""
    )
    return other, sorted(cursor.fetchall())


def name_currencies(cursor: Any, job_id: int, kind: str) -> None:
    """Give the players that the job created the currency that its rows name. Needs the written rows.

    Of all players without a profile it is noted that their activity names the currency, so that no profile makes other money of it.
    """
    key, parameters = id_field(kind), {"job": job_id}
    cursor.execute(
        f"""UPDATE players_player p SET currency = named.currency FROM (
            SELECT {key}, min(currency) AS currency FROM {table_of(job_id)} WHERE currency IS NOT NULL GROUP BY {key}) named
        WHERE p.external_id = named.{key} AND p.import_job_id = %(job)s""",
        parameters,
    )
    cursor.execute(
        f"""INSERT INTO players_importchange (job_id, kind, target_id, player_external_id, external_id)
        SELECT DISTINCT %(job)s::bigint, '{NAMED_CURRENCY}', p.id, '', p.external_id
        FROM {table_of(job_id)} s JOIN players_player p ON p.external_id = s.{key}
        WHERE s.currency IS NOT NULL AND p.country = '' AND p.registered_at IS NULL
          AND NOT EXISTS (SELECT 1 FROM players_importchange c WHERE c.kind = '{NAMED_CURRENCY}' AND c.target_id = p.id)""",
        parameters,
    )


def has_other_currencies(cursor: Any, job_id: int, kind: str) -> bool:
    """Whether a staged row is in another currency than the player it names."""
    cursor.execute(
        f"""SELECT EXISTS (SELECT 1 FROM {table_of(job_id)} s JOIN players_player p ON p.external_id = s.{id_field(kind)}
        WHERE s.currency <> p.currency)"""
    )
    return bool(cursor.fetchone()[0])


def take_out_repeats(cursor: Any, job_id: int, kind: str, mapped: tuple[str, ...]) -> tuple[int, list[tuple[int, int, str]]]:
    """Handle rows with the same key: identical repeats are dropped (the first stays), contradicting rows all leave the stage.

    Returns (dropped repeats, [(row number, first row with the same key, key as text)] of the contradicting rows).
    """
    name = table_of(job_id)
    keys = key_columns(kind, mapped)
    same = " AND ".join(f"s.{key} IS NOT DISTINCT FROM d.{key}" for key in keys)
    content = "ROW(" + ", ".join(f"s.{column}" for column in mapped) + ")::text"
    cursor.execute("DROP TABLE IF EXISTS pg_temp.import_repeat")
    cursor.execute(
        f"""CREATE TEMP TABLE import_repeat ON COMMIT DROP AS
        SELECT {", ".join(keys)}, min(row_number) AS first_row FROM {name} GROUP BY {", ".join(keys)} HAVING count(*) > 1"""
    )
    if not cursor.rowcount:
        return 0, []
    cursor.execute("DROP TABLE IF EXISTS pg_temp.import_contradiction")
    cursor.execute(
        f"""CREATE TEMP TABLE import_contradiction ON COMMIT DROP AS
        SELECT {", ".join(f"d.{key}" for key in keys)}, d.first_row
        FROM import_repeat d JOIN {name} s ON {same}
        GROUP BY {", ".join(f"d.{key}" for key in keys)}, d.first_row HAVING count(DISTINCT {content}) > 1"""
    )
    label = " || ' / ' || ".join(f"COALESCE(s.{key}::text, '')" for key in keys)
    cursor.execute(f"DELETE FROM {name} s USING import_contradiction d WHERE {same} RETURNING s.row_number, d.first_row, {label}")
    contradicting = sorted(cursor.fetchall())
    cursor.execute(f"DELETE FROM {name} s USING import_repeat d WHERE {same} AND s.row_number > d.first_row")
    return cursor.rowcount, contradicting
