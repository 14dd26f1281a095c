"""A file that was altered in any way is refused before a byte of it is interpreted."""

import io
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import pandas as pd
import pytest
from django.core.files.base import ContentFile

from loyalty_site.common.models import AuditEvent
from loyalty_site.launcher.environment import ROOT
from predictions import artifacts, registry
from predictions.artifacts import ArtifactError
from predictions.ml.kinds import Verdict
from predictions.models import ModelVersion
from tests.predictions.registry.models import a_cutoff, a_history, champion, fit, saved, trained

pytestmark = pytest.mark.django_db


class Planted:
    """Runs a command when it is unpickled: what an attacker would put in a model's place."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def file_of(version: ModelVersion, folder: Path) -> Path:
    return folder / version.artifact


def test_save__then_load__same_answers(model_folder):
    history = a_history()
    model = fit(history)
    version = saved(trained=trained(model, history=history))

    assert (version.number, version.status, version.kind) == (1, ModelVersion.Status.CANDIDATE, "churn")
    assert file_of(version, model_folder).stat().st_size == version.size_bytes
    assert version.artifact == f"churn/{version.sha256}.joblib"
    assert set(version.libraries) == {"python", *artifacts.CHECKED, *artifacts.NOTED}
    frame = a_cutoff(seed=9).features
    pd.testing.assert_frame_equal(registry.load(version).predict(frame), model.predict(frame))
    event = AuditEvent.objects.get(action="predictions.model_trained")
    assert (event.subject_id, event.after["sha256"]) == (str(version.pk), version.sha256)


def test_save__numbers_count_within_the_kind(model_folder):
    assert [saved(seed=seed, kind=kind).number for seed, kind in ((0, "churn"), (1, "churn"), (0, "engagement"))] == [1, 2, 1]


def test_save__failed_verdict__is_refused_and_kept_with_its_reason(model_folder):
    version = saved(gate=(Verdict("auc", False, 0.5, 0.6, "no better than chance"),))

    assert version.status == ModelVersion.Status.REFUSED
    assert version.gate == [{"name": "auc", "passed": False, "value": 0.5, "limit": 0.6, "reason": "no better than chance"}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_save__figure_that_is_no_number__refused_and_nothing_written(model_folder, value):
    with pytest.raises(ValueError, match=r"record\.metrics\.auc|record\.auc"):
        saved(metrics={"auc": value})

    assert not ModelVersion.objects.exists()
    assert not model_folder.exists()


def test_save__model_that_holds_players__refused_and_nothing_written(model_folder):
    model = fit(a_history())
    object.__setattr__(model, "learned_from", a_cutoff().features)

    with pytest.raises(ValueError, match="DataFrame of players"):
        saved(trained=trained(model))

    assert not model_folder.exists()
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_load__one_bit_of_the_file_changed__refused(model_folder, place):
    version = saved()
    path = file_of(version, model_folder)
    content = bytearray(path.read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[place]] ^= 1
    path.write_bytes(content)

    with pytest.raises(ArtifactError, match=r"is not what was written at training.*Restore the file from a backup.*altered it"):
        registry.load(version)


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"\0", lambda _content: b""])
def test_load__file_of_another_length__refused(model_folder, change):
    version = saved()
    path = file_of(version, model_folder)
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(ArtifactError, match="is not what was written"):
        registry.load(version)


def test_load__planted_pickle__refused_and_never_run(model_folder, tmp_path):
    marker = tmp_path / "planted"
    version = saved()
    buffer = io.BytesIO()
    joblib.dump(Planted(marker), buffer)
    file_of(version, model_folder).write_bytes(buffer.getvalue())

    with pytest.raises(ArtifactError):
        registry.load(version)
    assert not marker.exists()

    # the control: opened without the checks, the very same file runs
    joblib.load(file_of(version, model_folder))
    assert marker.exists()


def test_load__planted_file_and_record__refused_without_the_secret_and_never_run(model_folder, tmp_path):
    """Somebody who writes both file and row, hash and size right, and signs with a key of their own."""
    marker = tmp_path / "planted"
    version = saved()
    planted = artifacts.write("churn", pickle.dumps(Planted(marker)))
    forged = artifacts.sign("churn", planted.name, planted.sha256, planted.size_bytes, planted.libraries, secret="guessed")
    version.artifact, version.sha256, version.size_bytes, version.signature = planted.name, planted.sha256, planted.size_bytes, forged
    version.save()

    with pytest.raises(ArtifactError, match="was not signed with this site's secret"):
        registry.load(version)
    assert not marker.exists()


def test_load__signature_changed_by_one_character__refused(model_folder):
    version = saved()
    version.signature = ("0" if version.signature[0] != "0" else "1") + version.signature[1:]

    with pytest.raises(ArtifactError, match="was not signed"):
        registry.load(version)


def test_load__record_of_another_kind__refused(model_folder):
    """A signed file must not serve as another kind's model."""
    version = saved()
    version.kind = "engagement"
    with pytest.raises(ArtifactError, match="is not the name of its content"):
        registry.load(version)

    version.artifact = version.artifact.replace("churn/", "engagement/")
    with pytest.raises(ArtifactError, match="was not signed"):
        registry.load(version)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "churn/../x.joblib", "churn/short.joblib", ""])
