"""Which files of models go, which never do, and that a record never names a file that is gone without saying so."""

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loyalty_site.common import jobs
from loyalty_site.common.models import AuditEvent, JobRun
from predictions import artifact_pruning, artifacts, model_card, promotion, registry
from predictions.artifacts import ArtifactError
from predictions.ml.kinds import Verdict
from predictions.models import ModelVersion, PromotionRequest, ScoringRun
from tests.factories import NOW
from tests.predictions.registry.at_once import at_once
from tests.predictions.registry.models import champion, saved, staff

pytestmark = pytest.mark.django_db

REFUSED = (Verdict("auc", False, 0.5, 0.6, "no better than chance"),)


@pytest.fixture(autouse=True)
def _keep_two(settings) -> None:
    settings.MODELS_KEPT = 2


def prune() -> tuple[dict[str, int], dict[str, int]]:
    return artifact_pruning.mark("churn", NOW), artifact_pruning.delete_files("churn", NOW)


def files(folder: Path, kind: str = "churn") -> set[str]:
    return {f"{kind}/{path.name}" for path in (folder / kind).glob("*")}


def marked() -> set[int]:
    return set(ModelVersion.objects.filter(artifact_deleted_at__isnull=False).values_list("number", flat=True))


def test_prune__beyond_the_last_two__deletes_refused_candidates_and_retired(model_folder):
    versions = [saved(seed=0, gate=REFUSED), *(saved(seed=seed) for seed in range(10, 50, 10))]
    other = saved(kind="engagement", seed=90)
    marks, deleted = prune()

    assert marked() == {1, 2, 3}
    assert marks == {"rows": 3}
    assert deleted == {"files": 3, "bytes": sum(one.size_bytes for one in versions[:3])}
    assert files(model_folder) == {one.artifact for one in versions[3:]}
    assert files(model_folder, "engagement") == {other.artifact}
    events = AuditEvent.objects.filter(action="predictions.artifact_deleted").order_by("id")
    assert [event.before["sha256"] for event in events] == [one.sha256 for one in versions[:3]]
    assert events[0].reason == "Churn 1 was not in use, and the files of 2 newer versions of its kind are kept."
    assert prune() == ({"rows": 0}, {"files": 0, "bytes": 0})


def test_prune__what_somebody_needs__stays_however_old(model_folder):
    staff("decide_promotion")
    used, asked, before, now, old, *_last = [saved(seed=seed) for seed in range(0, 70, 10)]
    ScoringRun.objects.create(as_of=NOW, started_at=NOW, status="PUBLISHED", versions={"churn": used.pk})
    promotion.request(asked, staff("request_promotion"), "better", NOW)
    for version, days in ((old, 9), (before, 2)):
        version.status, version.promoted_at, version.retired_at = "RETIRED", NOW - timedelta(days=10), NOW - timedelta(days=days)
        version.save()
    champion(now)
    prune()

    assert marked() == {old.number}
    assert files(model_folder) == {one.artifact for one in ModelVersion.objects.exclude(pk=old.pk)}
    assert [registry.load(one).algorithm for one in (used, asked, before, now)] == ["small logistic regression"] * 4


@pytest.mark.parametrize("status", ["PRUNED", "ABANDONED"])
def test_prune__run_without_scores__needs_its_versions_no_more(model_folder, status):
    used, *_others = [saved(seed=seed) for seed in (0, 10, 20)]
    ScoringRun.objects.create(as_of=NOW, started_at=NOW, status=status, versions={"churn": used.pk})
    prune()
    assert marked() == {used.number}


def test_prune__equal_models_share_a_file__it_stays_while_one_is_needed(model_folder):
    first, second, third = saved(seed=0), saved(seed=10), saved(seed=0)
    assert first.artifact == third.artifact
    prune()
    assert marked() == {first.number}
    assert files(model_folder) == {first.artifact, second.artifact}
    assert registry.load(third).algorithm == "small logistic regression"


