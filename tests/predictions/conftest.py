"""Trained models of a test lie in a folder of its own, and none stays open for the next test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from predictions import registry
from tests.cache import forget_cached


@pytest.fixture(autouse=True)
def model_folder(settings, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "models"
    settings.STORAGES = {**settings.STORAGES, "models": {**settings.STORAGES["models"], "OPTIONS": {"location": str(folder)}}}
    registry.forget_opened()
    yield folder
    registry.forget_opened()


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Units of currency are remembered for an hour: those of the test before are of other deposits."""
    forget_cached()
