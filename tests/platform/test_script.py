"""The `./loyalty` script with a PATH of our own making: what it finds, installs, refuses, and says."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "dirname", "mkdir", "grep", "df", "awk", "mv", "rm", "cat", "sleep", "env", "ln", "printf", "basename", "sed", "tr")

LAUNCHER = 'import sys\nprint("launched", *sys.argv[1:])\n'
# makes a venv like uv does, and notes each call
GOOD_UV = f"""#!/bin/sh
echo "$@" >>"$CALLS"
case "$1" in
--version) echo uv 1 ;;
venv) for last; do :; done; mkdir -p "$last/bin"; ln -s {sys.executable} "$last/bin/python" ;;
esac
"""


class Project:
    """A copy of the script in a folder with a stub launcher, and a PATH with only what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        (self.root / "loyalty_site" / "launcher").mkdir(parents=True)
        (self.root / "loyalty_site" / "launcher" / "__main__.py").write_text(LAUNCHER)
        (self.root / "requirements.txt").write_text("one==1\n")
        (self.root / "requirements-dev.txt").write_text("one==1\ntwo==2\n")
        shutil.copy(ROOT / "loyalty", self.root / "loyalty")
        self.bin.mkdir()
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def python(self) -> None:
        self.program("python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')

    def uv(self, text: str = GOOD_UV) -> None:
        self.program("uv", text)

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shutil.which("sh") or "/bin/sh", str(self.root / "loyalty"), *arguments],
            env={"PATH": str(self.bin), "HOME": str(self.root), "CALLS": str(self.calls), **env},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def installs(self) -> int:
        if not self.calls.exists():
            return 0
        return sum(line.startswith("pip install") for line in self.calls.read_text().splitlines())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def _single_sentence(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if not line.startswith("loyalty: installing")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("loyalty: ")
    return lines[0]


def test_script__no_python__names_it_and_the_remedy(project: Project) -> None:
    done = project.run("manage", "check")
    assert done.returncode == 1
    message = _single_sentence(done)
    assert "no Python was found" in message
    assert "apt install python3" in message


def test_script__old_python__names_version_and_the_remedy(project: Project) -> None:
    project.program("python3", '#!/bin/sh\ncase "$2" in *version_info*) exit 1 ;; *) echo 3.8.10 ;; esac\n')
    done = project.run("test")
    assert done.returncode == 1
    message = _single_sentence(done)
    assert "Python 3.8.10 is too old, 3.11 or newer is needed" in message
    assert "LOYALTY_PYTHON" in message


def test_script__first_start__installs_and_launches(project: Project) -> None:
    project.python()
    project.uv()
    done = project.run("manage", "check", "--deploy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "launched manage check --deploy\n"
    assert project.installs() == 1
    assert "--require-hashes" in project.calls.read_text()


def test_script__second_start__installs_nothing(project: Project) -> None:
    project.python()
    project.uv()
    project.run("manage", "check")
    done = project.run("demo")
    assert done.stdout == "launched demo\n"
    assert done.stderr == ""
    assert project.installs() == 1


def test_script__requirements_changed__installs_again(project: Project) -> None:
    project.python()
    project.uv()
    project.run("manage", "check")
    (project.root / "requirements.txt").write_text("one==2\n")
    project.run("manage", "check")
    assert project.installs() == 2


def test_script__development_packages__cover_the_others(project: Project) -> None:
    project.python()
    project.uv()
    project.run("lint")
    project.run("manage", "check")
    project.run("test")
    assert project.installs() == 1
    assert "requirements-dev.txt" in project.calls.read_text()


def test_script__runtime_packages__do_not_cover_development(project: Project) -> None:
    project.python()
    project.uv()
    project.run("manage", "check")
    project.run("test")
    assert project.installs() == 2


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("error: Failed to fetch: `https://example.org/simple/one/`", "could not be downloaded"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "does not have the pinned checksum"),
        ("something else", "the installation failed; the reason is at the end of"),
    ],
)
def test_script__installation_fails__one_sentence_and_no_stamp(project: Project, output: str, expected: str) -> None:
    project.python()
    project.uv(GOOD_UV.replace("venv)", f"pip) echo '{output}' >&2; exit 2 ;;\nvenv)"))
    done = project.run("manage", "check")
    assert done.returncode == 1
    assert "launched" not in done.stdout
    assert expected in _single_sentence(done)
    assert not list((project.root / ".venv").glob(".installed*"))
    assert not (project.root / ".venv.lock").exists()
    project.uv()
    assert project.run("manage", "check").stdout == "launched manage check\n"


def test_script__too_little_disk__says_so_before_installing(project: Project) -> None:
    project.python()
    project.uv()
    done = project.run("manage", "check", LOYALTY_INSTALL_KB="999999999999")
    assert done.returncode == 1
    assert "the disk is full" in _single_sentence(done)
    assert project.installs() == 0


def test_script__lock_of_a_dead_process__is_taken_over(project: Project) -> None:
    project.python()
    project.uv()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock = project.root / ".venv.lock"
    lock.mkdir()
    (lock / "pid").write_text(str(gone.pid))
    assert project.run("manage", "check").returncode == 0
    assert not lock.exists()


def test_script__unknown_command__lists_the_commands(project: Project) -> None:
    done = project.run("serve")
    assert done.returncode == 1
    assert "there is no command 'serve'" in done.stderr
    assert "demo [--players N]" in done.stderr


@pytest.mark.parametrize("argument", ["help", "--help", "-h"])
def test_script__help__needs_nothing_installed(project: Project, argument: str) -> None:
    done = project.run(argument)
    assert done.returncode == 0
    assert "usage: ./loyalty COMMAND" in done.stdout


def test_script__other_folder__keeps_the_callers_folder(project: Project, tmp_path: Path) -> None:
    project.python()
    project.uv()
    (project.root / "loyalty_site" / "launcher" / "__main__.py").write_text("import os\nprint(os.getcwd())\n")
    done = subprocess.run(
        [str(project.root / "loyalty"), "manage"],
        cwd=tmp_path, env={"PATH": str(project.bin), "HOME": str(tmp_path), "CALLS": str(project.calls)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == os.path.realpath(tmp_path)
