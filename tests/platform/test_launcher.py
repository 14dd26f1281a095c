import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loyalty_site.launcher import __main__ as launcher
from loyalty_site.launcher import bench, check, demo, environment, lint, processes, testing
from loyalty_site.launcher.errors import LauncherError


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOYALTY_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def _demo(**env: str) -> demo.Demo:
    return demo.Demo(demo.DemoOptions(players=10, seed=1, port=8000, check=True), {**os.environ, **env})


# -- options, port, lock ----------------------------------------------------------------------------------------------


def test_options__none__are_the_documented_defaults() -> None:
    assert demo.parse_options([]) == demo.DemoOptions(players=5000, seed=1, port=8000, check=False)


@pytest.mark.parametrize("arguments", [["--players", "0"], ["--port", "70000"], ["--seed", "x"], ["--players", "1e3"]])
def test_options__nonsense__is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        demo.parse_options(arguments)
    assert "is not a whole number from" in capsys.readouterr().err


def test_port__taken__names_process_and_another_port() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(
            LauncherError, match=rf"^port {port} is taken by process {os.getpid()} \(.+\); end it with `kill {os.getpid()}`"
        ) as caught:
            demo.require_free_port(port)
    assert "--port 80" in str(caught.value)


def test_port__free__passes() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo.require_free_port(port)


def test_demo__second_on_the_same_data__is_refused_naming_the_first(tmp_path: Path) -> None:
    with demo._only_demo(tmp_path, 8123):
        with pytest.raises(LauncherError, match=rf"a demo already runs on .* \(process {os.getpid()}, http://127.0.0.1:8123/\)"):
            with demo._only_demo(tmp_path, 8124):
                pass
    with demo._only_demo(tmp_path, 8124):
        pass


def test_demo__production_environment__is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYALTY_ENV", "production")
    with pytest.raises(LauncherError, match="never runs on another environment's data"):
        demo.run_demo([])


def test_demo__full_disk__is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_LEAST_FREE_BYTES", 2**62)
    with pytest.raises(LauncherError, match="the disk is full: .* LOYALTY_DATA_DIR=/path"):
        demo.require_free_disk(tmp_path)


def test_demo_password__is_random_private_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOYALTY_DEMO_PASSWORD", raising=False)
    first = demo.demo_password(tmp_path)
    assert demo.demo_password(tmp_path) == first
    assert len(first) >= 10
    assert (tmp_path / "demo_password").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("LOYALTY_DEMO_PASSWORD", "given-by-hand")
    assert demo.demo_password(tmp_path) == "given-by-hand"


# -- steps and children -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ((), ["migrate", "setup_demo", "simulate", "demo_bonuses", "train_models", "demo_tiers", "nightly"]),
        (("players_player",), ["migrate", "setup_demo", "demo_bonuses", "train_models", "demo_tiers", "nightly"]),
        (("players_player", "wallet_bonusgrant"), ["migrate", "setup_demo", "train_models", "demo_tiers", "nightly"]),
        (("players_player", "wallet_bonusgrant", "predictions_modelversion"), ["migrate", "setup_demo", "demo_tiers", "nightly"]),
        (("players_player", "wallet_bonusgrant", "common_jobrun"), ["migrate", "setup_demo", "train_models", "run_job"]),
        (("players_player", "wallet_bonusgrant", "predictions_modelversion", "common_jobrun"), ["migrate", "setup_demo"]),
    ],
)
def test_prepare__what_is_there__stays(monkeypatch: pytest.MonkeyPatch, present: tuple[str, ...], expected: list[str]) -> None:
    commands: list[str] = []
    monkeypatch.setattr(demo, "step", lambda _demo, _name, _what, command, *_arguments: commands.append(command))
    monkeypatch.setattr(demo, "_has_rows", lambda _demo, query: any(f"FROM {table} " in query for table in present))
    demo.prepare(_demo())
    assert commands == expected


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["import_file", "a.csv"], True),
        (["--verbosity", "2", "nightly"], True),
        (["migrate"], False),
        (["import_file", "--help"], False),
        ([], False),
    ],
)
def test_manage__command_needs_tables__they_are_made_first(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], wanted: bool
) -> None:
    calls: list[str] = []

    def run(_command: list[str], **_how: object) -> int:
        calls.append("run")
        return 0

    @contextmanager
    def embedded() -> Iterator[dict[str, str]]:
        yield {"LOYALTY_ENV": "demo"}

    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(launcher, "demo_environment", embedded)
    monkeypatch.setattr(demo, "prepare_empty", lambda _env: calls.append("prepare"))
    monkeypatch.setattr(launcher, "run_foreground", run)
    assert launcher.run_manage(arguments) == 0
    assert calls == (["prepare", "run"] if wanted else ["run"])
    monkeypatch.setenv("DATABASE_URL", "postgres://somewhere/real")  # a given server is never changed unasked
    calls.clear()
    assert launcher.run_manage(arguments) == 0
    assert calls == ["run"]