def test_load__name_that_leads_elsewhere__refused(model_folder, name):
    version = saved()
    version.artifact = name

    with pytest.raises(ArtifactError, match="is not the name of its content"):
        registry.load(version)


@pytest.mark.parametrize("library", artifacts.CHECKED)
def test_load__library_of_another_version__refused_with_the_remedy(model_folder, monkeypatch, library):
    version = saved()
    present = {**artifacts.installed_libraries(), library: "0.0.1"}
    monkeypatch.setattr(artifacts, "installed_libraries", lambda: present)

    with pytest.raises(ArtifactError, match=rf"trained with {library} .* 0\.0\.1 is installed.*Train again"):
        registry.load(version)


def test_load__version_in_the_record_edited_to_fit__refused(model_folder, monkeypatch):
    version = saved()
    present = {**artifacts.installed_libraries(), "scikit-learn": "0.0.1"}
    monkeypatch.setattr(artifacts, "installed_libraries", lambda: present)
    version.libraries = present

    with pytest.raises(ArtifactError, match="was not signed"):
        registry.load(version)


def test_load__missing_file__refused_with_the_remedy(model_folder):
    version = saved()
    file_of(version, model_folder).unlink()

    with pytest.raises(ArtifactError, match="cannot be read.*Restore the file"):
        registry.load(version)


def test_load__record_names_other_features__refused(model_folder):
    version = saved()
    version.features = ["noise", "signal"]

    with pytest.raises(ArtifactError, match="describes another model"):
        registry.load(version)


def test_load__secret_was_changed__opens_only_while_the_old_one_is_listed(model_folder, settings):
    version = saved()
    former, settings.SECRET_KEY = settings.SECRET_KEY, "another-secret-of-more-than-32-characters"

    with pytest.raises(ArtifactError, match="DJANGO_SECRET_KEY_FALLBACKS"):
        registry.load(version)

    settings.SECRET_KEY_FALLBACKS = [former]
    assert registry.load(version).algorithm == "small logistic regression"


def test_load__class_that_this_release_does_not_have__refused_with_the_remedy(model_folder, monkeypatch):
    version = saved()
    monkeypatch.delattr("tests.predictions.registry.models.SmallChurn")

    with pytest.raises(ArtifactError, match="does not fit this release.*Train again"):
        registry.load(version)


def test_load__many_readers_at_once__one_opening(model_folder, monkeypatch):
    version = saved()
    opened = []
    real, start = artifacts.open_model, threading.Barrier(8)

    def counting(artifact):
        opened.append(artifact.sha256)
        return real(artifact)

    monkeypatch.setattr(artifacts, "open_model", counting)

    def read(_number: int):
        start.wait()
        return registry.load(version)

    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(read, range(8)))

    assert opened == [version.sha256]
    assert all(model is models[0] for model in models)


def test_load__more_models_than_are_kept__the_least_used_is_opened_again(model_folder, settings, monkeypatch):
    settings.MODELS_OPEN = 2
    versions = [saved(seed=seed) for seed in range(3)]
    for version in versions:
        registry.load(version)
    opened = []
    real = artifacts.open_model
    monkeypatch.setattr(artifacts, "open_model", lambda artifact: opened.append(artifact.sha256) or real(artifact))

    registry.load(versions[2])
    registry.load(versions[0])

    assert opened == [versions[0].sha256]


def test_load_champion__none__says_why(model_folder):
    saved()

    with pytest.raises(registry.NoModel) as raised:
        registry.load_champion("churn")
    assert raised.value.kind == "churn"
    assert raised.value.reason


