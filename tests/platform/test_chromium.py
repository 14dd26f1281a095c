"""A browser test without a browser is seen: skipped on a laptop, failed in CI."""

import pytest

from tests.browser.conftest import require_chromium


def _nothing(_name: str) -> None:
    return None


def test_chromium__missing_on_a_laptop__skips_with_the_remedy() -> None:
    with pytest.raises(pytest.skip.Exception, match="no Chromium in PATH; install one of .*apt install chromium"):
        require_chromium({}, _nothing)


def test_chromium__missing_in_ci__fails_with_the_remedy() -> None:
    with pytest.raises(pytest.fail.Exception, match="no Chromium in PATH; install one of .*apt install chromium"):
        require_chromium({"CI": "true"}, _nothing)


def test_chromium__other_name__is_found() -> None:
    assert require_chromium({"CI": "true"}, {"google-chrome": "/opt/chrome"}.get) == "/opt/chrome"
