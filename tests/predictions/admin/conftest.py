"""People with roles, from the tests of the back-office."""

from tests.backoffice.conftest import _no_remembered_figures, client_of, staff

__all__ = ["_no_remembered_figures", "client_of", "staff"]