def test_load_champion__altered_file__no_model_with_the_reason(model_folder):
    version = champion(saved())
    assert registry.load_champion("churn")[0] == version
    registry.forget_opened()
    file_of(version, model_folder).write_bytes(b"x")

    with pytest.raises(registry.NoModel, match="Churn 1 is in use but cannot be opened"):
        registry.load_champion("churn")


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """Seconds of the process's clock, to be moved."""
    now = [1000.0]
    monkeypatch.setattr(registry, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("fault", ["altered", "same size and time", "missing"])
def test_load__file_damaged_after_opening__refused_five_seconds_later_until_restored(model_folder, clock, fault):
    version = champion(saved())
    path = file_of(version, model_folder)
    content, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    model = registry.load(version)
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes(b"x" if fault == "altered" else bytes(len(content)))
        os.utime(path, ns=times)

    clock[0] += registry.FILE_TRUSTED_SECONDS - 0.001
    assert registry.load(version) is model
    clock[0] += 0.001
    for _again in range(2):
        assert not registry.is_intact(version)
        with pytest.raises(ArtifactError, match="cannot be read" if fault == "missing" else "is not what was written at training"):
            registry.load(version)
    with pytest.raises(registry.CannotOpen, match="Churn 1 is in use but cannot be opened"):
        registry.load_champion("churn")

    path.write_bytes(content)
    assert registry.load(version).algorithm == "small logistic regression"


def test_load__used_all_the_time__reads_the_file_once_in_five_seconds(model_folder, clock, monkeypatch):
    version = saved()
    model = registry.load(version)
    read = []
    real = artifacts.read
    monkeypatch.setattr(artifacts, "read", lambda artifact: read.append(clock[0]) or real(artifact))

    for _tenth in range(200):
        clock[0] += 0.1
        assert registry.load(version) is model

    assert [round(at, 1) for at in read] == [1005.0, 1010.0, 1015.0, 1020.0]


def test_load__storage_that_fails_in_its_own_way__refused_with_the_remedy(model_folder, clock, monkeypatch):
    class Elsewhere:
        def open(self, name: str, mode: str) -> None:
            raise RuntimeError("no answer")

    version = saved()
    registry.load(version)
    clock[0] += registry.FILE_TRUSTED_SECONDS
    monkeypatch.setattr(artifacts, "storage", Elsewhere)
    with pytest.raises(ArtifactError, match=r"cannot be read \(RuntimeError\)\. Restore the file"):
        registry.load(version)


# -- writing ----------------------------------------------------------------------------------------------------------


def test_write__same_bytes_twice__one_file(model_folder):
    first, second = artifacts.write("churn", b"content"), artifacts.write("churn", b"content")

    assert first == second
    assert [path.name for path in (model_folder / "churn").iterdir()] == [f"{first.sha256}.joblib"]


def test_write__damaged_file_of_that_name__replaced(model_folder):
    artifact = artifacts.write("churn", b"content")
    (model_folder / artifact.name).write_bytes(b"damaged")

    assert artifacts.write("churn", b"content") == artifact
    assert artifacts.read(artifact) == b"content"


def test_write__disk_full__nothing_under_the_name_and_no_row(model_folder, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        saved()

    assert list((model_folder / "churn").iterdir()) == []
    assert not ModelVersion.objects.exists()


def test_write__killed_while_writing__no_file_under_the_name_and_the_rest_is_swept(model_folder):
    script = textwrap.dedent(
        f"""
        import os, signal
        from django.conf import settings
        settings.configure()
        from predictions.artifacts import AtomicFileSystemStorage

        class Dying:
            def chunks(self):
                yield b"half"
                os.kill(os.getpid(), signal.SIGKILL)

        AtomicFileSystemStorage(location={str(model_folder)!r})._save("churn/model.joblib", Dying())
        """
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGKILL
    left = list((model_folder / "churn").iterdir())
    assert [path.suffix for path in left] == [".part"]
    os.utime(left[0], (0, 0))
    artifacts.storage().save("churn/other.joblib", ContentFile(b"whole"))
    assert [path.name for path in (model_folder / "churn").iterdir()] == ["other.joblib"]


def test_write__storage_of_another_host__same_model(model_folder, settings):
    """The same folder, mounted elsewhere: nothing in the record depends on the path."""
    version = saved()
    moved = model_folder.with_name("mounted")
    model_folder.rename(moved)
    settings.STORAGES = {**settings.STORAGES, "models": {**settings.STORAGES["models"], "OPTIONS": {"location": str(moved)}}}

    assert registry.load(version).features == ("signal", "noise")


def test_artifact__holds_no_player_and_no_path(model_folder, monkeypatch):
    content = artifacts.dump(fit(a_history()))
    opened = io.BytesIO()
    joblib.dump(joblib.load(io.BytesIO(content)), opened, compress=0)

    assert b"player_id" not in opened.getvalue()
    assert str(ROOT).encode() not in opened.getvalue()
