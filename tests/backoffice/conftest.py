"""People with roles, and a browser without a screen."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from tests.cache import forget_cached


@pytest.fixture(autouse=True)
def _no_remembered_figures() -> None:
    forget_cached()


@pytest.fixture
def staff(db: None) -> Callable[..., User]:
    """`staff("Finance")` is a member of staff in that role; `staff()` has no role; `staff(admin=True)` is an administrator."""

    def make(*roles: str, admin: bool = False, username: str = "") -> User:
        name = username or f"{'-'.join(roles) or ('admin' if admin else 'nobody')}".lower().replace(" ", "_")
        user = User.objects.create_user(name, is_staff=True, is_superuser=admin)
        user.groups.set(Group.objects.filter(name__in=roles))
        return user

    return make


@pytest.fixture
def client_of(staff: Callable[..., User]) -> Callable[..., Client]:
    """A test client that is logged in as `staff(...)`."""

    def make(*roles: str, admin: bool = False) -> Client:
        client = Client()
        client.force_login(staff(*roles, admin=admin))
        return client

    return make
