"""Shorthands for tests of points in lots."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.wallet.factories import a_source
from wallet import services
from wallet.models import Entry, Lot, PointsPolicy


def on(month: int, day: int, hour: int = 12, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def policy(unit: str = "RP", **fields: Any) -> PointsPolicy:
    row = PointsPolicy.objects.get(unit=unit)
    for name, value in fields.items():
        setattr(row, name, value)
    row.full_clean()
    row.save()
    return row


def earn(player_id: int, amount: str, at: datetime, *, unit: str = "RP", ref: str = "", **terms: Any) -> Any:
    return services.add_points(player_id=player_id, unit=unit, amount=Decimal(amount), source=a_source(ref), at=at, **terms)


def spend(player_id: int, amount: str, at: datetime, *, unit: str = "RP", ref: str = "") -> Entry:
    return services.spend(player_id=player_id, unit=unit, currency="", amount=Decimal(amount), source=a_source(ref), at=at, reason="mug")


def take_back(entry: Entry, at: datetime, ref: str = "") -> Entry:
    return services.reverse_entry(entry.pk, source=a_source(ref), at=at, reason="rolled back", actor=None)


def lots(player_id: int) -> list[tuple[int, int, str]]:
    """(granted, left, status) of a player's lots in whole points, oldest first."""
    rows = Lot.objects.filter(player_id=player_id).order_by("id").values_list("qty", "remaining", "status")
    return [(qty // 100, left // 100, status) for qty, left, status in rows]
