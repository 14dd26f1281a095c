"""History of settings-like records (django-simple-history), for changes by staff and by API keys."""

from typing import Any

from django.contrib.auth.models import User
from simple_history.models import HistoricalRecords


class ChangeHistory(HistoricalRecords):
    """Field-by-field history. A change made with an API key has no member of staff behind it: the audit event names the client."""

    def get_history_user(self, instance: Any) -> User | None:
        user = super().get_history_user(instance)
        return user if isinstance(user, User) else None
