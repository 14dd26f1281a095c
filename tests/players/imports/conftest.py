import io

import pytest

from players.imports import services

HEAD = "player_id,total_deposited,total_wagered,total_won,sessions,playtime_hours\n"


@pytest.fixture(autouse=True)
def _upload_dir(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def upload(db, now):
    """upload(text, **arguments of create_import) -> job in status UPLOADED."""

    def make(content, name="file.csv", at=now, **arguments):
        data = content if isinstance(content, bytes) else content.encode()
        return services.create_import(file=io.BytesIO(data), file_name=name, at=at, **arguments)

    return make


@pytest.fixture
def run(upload, now):
    """run(text, **arguments) -> job after check and apply."""

    def go(content, at=now, **arguments):
        job = services.check_import(upload(content, at=at, **arguments).pk, at=at)
        assert job.status == "PREVIEW", job.error
        return services.apply_import(job.pk, at=at)

    return go