def test_prepare_empty__tables_there__does_nothing(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[str | None]] = [("django_migrations",), (None,)]

    class Connection:
        def __enter__(self) -> "Connection":
            return self

        def __exit__(self, *_error: object) -> None: ...

        def execute(self, _query: str) -> "Connection":
            return self

        def fetchone(self) -> tuple[str | None]:
            return found.pop(0)

    commands: list[str] = []
    data_folder.mkdir()
    monkeypatch.setattr(demo.psycopg, "connect", lambda *_arguments, **_options: Connection())
    monkeypatch.setattr(demo, "step", lambda _demo, _name, _what, command, *_arguments: commands.append(command))
    demo.prepare_empty({"DATABASE_URL": "postgres://unused"})
    assert commands == []
    demo.prepare_empty({"DATABASE_URL": "postgres://unused"})
    assert commands == ["migrate", "setup_demo"]


def test_demo__port_held_by_the_demo_of_this_folder__names_that_demo(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYALTY_ENV", "demo")
    data_folder.mkdir()
    with socket.socket() as web, demo._only_demo(data_folder, 8123):
        web.bind(("127.0.0.1", 0))
        web.listen()
        with pytest.raises(LauncherError, match=f"^a demo already runs on .*process {os.getpid()}"):
            demo.run_demo(["--port", str(web.getsockname()[1])])


def test_step__fails__names_it_and_its_last_lines(data_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.make_folders()
    (tmp_path / "manage.py").write_text("import sys\nprint('the reason')\nsys.exit(3)\n")
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    with pytest.raises(LauncherError, match=r"the step 'simulate' failed \(exit code 3\).*\nthe reason"):
        demo.step(_demo(), "simulate", "players", "simulate")


def test_step__disk_full__says_so(data_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.make_folders()
    (tmp_path / "manage.py").write_text("import sys\nprint('could not extend file: No space left on device')\nsys.exit(1)\n")
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    with pytest.raises(LauncherError, match="^the disk is full"):
        demo.step(_demo(), "simulate", "players", "simulate")


def test_demo__child_dies__ends_naming_it(data_folder: Path) -> None:
    running = _demo()
    log = running.logs / "worker.log"
    child = processes.start_background(
        [sys.executable, "-c", "print('lost the broker'); exit(7)"], env=running.env, cwd=data_folder.parent, log=log
    )
    running.children["worker"] = child
    child.wait()
    with pytest.raises(LauncherError, match=r"the worker process ended with exit code 7.*\nlost the broker"):
        demo.watch(running)


def test_demo__signal__ends_quietly() -> None:
    running = _demo()
    running.signals.append(signal.SIGINT)
    assert demo.watch(running) == 0


def test_stop_all__stubborn_child__is_killed_and_named(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    log = tmp_path / "log"
    children = {
        "polite": processes.start_background([sys.executable, "-c", "import time; time.sleep(60)"], env=os.environ, cwd=tmp_path, log=log),
        "stubborn": processes.start_background([sys.executable, "-c", stubborn], env=os.environ, cwd=tmp_path, log=log),
    }
    for _ in range(200):
        if "up" in log.read_text():
            break
        time.sleep(0.05)
    assert processes.stop_all(children, grace=0.5) == ["stubborn"]
    assert all(child.poll() is not None for child in children.values())


def test_run_foreground__child_killed__exit_code_of_a_shell(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    assert processes.run_foreground(command, env=os.environ, cwd=tmp_path) == 128 + signal.SIGKILL


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's parent death signal")
def test_children__launcher_killed_hard__end_too(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys, time\n"
        "from loyalty_site.launcher.processes import start_background\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "child = start_background([sys.executable, '-c', 'import time; time.sleep(60)'], env=os.environ, cwd=here, log=here / 'log')\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=environment.ROOT)
    assert launcher.stdout is not None
    child = int(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    for _ in range(100):
        if not _is_alive(child):
            break
        time.sleep(0.05)
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# -- environment, tests, lint, bench ----------------------------------------------------------------------------------


def test_secret_key__is_made_once_and_private(data_folder: Path) -> None:
    first = environment.secret_key()
    assert environment.secret_key() == first
    assert len(first) >= 48
    assert (data_folder / "secret_key").stat().st_mode & 0o077 == 0


def test_environment__database_url_without_mode__is_production(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://somebody@example.invalid/real")
    monkeypatch.delenv("LOYALTY_ENV", raising=False)
    with environment.demo_environment() as env:
        assert env["LOYALTY_ENV"] == "production"
        assert env["DATABASE_URL"] == "postgres://somebody@example.invalid/real"


@pytest.mark.parametrize(("arguments", "expected"), [([], ["-n", "2", "--dist", "loadgroup"]), (["tests/x", "-q"], ["tests/x", "-q"])])
def test_run_tests__server_given__runs_pytest_on_it(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: list[str]
) -> None:
    seen: list = []
    monkeypatch.setenv("DATABASE_URL", "postgres://somebody@example.invalid/tests")
    monkeypatch.setattr(testing, "run_foreground", lambda command, **options: seen.append((command, options["env"])) or 5)
    assert testing.run_tests(arguments) == 5
    command, env = seen[0]
    assert command[1:] == ["-m", "pytest", *expected]
    assert env["LOYALTY_ENV"] == "test"
    assert env["DATABASE_URL"] == "postgres://somebody@example.invalid/tests"


def test_lint__steps_fail__all_run_and_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [("first", ("-c", "raise SystemExit(1)")), ("second", ("-c", "pass")), ("third", ("-c", "raise SystemExit(2)"))]
    assert lint.run_lint(steps) == 1
    assert "lint failed: first, third." in capsys.readouterr().err


def test_lint__all_pass__zero() -> None:
    assert lint.run_lint([("only", ("-c", "pass"))]) == 0


def test_bench__unknown_name__lists_the_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "rules.py").write_text("")
    (tmp_path / "benchmarks" / "_common.py").write_text("")
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    with pytest.raises(LauncherError, match="there is no benchmark 'rule'; known: rules."):
        bench.run_bench(["rule"])


# -- the check --------------------------------------------------------------------------------------------------------

GOOD = {
    "players": 2000, "segments": {"NEW": 1999, "VIP": 1}, "rewards": {"ISSUED": 2, "REFUSED": 1}, "ledger": {"LP": {}},
    "ledger_balanced": True,
    "failed_jobs": [], "grants": dict.fromkeys(check.GRANT_STATES, 1), "payouts": {"PENDING": 1, "DELIVERED": 2},
    "lots": {"ACTIVE": 3, "EXPIRED": 1, "PENDING": 1}, "redemptions": {"FULFILLED": 1}, "ledger_verified": True, "ledger_differences": [],
    "models": dict.fromkeys(check.MODEL_KINDS, {"version": 1}),
}  # fmt: skip


def _judged(**changes: object) -> list[str]:
    outcome = check.Outcome()
    check.judge({**GOOD, **changes}, outcome)
    return outcome.failures


def test_judge__good_summary__no_failure() -> None:
    assert _judged() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"players": 0, "segments": {}}, "there are no players"),
        ({"segments": {"NEW": 3}}, "players are not segmented: {'NEW': 3}"),
        ({"rewards": {"REFUSED": 3}}, "no reward was issued: {'REFUSED': 3}"),
        ({"rewards": {"ISSUED": 1, "ISSUE_FAILED": 2}}, "2 rewards could not be issued"),
        ({"ledger_balanced": False}, "the ledger does not reconcile: {'LP': {}}"),
        ({"failed_jobs": ["nightly"]}, "jobs failed: nightly"),
        (
            {"grants": {"ACTIVE": 3}},
            "no bonus grant is COMPLETED, EXPIRED, EXPIRED_UNCLAIMED, FORFEITED, LOST, OFFERED, PAUSED, QUEUED, REVERSED, VOIDED, WAGERING",
        ),
        ({"payouts": {"PENDING": 1}}, "no pay-out was delivered: {'PENDING': 1}"),
        ({"lots": {"ACTIVE": 1}}, "no points have expired: {'ACTIVE': 1}"),
        ({"redemptions": {}}, "nothing was bought with points"),
        ({"models": {"profile": {"version": 1}}}, "no model is in use for churn, ltv, fraud, segmentation, engagement"),
        ({"ledger_verified": False, "ledger_differences": ["grant 3"]}, "verify_ledger found differences: grant 3"),
    ],
)
def test_judge__something_wrong__names_it(changes: dict, expected: str) -> None:
    assert expected in _judged(**changes)


def test_readable_paths__parameters_needed__are_left_out() -> None:
    operations = {
        "/api/v1/players/": {"get": {"parameters": [{"name": "segment", "required": False}]}, "post": {}},
        "/api/v1/players/{id}/": {"get": {}},
        "/api/v1/wallet/add-lp/": {"post": {}},
        "/api/v1/report/": {"get": {"parameters": [{"name": "day", "required": True}]}},
        "/api/v1/schema": {"get": {}},
    }
    assert check.readable_paths(operations) == ["/api/v1/players/"]


def test_record_paths__first_row_of_the_list__fills_them() -> None:
    query = {"in": "query", "name": "day", "required": True}
    number = {"in": "path", "name": "grant_id", "required": True}
    operations = {
        "/api/v1/grants": {"get": {}},
        "/api/v1/grants/{grant_id}": {"get": {"parameters": [number]}},
        "/api/v1/grants/{grant_id}/claim": {"post": {}},
        "/api/v1/wallet/{player_id}/balances": {"get": {}},
        "/api/v1/wallet/{player_id}/earnings": {"get": {"parameters": [query]}},
        "/api/v1/imports/{id}": {"get": {}},
    }
    rows = {"/api/v1/grants": {"id": 7}, "/api/v1/players": {"player_id": "P 1"}}
    assert check.record_paths(operations, rows) == ["/api/v1/grants/7", "/api/v1/wallet/P%201/balances"]


@pytest.mark.parametrize(
    ("text", "row"), [('{"results": [{"id": 1}]}', {"id": 1}), ('{"results": []}', None), ('{"id": 1}', None), ("[]", None), ("a,b", None)]
)
def test_first_row__answers__only_of_lists(text: str, row: dict | None) -> None:
    assert check.first_row(text) == row


def test_menu_links__changing_or_leaving__are_not_followed() -> None:
    page = '<a href="/admin/"><a href="/admin/players/player/"><a href="/admin/logout/"><a href="/admin/players/tier/add/"><a href="/x/">'
    assert check._paths(check._LINK, page) == ["/admin/players/player/"]
    json.dumps(check._paths(check._LINK, page))
