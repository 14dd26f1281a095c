"""Scoring killed with -9 again and again gives the same rows as a night that nobody disturbed, and readers never see a part."""

import signal

import psycopg
import pytest

from tests.faults.conftest import WAIT_SECONDS, World

PLAYERS = 1_500
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


def test_night__killed_between_and_in_ranges__ends_as_an_undisturbed_one(world: World, model_folder):
    world.environment = {**world.environment, "LOYALTY_MODELS_DIR": str(model_folder)}
    end(world.start("-m", "tests.predictions.scoring.faults_world", "fill", str(PLAYERS)))
    done = "SELECT count(*) FROM common_jobchunk c JOIN common_jobrun r ON r.id = c.run_id WHERE c.status = 'DONE' AND r.name = '{}'"
    scored, published = done.format("predictions.score"), done.format("predictions.publish")
    kills = 0
    for least in (2, 6, 10):
        process = night(world)
        world.wait_for(lambda process=process, least=least: world.value(scored) >= least or process.poll() is not None, "ranges")
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=WAIT_SECONDS)
            kills += 1
        if world.value(published) == 0:
            assert world.value("SELECT count(*) FROM predictions_scoringrun WHERE is_current") == 0
    assert kills >= 2, "the machine scored everything before it could be killed; raise PLAYERS"
    end(night(world))
    assert world.value("SELECT count(*) FROM predictions_scoringrun WHERE is_current") == 1
    assert world.value("SELECT count(*) FROM predictions_scoringrun") == 1
    disturbed = rows(world)
    assert {table: len(found) for table, found in disturbed.items() if table != "points"} == dict.fromkeys(TABLES, PLAYERS)
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("TRUNCATE predictions_scoringrun, predictions_scorepoint CASCADE")
        connection.execute("DELETE FROM common_jobchunk")
        connection.execute("DELETE FROM common_jobrun")
    end(night(world))
    assert rows(world) == disturbed


def test_publication__killed_in_its_midst__shows_nothing_and_then_everything(world: World, model_folder):
    world.environment = {**world.environment, "LOYALTY_MODELS_DIR": str(model_folder)}
    end(world.start("-m", "tests.predictions.scoring.faults_world", "fill", str(PLAYERS)))
    process = night(world)
    updating = """SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.relation = 'predictions_scorepoint'::regclass AND l.mode = 'RowExclusiveLock' AND a.pid <> pg_backend_pid()"""
    world.wait_for(lambda: world.value(updating) > 0 or process.poll() is not None, "the points to be written")
    assert process.poll() is None, "the machine published before it could be killed; raise PLAYERS"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=WAIT_SECONDS)
    assert world.value("SELECT count(*) FROM predictions_scoringrun WHERE is_current") == 0
    assert world.value("SELECT count(*) FROM predictions_scorepoint") == 0
    assert world.value("SELECT count(*) FROM predictions_churnscore WHERE reasons <> '[]'") == 0
    end(night(world))
    assert world.value("SELECT count(*) FROM predictions_scoringrun WHERE is_current AND status = 'PUBLISHED'") == 1
    assert world.value("SELECT count(*) FROM predictions_scorepoint") == len(TABLES) * PLAYERS
