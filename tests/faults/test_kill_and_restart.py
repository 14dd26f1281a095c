"""Workers are killed with -9 and the database crashes in the middle of paying: nothing is paid twice, lost or half-written."""

import json
import signal
import subprocess

import pytest

from .conftest import WAIT_SECONDS, World

PLAYERS = 20_000

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]


@pytest.fixture
def due(world: World) -> World:
    """Rewards for all players are approved and wait to be paid."""
    world_process = world.start("-m", "tests.faults.world", str(PLAYERS))
    _, err = world_process.communicate(timeout=WAIT_SECONDS)
    assert world_process.returncode == 0, err[-2000:]
    world.run_job("players.metrics")
    assert world.run_job("rewards.evaluate")["result"]["auto_approved"] == PLAYERS
    return world


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=WAIT_SECONDS)
    return process.returncode, out, err


def resume(world: World) -> None:
    """What beat does each minute, for the runs that the killed coordinators left behind."""
    code = (
        "import django; django.setup()\n"
        "from loyalty_site.common import jobs\n"
        "from loyalty_site.common.clock import utc_now\n"
        "for run in jobs.unfinished_runs(utc_now()): jobs.execute(run)\n"
    )
    returncode, _, err = end(world.start("-c", code))
    assert returncode == 0, err[-2000:]


def test_issue__coordinator_killed_in_mid_payment_again_and_again__everybody_is_paid_once(due: World) -> None:
    kills = 0
    for _ in range(4):
        process = due.start_job("rewards.issue")
        due.wait_for(lambda process=process: due.somebody_pays() or process.poll() is not None, "a payment to begin")
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        end(process)
    assert kills >= 2, "the machine paid everything before it could be killed; raise PLAYERS"
    resume(due)
    due.assert_paid_once(PLAYERS)
    # a run after all that finds nothing left to pay
    assert due.run_job("rewards.issue")["rows"] == 0
    due.assert_paid_once(PLAYERS)


def test_issue__one_of_three_workers_killed__the_others_finish_its_chunk(due: World) -> None:
    coordinator = due.start_job("rewards.issue")
    due.wait_for(
        lambda: bool(
            due.value("SELECT count(*) FROM common_jobchunk c JOIN common_jobrun r ON r.id = c.run_id WHERE r.name = 'rewards.issue'")
        ),
        "the run to be cut into chunks",
    )
    run_id = due.value("SELECT max(id) FROM common_jobrun WHERE name = 'rewards.issue'")
    workers = [due.start("-m", "tests.faults.worker", str(run_id)) for _ in range(2)]
    due.wait_for(lambda: due.somebody_pays() or coordinator.poll() is not None, "a payment to begin")
    workers[0].send_signal(signal.SIGKILL)
    returncode, out, err = end(coordinator)
    assert returncode == 0, err[-2000:]
    assert json.loads(out.splitlines()[-1])["status"] == "SUCCEEDED"
    for worker in workers:
        end(worker)
    due.assert_paid_once(PLAYERS)


def test_issue__database_crashes_in_mid_run__the_run_waits_and_finishes(due: World) -> None:
    process = due.start_job("rewards.issue")
    due.wait_for(lambda: due.somebody_pays() or process.poll() is not None, "a payment to begin")
    assert process.poll() is None, "the machine paid everything before the database could crash; raise PLAYERS"
    due.server.restart(immediate=True)
    returncode, out, err = end(process)
    assert returncode == 0, err[-2000:]
    assert "jobs.database_lost" in err  # control: the crash did reach the run
    assert json.loads(out.splitlines()[-1])["status"] == "SUCCEEDED"
    due.assert_paid_once(PLAYERS)


def test_evaluate__killed_in_mid_decision__the_next_run_decides_the_rest_once(world: World) -> None:
    _, err = world.start("-m", "tests.faults.world", str(PLAYERS)).communicate(timeout=WAIT_SECONDS)
    world.run_job("players.metrics")
    process = world.start_job("rewards.evaluate")
    world.wait_for(lambda: world.value("SELECT count(*) FROM rewards_rewarddecision") > 0 or process.poll() is not None, "decisions")
    assert process.poll() is None, "the machine decided everything before it could be killed; raise PLAYERS"
    process.send_signal(signal.SIGKILL)
    end(process)
    decided = world.value("SELECT count(*) FROM rewards_rewarddecision")
    assert 0 < decided < PLAYERS
    resume(world)
    assert world.value("SELECT count(*) FROM rewards_rewarddecision") == PLAYERS
    assert world.value("SELECT count(DISTINCT player_id) FROM rewards_rewarddecision") == PLAYERS
    world.run_job("rewards.issue")
    world.assert_paid_once(PLAYERS)