def test_deleted__says_so_wherever_it_is_asked_for(model_folder):
    version = saved()
    saved(seed=10), saved(seed=20)
    prune()
    version.refresh_from_db()
    with pytest.raises(ArtifactError, match=r"The file of Churn 1 was deleted on 2026-03-15\. Train again\."):
        registry.load(version)
    with pytest.raises(promotion.PromotionRefused, match="the file of Churn 1 was deleted on 2026-03-15; train again"):
        promotion.require_promotable(version)
    assert f"was deleted on 2026-03-15; its SHA-256 was `{version.sha256}`" in model_card.text(version)
    assert not PromotionRequest.objects.exists()


def aged(path: Path, hours: float) -> Path:
    at = (NOW - timedelta(hours=hours)).timestamp()
    os.utime(path, (at, at))
    return path


def test_orphans__a_day_old__go_and_others_stay(model_folder):
    version = saved()
    aged(model_folder / version.artifact, 500)
    names = [artifacts.write("churn", content).name for content in (b"old", b"young")]
    aged(model_folder / names[0], 24.1)
    aged(model_folder / names[1], 23.9)
    (model_folder / "churn" / "notes.txt").write_text("not ours")
    aged(model_folder / "churn" / "notes.txt", 500)

    assert artifact_pruning.delete_files("churn", NOW) == {"files": 1, "bytes": 3}
    assert files(model_folder) == {version.artifact, names[1], "churn/notes.txt"}
    event = AuditEvent.objects.get(action="predictions.orphan_artifacts_deleted")
    assert (event.subject_id, event.before) == ("churn", {"artifacts": [names[0]]})


def test_delete_files__nothing_was_ever_written__finds_nothing(model_folder):
    assert artifact_pruning.delete_files("churn", NOW) == {"files": 0, "bytes": 0}


def test_killed_between_record_and_file__the_next_run_deletes_it(model_folder):
    version = saved()
    saved(seed=10), saved(seed=20)
    artifact_pruning.mark("churn", NOW)
    assert version.artifact in files(model_folder)
    assert prune() == ({"rows": 0}, {"files": 1, "bytes": version.size_bytes})


def test_job__records_then_files_of_every_kind(model_folder):
    for kind in ("churn", "engagement"):
        for seed in (0, 10, 20):
            saved(kind=kind, seed=seed)
    run = jobs.execute(jobs.create_run(artifact_pruning.NAME, as_of=NOW))
    assert (run.status, run.chunks_total, run.rows_done, run.result["files"]) == (JobRun.Status.SUCCEEDED, 12, 2, 2)
    assert len(files(model_folder)) == len(files(model_folder, "engagement")) == 2


# -- a file that is deleted while it is saved anew ----------------------------------------------------------------------------------


def saved_while_deleted(monkeypatch, model_folder) -> ModelVersion:
    """A training writes the bytes of an old orphan, which the night deletes before the training's record is there."""
    version = saved(seed=0)
    ModelVersion.objects.all().delete()
    aged(model_folder / version.artifact, 500)
    written, deleted = threading.Event(), threading.Event()
    real = artifacts.write

    def write(kind, payload):
        artifact = real(kind, payload)
        if not written.is_set():  # the first look of the training, before it has the lock
            written.set()
            assert deleted.wait(timeout=30)
        return artifact

    monkeypatch.setattr(artifacts, "write", write)

    def night():
        assert written.wait(timeout=30)
        found = artifact_pruning.delete_files("churn", datetime.now(UTC))
        deleted.set()
        return found["files"]

    new, gone = at_once([lambda: saved(seed=0), night])
    assert (type(new).__name__, gone) == ("ModelVersion", 1)
    return new


@pytest.mark.django_db(transaction=True)
def test_saved_while_an_equal_file_is_deleted__its_own_is_there(monkeypatch, model_folder):
    version = saved_while_deleted(monkeypatch, model_folder)
    assert files(model_folder) == {version.artifact}
    assert registry.load(version).algorithm == "small logistic regression"


@pytest.mark.django_db(transaction=True)
def test_saved_while_an_equal_file_is_deleted__control_without_the_second_write__file_is_gone(monkeypatch, model_folder):
    real = registry.lock_kind

    def lock_and_write_no_more(kind):
        real(kind)
        if threading.current_thread() is not threading.main_thread():
            monkeypatch.setattr(artifacts, "_holds", lambda *_: True)

    monkeypatch.setattr(registry, "lock_kind", lock_and_write_no_more)
    saved_while_deleted(monkeypatch, model_folder)
    assert files(model_folder) == set()
