"""The pages of models at the width of a desk: nothing is cut off, and the dialog of a training reads from top to bottom."""

from typing import Any

import pytest
from django.urls import reverse

from tests.predictions.admin import rows

pytestmark = pytest.mark.django_db(transaction=True)

_TRIED = dict.fromkeys(("gini", "scaled_error", "coverage", "mae", "mae_p50"), 0.125)


def test_version__five_figures_of_what_was_tried__fit(live_admin: Any) -> None:
    tried = [{"algorithm": name, "chosen": name == "boosting", "metrics": _TRIED} for name in ("BG/NBD with Gamma-Gamma", "boosting")]
    version = rows.version("ltv", metrics=_TRIED, baseline=_TRIED, candidates=tried)
    page = live_admin.page(live_admin.user())
    page.goto(live_admin.url + reverse("admin:predictions_modelversion_change", args=[version.pk]))
    page.locator("summary", has_text="Model card").click()
    page.locator(".pred-card h3", has_text="What it must not be used for").wait_for()
    widths = page.evaluate("[...document.querySelectorAll('.lb-scroll')].map(one => one.scrollWidth - one.clientWidth)")
    assert widths == [0] * 7  # figures and what was tried, on the page and in the card; its facts, importance and checks


def test_train_dialog__label__stands_above_its_kinds(live_admin: Any) -> None:
    page = live_admin.page(live_admin.user())
    page.goto(live_admin.url + reverse("admin:predictions_modelversion_changelist"))
    page.locator("[hx-get*=retrain], a[href*=retrain]").first.click()
    label, churn = (page.locator("#dialog-form label", has_text=text).first.bounding_box() for text in ("Train", "Churn"))
    assert label["x"] == churn["x"]
    assert label["y"] + label["height"] <= churn["y"]
