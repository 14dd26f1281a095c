from typing import Any

import pytest

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_start_page__superuser__opens_without_problems(live_admin: Any, width: int, dark: bool) -> None:
    page = live_admin.page(live_admin.user(), width=width, dark=dark)
    answer = page.goto(f"{live_admin.url}/admin/")
    assert answer.status == 200
    assert "/admin/login" not in page.url


def test_login_form__wrong_password__says_so_and_stays(live_admin: Any, chromium_browser: Any) -> None:
    context = chromium_browser.new_context()
    page = context.new_page()
    page.goto(f"{live_admin.url}/admin/login/")
    page.fill("input[name=username]", "nobody")
    page.fill("input[name=password]", "wrong")
    page.press("input[name=password]", "Enter")
    page.wait_for_selector("text=correct username and password")
    assert "/admin/login" in page.url
    context.close()
