"""The one place that reads the wall clock. Everything below an edge (view, command, task) gets time as an argument."""

from datetime import UTC, date, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)


def require_utc(moment: datetime, name: str = "time") -> datetime:
    """`moment` in UTC. Raises ValueError when it carries no zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no time zone; pass an aware datetime")
    return moment.astimezone(UTC)


def day_start(day: date) -> datetime:
    """The instant at which `day` begins in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
