"""Versions of models: recorded at training, opened after verification, one in use per kind.

A version never changes after it is written, apart from its status. Opened models are kept per process, by the hash of their file, so
that a page or a chunk of scoring pays for opening once. The file of a model that is used is read again every few seconds, so that no
process answers from a model that health calls damaged.
"""

import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Max

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from predictions import artifacts
from predictions.artifacts import Artifact, ArtifactError
from predictions.models import Kind, ModelVersion

if TYPE_CHECKING:  # web processes read versions; pandas is loaded with the first model
    from predictions.ml.kinds import Model, Record, Trained

logger = logging.getLogger(__name__)

FILE_TRUSTED_SECONDS = 5.0  # a model file is at most some megabytes: reading it this often costs a thousandth of the time

_LOCK_SPACE = 0x70726564  # first half of the advisory lock's key; the second is the kind's place in the list of kinds


class NoModel(Exception):
    """No model of the kind is in use; `reason` says why, in words for staff."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{Kind(kind).label}: {reason}")
        self.kind = str(kind)
        self.reason = reason


class CannotOpen(NoModel):
    """A version is in use, but its file may not be opened: it is damaged, deleted, or of another key or release."""


# -- writing ----------------------------------------------------------------------------------------------------------


def save(
    kind: str,
    trained: "Trained",
    *,
    as_of: datetime,
    horizon_days: int,
    seed: int,
    is_synthetic: bool,
    trained_by: User | None,
    seconds: float,
    at: datetime,
) -> ModelVersion:
    """Write the artifact, then the record that names it. A version that its gate did not pass is kept as REFUSED, with the reasons.

    The artifact is complete on the storage before the row exists; a crash in between leaves a file that nothing refers to, and that
    `artifact_pruning` deletes when it is a day old. Raises ValueError for a record that is no plain JSON (NaN, infinity) or a model that
    holds rows of players.
    """
    record = trained.record
    content = _content(record)
    payload = artifacts.dump(trained.model)
    artifact = artifacts.write(str(Kind(kind)), payload)
    passed = all(verdict.passed for verdict in record.gate)
    with transaction.atomic():
        lock_kind(kind)
        artifacts.write(kind, payload)  # an equal one that was there may have been deleted until here, and cannot be any more
        last = ModelVersion.objects.filter(kind=kind).aggregate(last=Max("number"))["last"] or 0
        version = ModelVersion.objects.create(
            kind=kind,
            number=last + 1,
            status=ModelVersion.Status.CANDIDATE if passed else ModelVersion.Status.REFUSED,
            algorithm=trained.model.algorithm,
            features=list(trained.model.features),
            as_of=require_utc(as_of),
            horizon_days=horizon_days,
            seed=seed,
            is_synthetic=is_synthetic,
            libraries=artifact.libraries,
            artifact=artifact.name,
            sha256=artifact.sha256,
            signature=artifact.signature,
            size_bytes=artifact.size_bytes,
            trained_at=require_utc(at),
            trained_by=trained_by,
            training_seconds=round(seconds, 3),
            **content,
        )
        audit.record("predictions.model_trained", version, at=at, actor=trained_by, after=facts(version))
    logger.info(
        "predictions.model_trained kind=%s version=%s number=%s status=%s seconds=%.1f",
        *(version.kind, version.pk, version.number, version.status, seconds),
    )
    return version


def facts(version: ModelVersion) -> dict[str, Any]:
    """What the audit log keeps of a version."""
    return {
        "kind": version.kind,
        "number": version.number,
        "status": version.status,
        "algorithm": version.algorithm,
        "sha256": version.sha256,
        "metrics": version.metrics,
    }


def lock_kind(kind: str) -> None:
    """Until the end of the transaction nobody else numbers, promotes or retires versions of this kind."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, list(Kind).index(Kind(kind))])


def _content(record: "Record") -> dict[str, Any]:
    return {
        "rows": int(record.rows),
        "positives": int(record.positives),
        "parameters": plain(record.parameters),
        "metrics": plain(record.metrics),
        "baseline": plain(record.baseline),
        "candidates": plain(record.candidates),
        "curves": plain(record.curves),
        "importance": plain(record.importance),
        "reference": plain(record.reference),
        "gate": [plain(asdict(verdict)) for verdict in record.gate],
    }


def plain(value: Any, where: str = "record") -> Any:
    """`value` as JSON can hold it: numpy numbers and arrays become numbers and lists. Raises ValueError naming what cannot."""
    import numpy as np

    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}: a record holds finite numbers only; leave out what is not known")
        return float(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(one, f"{where}.{key}") for key, one in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(one, f"{where}[{position}]") for position, one in enumerate(value)]
    raise ValueError(f"{where} is a {type(value).__name__}, which JSON has no form for")


