"""Files of trained models: written whole or not at all, and opened only when nothing about them has changed.

A model is a pickle, and opening a pickle runs whatever was put into it. So the bytes are read once, compared with the SHA-256 that was
recorded at training, and the record itself (kind, file name, hash, size, versions of the libraries) carries an HMAC under a key derived
from SECRET_KEY. Somebody who can write to the storage, the database or both, but does not know the secret, can make a model unusable and
never make it run something. Only then the versions of the libraries are compared (scikit-learn promises nothing across versions), and
only then the bytes are opened.

The storage is Django's, alias "models": a folder by default, any shared storage by setting, so that every host can load every model.
"""

import hashlib
import io
import json
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.utils.crypto import constant_time_compare, salted_hmac

STORAGE = "models"
# versions that must be the same at loading as at training, and those that are only noted
CHECKED = ("scikit-learn", "lightgbm")
NOTED = ("numpy", "scipy", "pandas", "joblib")

_SALT = "predictions.artifacts"
_NAME = re.compile(r"[a-z]+/([0-9a-f]{64})\.joblib")
_COMPRESS = ("zlib", 3)
_LEFT_BEHIND_SECONDS = 24 * 3600
_PART = ".part"


class ArtifactError(Exception):
    """The file of a model may not or cannot be opened. `remedy` says what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class Artifact:
    """What is recorded of a file when it is written."""

    kind: str
    name: str
    sha256: str
    signature: str
    size_bytes: int
    libraries: dict[str, str]


class AtomicFileSystemStorage(FileSystemStorage):
    """A folder in which a file appears complete or not at all, whenever the writer is killed.

    The content goes to a hidden file beside the target, reaches the disk, and takes the name in one step. What a killed writer left
    behind is never read and is removed by a later write.
    """

    def _save(self, name: str, content: File) -> str:
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._remove_left_behind(target.parent)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=_PART, dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in content.chunks():
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, self.file_permissions_mode or 0o640)
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._sync_folder(target.parent)
        return name

    @staticmethod
    def _sync_folder(folder: Path) -> None:
        """The new name must be on the disk before a row in the database refers to it."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def _remove_left_behind(folder: Path) -> None:
        oldest = time.time() - _LEFT_BEHIND_SECONDS
        for path in folder.glob(f".*{_PART}"):
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:  # another writer was faster
                continue


def storage() -> Storage:
    return storages[STORAGE]


@cache
def installed_libraries() -> dict[str, str]:
    """Versions of the installed libraries that a model depends on. Read once a process: it takes 5 ms, and every opening asks."""
    found = {"python": ".".join(str(part) for part in sys.version_info[:2])}
    for name in (*CHECKED, *NOTED):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def dump(model: Any) -> bytes:
    """The model as joblib bytes. Raises ValueError when it holds rows of players."""
    import joblib

    _refuse_players(model)
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=_COMPRESS)
    return buffer.getvalue()


def write(kind: str, payload: bytes) -> Artifact:
    """Put the bytes into the storage under their hash and sign the record. Writing the same bytes again changes nothing."""
    sha256 = hashlib.sha256(payload).hexdigest()
    name = f"{kind}/{sha256}.joblib"
    where = storage()
    if not _holds(where, name, sha256):
        where.delete(name)  # damaged: the storage would choose another name beside it
        saved = where.save(name, ContentFile(payload))
        if saved != name and not _holds(where, name, sha256):
            raise ArtifactError(
                f"The model storage saved {name} as {saved}.", "Use a storage that keeps names, or switch its renaming off."
            )
    libraries = dict(installed_libraries())  # the record keeps its own
    return Artifact(kind, name, sha256, sign(kind, name, sha256, len(payload), libraries), len(payload), libraries)


def names(kind: str) -> list[str]:
    """Names of the files of a kind in the storage, in order. Files that are not ours by name are left out."""
    try:
        _folders, files = storage().listdir(kind)
    except FileNotFoundError:  # nothing was ever written
        return []
    return sorted(name for file in files if _NAME.fullmatch(name := f"{kind}/{file}"))


