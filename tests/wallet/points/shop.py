"""Shorthands for tests of the catalogue."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from players.models import Jurisdiction, JurisdictionPack, Player
from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_template, points
from wallet import services
from wallet.models import CatalogueItem, Redemption
from wallet.services import Source


def market(code: str = "MT", **rules: Any) -> Jurisdiction:
    found, _ = Jurisdiction.objects.get_or_create(code=code, defaults={"name": code})
    JurisdictionPack.objects.update_or_create(jurisdiction=found, valid_from=date(2025, 1, 1), defaults=rules)
    return found


def a_buyer(rp: str = "1000", **fields: Any) -> Player:
    """A player with reward points, in a market that allows bonuses."""
    values = {"birth_date": date(1990, 1, 1), **fields}
    if "jurisdiction" not in values:
        values["jurisdiction"] = market()
    player = PlayerFactory(**values)
    if rp != "0":
        points(player.pk, rp, unit="RP")
    return player


def goods(code: str = "mug", price: int = 10_000, **fields: Any) -> CatalogueItem:
    return CatalogueItem.objects.create(code=code, name=code.title(), kind="goods", price=price, **fields)


def tickets(code: str = "raffle", price: int = 1_000, count: int = 5, **fields: Any) -> CatalogueItem:
    return CatalogueItem.objects.create(code=code, name=code.title(), kind="tickets", price=price, tickets=count, **fields)


def bonus(
    code: str = "five-euro", price: int = 50_000, amount: str = "5", *, terms: dict[str, Any] | None = None, **fields: Any
) -> CatalogueItem:
    template = a_template(**{"multiple": Decimal(10), **(terms or {})})
    values = {"bonus_currency": "EUR", **fields}
    return CatalogueItem.objects.create(
        code=code, name=code.title(), kind="bonus", price=price, bonus_template=template, bonus_amount=Decimal(amount), **values
    )


def buy(player: Player, item: CatalogueItem, quantity: int = 1, *, ref: str = "", at: datetime = NOW, **fields: Any) -> Redemption:
    source = Source("test.shop", ref or f"{player.pk}-{item.pk}-{Redemption.objects.count()}")
    return services.redeem(player_id=player.pk, item_code=item.code, quantity=quantity, source=source, at=at, **fields)
