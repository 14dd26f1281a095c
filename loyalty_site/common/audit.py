"""Write one audit row, in the transaction of the change it describes."""

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import models

from loyalty_site.common.models import ApiClient, AuditEvent


def record(
    action: str,
    subject: models.Model | tuple[str, str],
    *,
    at: datetime,
    actor: User | None = None,
    api_client: ApiClient | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEvent:
    """Insert an audit event. `subject` is a saved model instance or (type label, id); `before`/`after` hold plain JSON values."""
    if isinstance(subject, models.Model):
        subject_type, subject_id = subject._meta.label_lower, str(subject.pk)
    else:
        subject_type, subject_id = subject
    return AuditEvent.objects.create(
        occurred_at=at,
        action=action,
        actor=actor,
        api_client=api_client,
        subject_type=subject_type,
        subject_id=subject_id,
        before=before or {},
        after=after or {},
        reason=reason,
    )
