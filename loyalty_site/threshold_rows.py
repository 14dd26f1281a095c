"""A row for every threshold, from the first migration on."""

from typing import Any

from constance.codecs import dumps
from constance.models import Constance
from django.conf import settings


def ensure_threshold_rows(using: str = "default", **kwargs: Any) -> None:
    """Receiver of `post_migrate`. Without a row, the first read of a threshold would insert one, and a long transaction that reads
    first would make every other reader wait for its end."""
    Constance.objects.using(using).bulk_create(
        [Constance(key=name, value=dumps(entry[0])) for name, entry in settings.CONSTANCE_CONFIG.items()], ignore_conflicts=True
    )
