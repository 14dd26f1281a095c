"""docker-compose.yml, the Dockerfile and the pinned packages, as far as they can be judged without a container engine."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from loyalty_site.launcher.environment import ROOT

OURS = ("migrate", "web", "worker", "beat")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return json.loads(json.dumps(YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())))


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """(instruction, arguments), continuation lines joined."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in (line.strip() for line in lines)]


def test_compose__schema__is_valid() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose__services__are_the_whole_product(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {*OURS, "postgres", "redis"}


def test_compose__long_running_services__have_health_checks(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name == "migrate":
            assert service["restart"] == "no"
        else:
            assert service["healthcheck"]["test"], name


def test_compose__our_services__wait_for_migrations_and_healthy_servers(compose: dict[str, Any]) -> None:
    for name in ("web", "worker", "beat"):
        waits = {other: entry["condition"] for other, entry in compose["services"][name]["depends_on"].items()}
        assert waits == {"migrate": "service_completed_successfully", "postgres": "service_healthy", "redis": "service_healthy"}


def test_compose__secrets__come_from_the_environment_and_are_required(compose: dict[str, Any]) -> None:
    for name in OURS:
        env = compose["services"][name]["environment"]
        assert env["LOYALTY_ENV"] == "production"
        assert env["DJANGO_SECRET_KEY"].startswith("${DJANGO_SECRET_KEY:?")
        assert env["DJANGO_ALLOWED_HOSTS"].startswith("${DJANGO_ALLOWED_HOSTS:?")
        assert ":${POSTGRES_PASSWORD:?" in env["DATABASE_URL"]
        assert ":${REDIS_PASSWORD:?" in env["REDIS_URL"]
        assert "DJANGO_DEBUG" not in env
    text = (ROOT / "docker-compose.yml").read_text()
    for secret in re.findall(r"\$\{(\w*(?:SECRET|PASSWORD)\w*)(.{0,2})", text):
        # one signs what is sent to the operator's platform, and the settings refuse that address without it; the other holds former keys
        is_optional = secret[0] in {"LOYALTY_PLATFORM_SECRET", "DJANGO_SECRET_KEY_FALLBACKS"}
        expected = ":-" if is_optional else ":?"
        assert secret[1] == expected, f"{secret[0]} has no default and must be given"


def test_compose__worker__can_reach_the_operators_platform_and_nothing_reaches_it(compose: dict[str, Any]) -> None:
    assert set(compose["services"]["worker"]["networks"]) == {"inside", "outside"}
    assert "ports" not in compose["services"]["worker"]


def test_compose__only_web__is_reachable_and_only_locally(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if service.get("ports")}
    assert list(published) == ["web"]
    assert all(port.startswith("127.0.0.1:") for port in published["web"])
    assert compose["networks"]["inside"]["internal"] is True


def test_compose__our_containers__have_no_privileges(compose: dict[str, Any]) -> None:
    for name in OURS:
        service = compose["services"][name]
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert "no-new-privileges:true" in service["security_opt"]


def test_env_example__names_every_required_variable() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    named = {line.split("=")[0] for line in (ROOT / ".env.example").read_text().splitlines() if "=" in line and not line.startswith("#")}
    assert required <= named


def test_dockerfile__last_stage__runs_as_a_numbered_user_that_is_not_root(dockerfile: list[tuple[str, str]]) -> None:
    last_stage = dockerfile[max(index for index, (word, _) in enumerate(dockerfile) if word == "FROM") :]
    users = [arguments for word, arguments in last_stage if word == "USER"]
    assert users
    assert int(users[-1].split(":")[0]) >= 1000
    words = [word for word, _ in last_stage]
    assert words.index("USER") > max(index for index, word in enumerate(words) if word in {"RUN", "COPY"})


def test_dockerfile__stages_and_packages__are_pinned(dockerfile: list[tuple[str, str]]) -> None:
    images = [arguments.split()[0] for word, arguments in dockerfile if word == "FROM"]
    assert len(images) >= 2
    assert all(":" in image and not image.endswith(":latest") for image in images)
    assert any("--require-hashes" in arguments for word, arguments in dockerfile if word == "RUN")


def test_dockerfile__no_secret__stays_in_the_image(dockerfile: list[tuple[str, str]]) -> None:
    kept = [arguments for word, arguments in dockerfile if word in {"ENV", "ARG"}]
    assert not [text for text in kept if re.search("SECRET|PASSWORD|DATABASE_URL|TOKEN", text)]


def test_dockerfile__copied_paths__exist_and_pass_the_ignore_file(dockerfile: list[tuple[str, str]]) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for word, arguments in dockerfile:
        if word != "COPY" or "--from=" in arguments:
            continue
        for source in arguments.split()[:-1]:
            path = source.removeprefix("./")
            assert (ROOT / path).exists(), path
            assert path in allowed, path


def test_dockerignore__everything_else__stays_outside() -> None:
    assert (ROOT / ".dockerignore").read_text().splitlines()[0] == "*"


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.split("==")[0]: line.split("==")[1].split()[0] for line in lines if re.match(r"^[A-Za-z0-9_.\-\[\]]+==", line)}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements__every_package__is_pinned_with_hashes(name: str) -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", Path(ROOT / name).read_text())
    packages = [block for block in blocks if not block.startswith("#")]
    assert len(packages) > 20
    assert all("==" in block.splitlines()[0] and "--hash=sha256:" in block for block in packages)


def test_requirements__development__holds_the_same_versions() -> None:
    runtime, development = _pins("requirements.txt"), _pins("requirements-dev.txt")
    assert {name: development.get(name) for name in runtime} == runtime


def test_ci_run__shell__parses() -> None:
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=False).returncode == 0
    assert subprocess.run(["sh", "-n", str(ROOT / "loyalty")], check=False).returncode == 0