def _holds(where: Storage, name: str, sha256: str) -> bool:
    if not where.exists(name):
        return False
    with where.open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def sign(kind: str, name: str, sha256: str, size_bytes: int, libraries: dict[str, str], secret: str | bytes | None = None) -> str:
    """HMAC-SHA-256 (hex) over everything that decides what is opened."""
    message = json.dumps([kind, name, sha256, size_bytes, libraries], sort_keys=True, separators=(",", ":"))
    return salted_hmac(_SALT, message, secret=secret, algorithm="sha256").hexdigest()


def check(artifact: Artifact) -> None:
    """Raises ArtifactError unless the record is signed by this site, names its own hash, and fits the installed libraries."""
    match = _NAME.fullmatch(artifact.name)
    if match is None or match[1] != artifact.sha256 or not artifact.name.startswith(f"{artifact.kind}/"):
        raise ArtifactError(f"The record of the model names the file {artifact.name!r}, which is not the name of its content.", _ALTERED)
    given = (artifact.kind, artifact.name, artifact.sha256, artifact.size_bytes, artifact.libraries)
    secrets: list[str | bytes] = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if not any(constant_time_compare(artifact.signature, sign(*given, secret=secret)) for secret in secrets):
        raise ArtifactError(
            "The record of the model was not signed with this site's secret.",
            "If DJANGO_SECRET_KEY was changed, list the old one in DJANGO_SECRET_KEY_FALLBACKS or train again. " + _ALTERED,
        )
    present = installed_libraries()
    for library in CHECKED:
        if artifact.libraries.get(library) != present[library]:
            raise ArtifactError(
                f"The model was trained with {library} {artifact.libraries.get(library) or '(none)'}, "
                f"and {present[library] or 'none'} is installed.",
                "Train again and put the new version into use, or install the version of the training.",
            )


_ALTERED = "Otherwise somebody altered it: do not use it, find out who wrote to the database or the model storage, and train again."


def read(artifact: Artifact) -> bytes:
    """The bytes of a checked artifact. Raises ArtifactError when the file is missing or is not what was written."""
    restore = "Restore the file from a backup of the model storage, or train again."
    try:
        with storage().open(artifact.name, "rb") as file:
            payload = file.read(artifact.size_bytes + 1)
    except Exception as error:  # a storage of another class fails in ways of its own
        raise ArtifactError(f"The file {artifact.name} cannot be read ({type(error).__name__}).", restore) from error
    if len(payload) != artifact.size_bytes or hashlib.sha256(payload).hexdigest() != artifact.sha256:
        raise ArtifactError(f"The file {artifact.name} is not what was written at training.", f"{restore} {_ALTERED}")
    return bytes(payload)


def open_model(artifact: Artifact) -> Any:
    """Check, read and open: the only place where a pickle is loaded. Raises ArtifactError."""
    check(artifact)
    payload = read(artifact)
    import joblib

    try:
        return joblib.load(io.BytesIO(payload))
    except Exception as error:  # a class that moved or changed in this release can fail in any way
        raise ArtifactError(
            f"The model in {artifact.name} does not fit this release ({type(error).__name__}).",
            "Train again and put the new version into use, or go back to the release of the training.",
        ) from error


def _refuse_players(model: Any) -> None:
    """Raises ValueError when the model would carry rows of players into its file: what it learned from stays in the database."""
    import pickle

    import pandas as pd

    class Inspector(pickle.Pickler):
        def reducer_override(self, thing: Any) -> Any:
            index = thing.index if isinstance(thing, (pd.DataFrame, pd.Series)) else thing
            named = list(index.names) if isinstance(index, pd.Index) else []
            columns = list(thing.columns) if isinstance(thing, pd.DataFrame) else []
            if "player_id" in named or "player_id" in columns:
                raise ValueError(f"the model holds a {type(thing).__name__} of players; keep what it learned, not what it learned from")
            return NotImplemented

    with open(os.devnull, "wb") as nowhere:
        Inspector(nowhere, protocol=5, buffer_callback=lambda _buffer: None).dump(model)
