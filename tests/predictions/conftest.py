"""Trained models of a test lie in a folder of its own, and none stays open for the next test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from predictions import registry


@pytest.fixture(autouse=True)
def model_folder(settings, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "models"
    settings.STORAGES = {**settings.STORAGES, "models": {**settings.STORAGES["models"], "OPTIONS": {"location": str(folder)}}}
    registry.forget_opened()
    yield folder
    registry.forget_opened()
