from tests.faults.conftest import prepared, server, world  # noqa: F401 - fixtures
