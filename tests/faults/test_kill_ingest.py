"""An import of bets is killed with -9 in the middle of a chunk: run again, the file leaves the state that it leaves undisturbed."""

import signal
from pathlib import Path

import psycopg
import pytest

from loyalty_site.launcher.embedded_postgres import EmbeddedPostgres

from .conftest import WAIT_SECONDS, World

PLAYERS = 1_500
ROUNDS = 25
WITH_BONUS = 1_000

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]

# two of three players have a bonus, half of those a second one in the queue: bets complete, lose and begin grants
_GIVE = f"""
import django; django.setup()
from datetime import timedelta
from django.db import connection, transaction
from tests.faults.world import NOW
from wallet import services
with transaction.atomic(), connection.cursor() as cursor:
    stage = services.create_credit_stage(cursor)
    cursor.execute(f\"\"\"INSERT INTO {{stage}} (line_no, player_id, unit, currency, amount_minor, source_type, source_ref,
        source_sub, reason, wagering_required, expires_at, eligible_games)
    SELECT 2 * substr(external_id, 2)::int + n, id, 'BONUS', 'EUR', 2000 + n, 'test', 'bonus-' || external_id || '-' || n, '', '',
        40 + 60 * n, %s, '[]'
    FROM players_player CROSS JOIN generate_series(0, 1) n
    WHERE substr(external_id, 2)::int <= {WITH_BONUS} AND (n = 0 OR substr(external_id, 2)::int %% 2 = 0)
    \"\"\", [NOW + timedelta(days=3650)])
    services.post_credit_stage(cursor, house="rewards", at=NOW)
"""
_PLAYER = "(SELECT external_id FROM players_player p WHERE p.id = x.player_id)"
# every kind of row that an import writes, without ids and times of receipt, which differ from run to run
_STATE = {
    "grants": f"""SELECT {_PLAYER}, source_ref, status, principal, balance, locked, wagering_required, wagered, penalties, open_bets,
        released, kept FROM wallet_bonusgrant x ORDER BY 1, 2""",
    "accounts": f"SELECT {_PLAYER}, unit, currency, balance, version, earned_total, owed FROM wallet_account x ORDER BY 1, 2, 3",
    "events": f"""SELECT {_PLAYER}, kind, activity_id, real_part, bonus_part, locked_part, cash_change, waits
        FROM wallet_wagerevent x ORDER BY 1, 2, 3""",
    "entries": """SELECT p.external_id, e.seq, e.amount, e.house, e.balance_after FROM wallet_entry e
        JOIN wallet_account a ON a.id = e.account_id
        JOIN players_player p ON p.id = a.player_id ORDER BY 1, 2""",
    "counts": """SELECT e.activity_id, c.verdict, c.counted, c.progress_before, c.progress_after FROM wallet_wagercount c
        JOIN wallet_wagerevent e ON e.id = c.wager_id ORDER BY 1, 2""",
    "changes": """SELECT g.source_ref, c.from_status, c.to_status, c.cause FROM wallet_grantevent c
        JOIN wallet_bonusgrant g ON g.id = c.grant_id ORDER BY 1, 2, 3""",
    "payouts": f"SELECT {_PLAYER}, amount, status FROM wallet_payoutinstruction x ORDER BY 1, 2",
}


def _state(world: World) -> dict[str, list[tuple[object, ...]]]:
    with psycopg.connect(world.url, autocommit=True) as connection:
        return {name: connection.execute(query).fetchall() for name, query in _STATE.items()}


def _bets(path: Path) -> Path:
    """Rounds of every player, one after the other, as a day's file has them: a bet from little cash, and a win every third time."""
    with path.open("w") as file:
        file.write("activity_id,kind,player_id,currency,amount,cash_before,round_id,ends_round,occurred_at\n")
        for number in range(ROUNDS):
            for player in range(1, PLAYERS + 1):
                cash = 100 if player > WITH_BONUS else number % 3
                at = f"2026-03-16T12:{number:02d}:00Z"
                file.write(f"b{player}-{number},BET,F{player},EUR,4,{cash},r{player}-{number},,{at}\n")
                if (player + number) % 3 == 0:
                    file.write(f"w{player}-{number},WIN,F{player},EUR,7,,r{player}-{number},,{at}\n")
                file.write(f"e{player}-{number},ROUND_END,F{player},EUR,,,r{player}-{number},,{at}\n")
    return path


@pytest.fixture
def given(world: World) -> World:
    for arguments in (("-m", "tests.faults.world", str(PLAYERS)), ("-c", _GIVE)):
        process = world.start(*arguments)
        _, err = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0, err[-2000:]
    return world


@pytest.fixture
def undisturbed(given: World, server: EmbeddedPostgres) -> World:
    """The same database once more."""
    made = World(server, "undisturbed")
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE undisturbed WITH (FORCE)")
        connection.execute("CREATE DATABASE undisturbed TEMPLATE world")
    return made


def test_ingest__killed_in_mid_chunk_again_and_again__the_state_is_that_of_one_undisturbed_run(
    given: World, undisturbed: World, tmp_path: Path
) -> None:
    bets = str(_bets(tmp_path / "bets.csv"))
    undisturbed.manage("ingest_wagers", bets)
    kills, seen = 0, [0]
    for _ in range(3):
        process = given.start("manage.py", "ingest_wagers", bets)
        given.wait_for(lambda process=process: _is_writing(given) or process.poll() is not None, "a chunk to be written")
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate(timeout=WAIT_SECONDS)
        seen.append(given.value("SELECT count(*) FROM wallet_wagerevent"))
    whole = undisturbed.value("SELECT count(*) FROM wallet_wagerevent")
    assert kills >= 2, "the machine took everything in before it could be killed; raise PLAYERS"
    assert seen == sorted(seen)
    assert min(seen[1:]) < whole  # control: a kill did hit a run that was not done
    given.manage("ingest_wagers", bets)
    expected, found = _state(undisturbed), _state(given)
    for name in _STATE:
        assert found[name] == expected[name], name
    assert len(found["events"]) == whole > 0
    assert {row[2] for row in found["changes"]} >= {"WAGERING", "COMPLETED"}
    given.manage("reconcile")
    given.manage("ingest_wagers", bets)  # once more: nothing is left to take
    assert _state(given) == expected


def _is_writing(world: World) -> bool:
    """Whether another session is inside a transaction that has written events."""
    return bool(
        world.value(
            """SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation = 'wallet_wagerevent'::regclass
            AND l.mode = 'RowExclusiveLock' AND a.datname = current_database() AND a.pid <> pg_backend_pid()"""
        )
    )
