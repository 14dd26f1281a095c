"""Scoring killed with -9 again and again gives the same rows as a night that nobody disturbed, and readers never see a part.

Nothing races: a chunk that has done its work stops before it can be committed, at a lock that the test holds, until its process is dead.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.faults.conftest import WAIT_SECONDS, World
from tests.predictions.scoring.faults_world import RANGE

PLAYERS = 600
# job and the number of its chunk: in the midst of scoring, reasons and points, the sums, the switch, the end
KILLS = (("score", 3), ("prepare", 4), ("prepare", 8), ("publish", 1), ("prune", 2))
GATE = 20260315
STOP = (
    "CREATE TABLE stop_at (job text, number int)",
    f"""CREATE FUNCTION stop_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.status = 'DONE' AND EXISTS (SELECT 1 FROM stop_at s JOIN common_jobrun r ON r.name = s.job
            WHERE r.id = NEW.run_id AND s.number = NEW.number) THEN
            PERFORM pg_advisory_xact_lock({GATE});
        END IF;
        RETURN NEW;
    END $$""",
    "CREATE TRIGGER stop_at_the_gate BEFORE UPDATE ON common_jobchunk FOR EACH ROW EXECUTE FUNCTION stop_at_the_gate()",
)
AT_THE_GATE = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
TABLES = ("churnscore", "valuescore", "fraudscore", "segmentscore", "engagementscore")

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]


def rows(world: World) -> dict[str, list[str]]:
    found = {}
    with psycopg.connect(world.url, autocommit=True) as connection:
        for table in TABLES:
            query = f"SELECT to_jsonb(s) - 'id' - 'run_id' FROM predictions_{table} s ORDER BY player_id"
            found[table] = [row[0] for row in connection.execute(query).fetchall()]
        points = "SELECT to_jsonb(p) FROM predictions_scorepoint p ORDER BY player_id, kind"
        found["points"] = [row[0] for row in connection.execute(points).fetchall()]
    return found


def night(world: World):
    return world.start("-m", "tests.predictions.scoring.faults_world", "night")


def end(process) -> None:
    _, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, err[-2000:]


def done(world: World, job: str) -> int:
    """Chunks of a job of the predictions that are done."""
    return int(
        world.value(
            f"""SELECT count(*) FROM common_jobchunk c JOIN common_jobrun r ON r.id = c.run_id
            WHERE c.status = 'DONE' AND r.name = 'predictions.{job}'"""
        )
    )


@contextmanager
def stopped(world: World, job: str, number: int) -> Iterator[None]:
    """A night whose chunk `number` of a job has done everything and is not committed; killed at the end, and gone from the server."""
    with psycopg.connect(world.url, autocommit=True) as gate:
        gate.execute("DELETE FROM stop_at")
        gate.execute("INSERT INTO stop_at VALUES (%s, %s)", [f"predictions.{job}", number])
        gate.execute("SELECT pg_advisory_lock(%s)", [GATE])
        process = night(world)
        try:
            world.wait_for(lambda: world.value(AT_THE_GATE) == 1 or process.poll() is not None, f"chunk {number} of {job}")
            assert process.poll() is None, process.communicate()[1][-2000:]
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=WAIT_SECONDS)
            gate.execute("DELETE FROM stop_at")
    # a server notices that its client is dead when it has an answer for it
    world.wait_for(lambda: world.value(OTHERS) == 0, "the killed process's connection to end")


@pytest.fixture
def filled(world: World, model_folder) -> World:
    world.environment = {**world.environment, "LOYALTY_MODELS_DIR": str(model_folder)}
    end(world.start("-m", "tests.predictions.scoring.faults_world", "fill", str(PLAYERS)))
    with psycopg.connect(world.url, autocommit=True) as connection:
        for statement in STOP:
            connection.execute(statement)
    return world


def test_night__killed_between_and_in_ranges_of_every_stage__ends_as_an_undisturbed_one(filled: World):
    for job, number in KILLS:
        with stopped(filled, job, number):
            pass
        assert done(filled, job) == number - 1  # the chunk was worked, and is as if it never was
        shown = filled.value("SELECT count(*) FROM predictions_scoringrun WHERE is_current")
        assert shown == done(filled, "publish") == (job == "prune")  # all of it or nothing, whatever has been prepared
    end(night(filled))
    assert filled.value("SELECT count(*) FROM predictions_scoringrun WHERE is_current") == 1
    assert filled.value("SELECT count(*) FROM predictions_scoringrun") == 1
    assert done(filled, "prepare") == PLAYERS / RANGE + 2
    disturbed = rows(filled)
    assert {table: len(found) for table, found in disturbed.items()} == {**dict.fromkeys(TABLES, PLAYERS), "points": len(TABLES) * PLAYERS}
    with psycopg.connect(filled.url, autocommit=True) as connection:
        connection.execute("TRUNCATE predictions_scoringrun, predictions_scorepoint CASCADE")
        connection.execute("DELETE FROM common_jobchunk")
        connection.execute("DELETE FROM common_jobrun")
    end(night(filled))
    assert rows(filled) == disturbed


def test_publication__killed_in_its_midst__shows_nothing_and_then_everything(filled: World):
    current = "SELECT count(*) FROM predictions_scoringrun WHERE is_current"
    with stopped(filled, "publish", 1):
        assert filled.value(current) == 0
        prepared = rows(filled)
    assert filled.value(current) == 0
    # what was prepared stays, points included, and is not made again
    assert filled.value("SELECT count(*) FROM predictions_scoringrun WHERE status = 'COMPLETE' AND summary ? 'churn'") == 1
    assert len(prepared["points"]) == len(TABLES) * PLAYERS
    end(night(filled))
    assert filled.value("SELECT count(*) FROM predictions_scoringrun WHERE is_current AND status = 'PUBLISHED'") == 1
    assert rows(filled) == prepared
