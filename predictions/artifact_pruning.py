"""Files of models that nobody needs any more. Each training leaves one; without this the model storage grows for ever.

Of each kind the files of the last `LOYALTY_MODELS_KEPT` versions stay, and, however old, those of the version in use, of the one that it
replaced, of versions that a run with scores was scored with, and of those whose promotion is asked for. The records stay for good.

Everything happens under the kind's lock, under which `registry.save` looks for the file of the version that it records: of a file that
is deleted and one that is written at the same time, the written one stays.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.jobs import Job, Scope, register
from predictions import artifacts, gate, registry
from predictions.models import Kind, ModelVersion, PromotionRequest, ScoringRun

logger = logging.getLogger(__name__)

NAME = "predictions.prune_artifacts"
ORPHAN_AFTER = timedelta(days=1)
_Status = ModelVersion.Status


def mark(kind: str, at: datetime) -> dict[str, int]:
    """Record of the versions of a kind whose files nobody needs that these are gone. Returns {"rows": versions}.

    In a transaction before that of `delete_files`: killed in between, a file is left for the next run, and never a record without its file.
    """
    at = require_utc(at)
    with transaction.atomic():
        registry.lock_kind(kind)
        versions = expendable(kind)
        for version in versions:
            version.artifact_deleted_at = at
            version.save(update_fields=["artifact_deleted_at"])
            kept = {"artifact": version.artifact, "sha256": version.sha256, "size_bytes": version.size_bytes}
            audit.record("predictions.artifact_deleted", version, at=at, before=kept, reason=why_deleted(version))
    return {"rows": len(versions)}


def delete_files(kind: str, at: datetime) -> dict[str, int]:
    """Delete the files of marked versions, and those that no version names once they are a day old. Returns {"files": n, "bytes": n}.

    A crash between file and record, or a training that was cut off, leaves a file without a version. Safe to run twice.
    """
    at = require_utc(at)
    with transaction.atomic():
        registry.lock_kind(kind)
        deleted = list(_delete_files(kind, at))
        if orphans := [name for name, _size, is_orphan in deleted if is_orphan]:
            audit.record("predictions.orphan_artifacts_deleted", (gate.KIND_SUBJECT, str(kind)), at=at, before={"artifacts": orphans})
    found = {"files": len(deleted), "bytes": sum(size for _name, size, _is_orphan in deleted)}
    if deleted:
        logger.info("predictions.artifacts_deleted kind=%s files=%s bytes=%s", kind, found["files"], found["bytes"])
    return found


def why_deleted(version: ModelVersion) -> str:
    """For the audit log and for whoever asks why a version cannot be opened."""
    return f"{version} was not in use, and the files of {settings.MODELS_KEPT} newer versions of its kind are kept."


def expendable(kind: str) -> list[ModelVersion]:
    """Versions whose files may go, oldest first."""
    of_kind = ModelVersion.objects.filter(kind=kind)
    kept = set(of_kind.order_by("-number").values_list("pk", flat=True)[: settings.MODELS_KEPT])
    kept.update(of_kind.filter(status=_Status.CHAMPION).values_list("pk", flat=True))
    # the way back from the version in use
    kept.update(of_kind.filter(retired_at__isnull=False).order_by("-retired_at", "-number").values_list("pk", flat=True)[:1])
    kept.update(of_kind.filter(promotion_requests__status=PromotionRequest.Status.PENDING).values_list("pk", flat=True))
    ended = (ScoringRun.Status.PRUNED, ScoringRun.Status.ABANDONED)
    scored = ScoringRun.objects.exclude(status__in=ended).values_list("versions", flat=True)
    kept.update(number for versions in scored for number in versions.values())
    return list(of_kind.filter(artifact_deleted_at__isnull=True).exclude(artifact="").exclude(pk__in=kept).order_by("number"))


def _delete_files(kind: str, at: datetime) -> Iterator[tuple[str, int, bool]]:
    """(name, bytes, whether no version ever named it) of each file that was deleted. Equal models share a file: all must be expendable."""
    storage = artifacts.storage()
    named = ModelVersion.objects.filter(kind=kind).values_list("artifact", "artifact_deleted_at")
    needed = {name for name, deleted_at in named if deleted_at is None}
    known = {name for name, _deleted_at in named}
    for name in artifacts.names(kind):
        if name in needed:
            continue
        is_orphan = name not in known
        if is_orphan and storage.get_modified_time(name) > at - ORPHAN_AFTER:
            continue
        size = storage.size(name)
        storage.delete(name)
        yield name, size, is_orphan


def prune_ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Two ranges a kind: its records, then its files."""
    if not parameters.get("ids"):
        yield from ((place, place + 1) for place in range(2 * len(Kind.values)))


def prune(scope: Scope) -> dict[str, Any]:
    kind, is_files = Kind.values[scope.lower_id // 2], scope.lower_id % 2
    return dict((delete_files if is_files else mark)(kind, utc_now()))


register(Job(NAME, "Removal of old model files", prune, prune_ranges))
