"""Real pages in headless Chromium: without it a visible skip on a laptop, a failure in CI."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


def require_chromium(env: Mapping[str, str] = os.environ, which: Callable[[str], str | None] = shutil.which) -> str:
    """Path of the first Chromium in PATH. Without one: fails where `env` has CI=true, skips elsewhere."""
    for name in CHROMIUM_NAMES:
        if path := which(name):
            return path
    remedy = f"install one of {', '.join(CHROMIUM_NAMES)} (Debian/Ubuntu: apt install chromium)"
    if env.get("CI") == "true":
        pytest.fail(f"no Chromium in PATH; {remedy}", pytrace=False)
    pytest.skip(f"no Chromium in PATH; {remedy}")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    return require_chromium()


@pytest.fixture(scope="package")
def chromium_browser(chromium_path: str) -> Iterator[Any]:
    """A running Chromium (playwright's Browser), one for all tests of this folder.

    It ends with them: playwright's sync API keeps an event loop running in this thread, in which Django would refuse the database and
    constance its settings.
    """
    from playwright.sync_api import sync_playwright

    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium_path, args=list(CHROMIUM_OPTIONS))
            yield browser
            browser.close()
    finally:
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        else:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


class LiveAdmin:
    """A served site and logged-in pages on it. Script errors, failed requests to us and requests to anybody else are collected."""

    def __init__(self, url: str, browser: Any) -> None:
        self.url = url
        self.browser = browser
        self.problems: list[str] = []
        self._contexts: list[Any] = []

    def user(self, username: str = "boss", *, groups: tuple[str, ...] = (), permissions: tuple[str, ...] = ()) -> User:
        """A member of staff: with groups (by name) or permissions ("app.codename") only those, else a superuser."""
        user = User.objects.create_user(username, is_staff=True, is_superuser=not (groups or permissions))
        user.groups.set(Group.objects.filter(name__in=groups))
        for name in permissions:
            app, codename = name.split(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        return user

    def page(self, user: User, *, width: int = 1440, height: int = 900, dark: bool = False) -> Any:
        """A new playwright Page on which `user` is logged in."""
        client = Client()
        client.force_login(user)
        context = self.browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
        context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value, "url": self.url}]
        )
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        page.on("response", self._note_response)
        page.on("request", self._note_request)
        self._contexts.append(context)
        return page

    def _note_response(self, response: Any) -> None:
        if response.status >= 500 or (response.status == 404 and "/static/" in response.url):
            self.problems.append(f"{response.status} {response.url}")

    def _note_request(self, request: Any) -> None:
        parts = urlparse(request.url)
        if parts.scheme in {"http", "https"} and not request.url.startswith(self.url):
            self.problems.append(f"request to another host: {parts.scheme}://{parts.netloc}{parts.path}")

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def live_admin(live_server: Any, chromium_browser: Any) -> Iterator[LiveAdmin]:
    """The site on a real port with its own database; the test fails if any page had a problem."""
    admin = LiveAdmin(live_server.url, chromium_browser)
    yield admin
    admin.close()
    assert admin.problems == []
