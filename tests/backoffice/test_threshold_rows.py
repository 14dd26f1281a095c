"""Every threshold has its row before anybody reads it."""

import pytest
from constance import config
from constance.models import Constance
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from loyalty_site.threshold_rows import ensure_threshold_rows


@pytest.mark.django_db
def test_threshold_rows__after_migrate__reading_writes_nothing() -> None:
    ensure_threshold_rows()
    assert set(Constance.objects.values_list("key", flat=True)) == set(settings.CONSTANCE_CONFIG)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert all(getattr(config, name) == entry[0] for name, entry in settings.CONSTANCE_CONFIG.items())
    assert [query for query in queries.captured_queries if not query["sql"].startswith("SELECT")] == []


@pytest.mark.django_db
def test_threshold_rows__staff_changed_one__it_stays() -> None:
    config.REWARD_CAP_DAY = 7
    ensure_threshold_rows()
    assert config.REWARD_CAP_DAY == 7