# -- reading ----------------------------------------------------------------------------------------------------------


class _Opened:
    """Models of this process by the hash of their file, the least recently used forgotten first. One thread opens, the rest wait.

    A model whose file was last read longer than FILE_TRUSTED_SECONDS ago is given out after the file was read once more; one whose file is
    not what it was is forgotten.
    """

    def __init__(self) -> None:
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._read_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._checking = threading.Lock()

    def model(self, artifact: Artifact) -> "Model":
        """Raises ArtifactError."""
        model, is_trusted = self._get(artifact.sha256)
        if model is None:
            return self._open(artifact)
        return model if is_trusted else self._checked(artifact)

    def forget(self, sha256: str | None = None) -> None:
        """One, or all."""
        with self._lock:
            for one in list(self._models) if sha256 is None else [sha256]:
                self._models.pop(one, None)
                self._read_at.pop(one, None)

    def _get(self, sha256: str) -> "tuple[Model | None, bool]":
        with self._lock:
            model = self._models.get(sha256)
            if model is None:
                return None, False
            self._models.move_to_end(sha256)
            return model, monotonic() - self._read_at[sha256] < FILE_TRUSTED_SECONDS

    def _open(self, artifact: Artifact) -> "Model":
        with self._opening:
            model, _ = self._get(artifact.sha256)
            if model is None:
                at = monotonic()
                model = artifacts.open_model(artifact)
                with self._lock:
                    self._models[artifact.sha256] = model
                    self._read_at[artifact.sha256] = at
                    while len(self._models) > settings.MODELS_OPEN:
                        forgotten, _ = self._models.popitem(last=False)
                        del self._read_at[forgotten]
            return model

    def _checked(self, artifact: Artifact) -> "Model":
        with self._checking:  # not the lock of opening, which may take a second: others wait for a reading only
            model, is_trusted = self._get(artifact.sha256)
            if model is not None and is_trusted:  # by another thread in the meantime
                return model
            at = monotonic()
            try:
                artifacts.read(artifact)
            except ArtifactError:
                self.forget(artifact.sha256)
                raise
            with self._lock:
                if artifact.sha256 in self._models:
                    self._read_at[artifact.sha256] = at
        return model if model is not None else self._open(artifact)


_opened = _Opened()


def forget_opened() -> None:
    """Close all models of this process; the next reader opens and verifies its file again."""
    _opened.forget()


def load(version: ModelVersion) -> "Model":
    """The model of a version. The record is verified on every call, the file when it is opened and again every FILE_TRUSTED_SECONDS of use.

    Raises ArtifactError (altered, missing, other library versions), with what to do.
    """
    if version.artifact_deleted_at is not None:
        raise ArtifactError(f"The file of {version} was deleted on {version.artifact_deleted_at:%Y-%m-%d}.", "Train again.")
    artifact = _artifact_of(version)
    try:
        artifacts.check(artifact)
        model = _opened.model(artifact)
    except ArtifactError as error:
        logger.error("predictions.model_refused kind=%s version=%s problem=%s", version.kind, version.pk, error.problem)
        raise
    if tuple(model.features) != tuple(version.features) or model.algorithm != version.algorithm:
        raise ArtifactError(
            f"The record of {version} describes another model than its file holds.",
            "Train again; find out who changed the record.",
        )
    return model


def _artifact_of(version: ModelVersion) -> Artifact:
    return Artifact(version.kind, version.artifact, version.sha256, version.signature, version.size_bytes, version.libraries)


def is_intact(version: ModelVersion) -> bool:
    """Whether the record and the file of a version are those of its training. Reads the file, and opens no model."""
    if version.artifact_deleted_at is not None:
        return False
    artifact = _artifact_of(version)
    try:
        artifacts.check(artifact)
        artifacts.read(artifact)
    except ArtifactError:
        return False
    return True


def champion(kind: str) -> ModelVersion | None:
    """The version in use."""
    return ModelVersion.objects.filter(kind=kind, status=ModelVersion.Status.CHAMPION).first()


def load_champion(kind: str) -> "tuple[ModelVersion, Model]":
    """The version in use and its model. Raises NoModel(kind, reason) when there is none, CannotOpen when its file may not be opened."""
    version = champion(kind)
    if version is None:
        from predictions import gate  # reads the history; only the empty answer needs it

        raise NoModel(kind, gate.why_no_model(kind))
    try:
        return version, load(version)
    except ArtifactError as error:
        raise CannotOpen(kind, f"{version} is in use but cannot be opened. {error}") from error
