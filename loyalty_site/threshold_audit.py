"""Every change of a threshold leaves an audit event, whoever makes it: the settings page, a command, a shell."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User

from loyalty_site.common import audit
from loyalty_site.common.clock import utc_now

_author: ContextVar[tuple[User | None, str]] = ContextVar("threshold_author", default=(None, ""))


@contextmanager
def changed_by(actor: User | None, reason: str) -> Iterator[None]:
    """Name who changes thresholds inside the block, and why."""
    token = _author.set((actor, reason))
    try:
        yield
    finally:
        _author.reset(token)


def record_change(sender: Any, key: str, old_value: Any, new_value: Any, **kwargs: Any) -> None:
    """Receiver of constance's `config_updated`."""
    from loyalty_site.thresholds import CONSTANCE_CONFIG

    before = CONSTANCE_CONFIG[key][0] if old_value is None else old_value  # never stored: the default held
    if before == new_value:
        return
    actor, reason = _author.get()
    audit.record(
        "common.threshold_changed",
        ("constance.config", key),
        at=utc_now(),
        actor=actor,
        before={key: _plain(before)},
        after={key: _plain(new_value)},
        reason=reason,
    )


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
