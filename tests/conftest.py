"""Fixtures that every test may use."""

from datetime import datetime

import pytest
from hypothesis import settings

from tests.factories import NOW

# generated examples come from a fixed seed: what passed once passes again, and a failure can be repeated
settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")


@pytest.fixture
def now() -> datetime:
    """The instant that tests compute for; nothing in a test reads the wall clock."""
    return NOW
