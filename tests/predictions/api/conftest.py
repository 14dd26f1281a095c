import pytest

from tests.api_client import KeyedClient
from tests.cache import forget_cached


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    forget_cached()


@pytest.fixture
def api(db: None) -> KeyedClient:
    return KeyedClient()
