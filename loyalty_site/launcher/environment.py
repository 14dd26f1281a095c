"""Where things lie, and the environment that the product's processes get."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loyalty_site.launcher.embedded_postgres import DURABLE, EmbeddedPostgres

ROOT = Path(__file__).resolve().parent.parent.parent


def data_dir() -> Path:
    return Path(os.environ.get("LOYALTY_DATA_DIR") or ROOT / ".data").resolve()


def make_folders() -> Path:
    """The data folder with what the product expects in it; returns it."""
    folder = data_dir()
    for name in ("broker/queue", "broker/control", "uploads", "log", "static"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def base_environment(mode: str) -> dict[str, str]:
    """Our environment plus what every process of the product needs. `mode` is the LOYALTY_ENV to run in."""
    env = dict(os.environ)
    env["LOYALTY_ENV"] = mode
    env["DJANGO_SETTINGS_MODULE"] = "loyalty_site.settings"
    env["LOYALTY_DATA_DIR"] = str(data_dir())
    env["PYTHONUNBUFFERED"] = "1"
    # numeric libraries with a thread a core fight each other when several processes run
    env.setdefault("OMP_NUM_THREADS", "1")
    env.setdefault("OPENBLAS_NUM_THREADS", "1")
    return env


def secret_key() -> str:
    """The demo's own random secret, made once and kept, so that a restart does not log anybody out."""
    path = data_dir() / "secret_key"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text().strip()


@contextmanager
def demo_environment() -> Iterator[dict[str, str]]:
    """The environment of demo and manage: the server of DATABASE_URL if given, else the embedded one, held while inside."""
    folder = make_folders()
    if os.environ.get("DATABASE_URL"):
        # a server may hold real data: without an explicit LOYALTY_ENV the checks of production apply
        yield base_environment(os.environ.get("LOYALTY_ENV") or "production")
        return
    env = base_environment(os.environ.get("LOYALTY_ENV") or "demo")
    env.setdefault("DJANGO_SECRET_KEY", secret_key())
    with EmbeddedPostgres(folder / "pg", DURABLE) as server:
        env["DATABASE_URL"] = server.ensure_database("loyalty")
        yield env
