"""Shorthands for wallet tests."""

import itertools
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Permission, User
from django.db import connection, transaction

from tests.factories import NOW, UserFactory
from wallet import services
from wallet.models import Account, BonusGrant, BonusTemplate, BonusTemplateVersion, Entry
from wallet.services import PostResult, Source

_numbers = itertools.count(1)

LINE_COLUMNS = (
    "line_no", "player_id", "unit", "currency", "amount_minor", "source_type", "source_ref", "source_sub", "reason",
    "wagering_required", "expires_at", "max_bet_minor", "eligible_games", "template_code", "wagering_multiple",
)  # fmt: skip


def a_source(ref: str = "") -> Source:
    return Source("test", ref or f"n{next(_numbers)}")


def points(player_id: int, amount: str, *, unit: str = "LP", ref: str = "", at: datetime = NOW) -> Entry:
    return services.add_points(player_id=player_id, unit=unit, amount=Decimal(amount), source=a_source(ref), at=at)


def bonus(player_id: int, amount: str = "10.00", required: str = "100", *, ref: str = "", at: datetime = NOW, **terms: Any) -> BonusGrant:
    terms = {"currency": "EUR", "expires_at": at + timedelta(days=7), **terms}
    return services.add_bonus(
        player_id=player_id, amount=Decimal(amount), wagering_required=Decimal(required), source=a_source(ref), at=at, **terms
    )


def bet(
    player_id: int,
    stake: str,
    *,
    ref: str = "",
    at: datetime = NOW,
    game: str = "starburst",
    category: str = "slots",
    currency: str = "EUR",
) -> Any:
    return services.record_wager(
        player_id=player_id,
        stake=Decimal(stake),
        game_code=game,
        game_category=category,
        activity_id=ref or f"bet-{next(_numbers)}",
        at=at,
        currency=currency,
    )


def line(number: int, player_id: int | None, amount_minor: int | None, *, unit: str = "LP", ref: str = "", **fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(LINE_COLUMNS)
    row |= {"line_no": number, "player_id": player_id, "unit": unit, "currency": "", "amount_minor": amount_minor}
    row |= {"source_type": "batch", "source_ref": ref or f"b{next(_numbers)}", "source_sub": "", "reason": "batch"}
    if unit == "BONUS":
        row |= {"currency": "EUR", "wagering_required": Decimal(100), "expires_at": NOW + timedelta(days=7), "eligible_games": "[]"}
    return row | fields


def post_lines(lines: list[dict[str, Any]], *, house: str = "rewards", at: datetime = NOW) -> PostResult:
    """Fill the stage by COPY and post it in one transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        stage = services.create_credit_stage(cursor)
        with cursor.copy(f"COPY {stage} ({', '.join(LINE_COLUMNS)}) FROM STDIN") as copy:
            for row in lines:
                copy.write_row([row[name] for name in LINE_COLUMNS])
        return services.post_credit_stage(cursor, house=house, at=at)


def a_template(code: str = "", **fields: Any) -> BonusTemplate:
    """An active template with one version: bonus money of any amount, 10 times to wager, a week each to claim and to wager."""
    template = BonusTemplate.objects.create(code=code or f"template-{next(_numbers)}", name=code or "a template")
    values = {"number": 1, "products": ["casino"], "multiple": Decimal(10), "created_at": NOW, **fields}
    template.current = BonusTemplateVersion.objects.create(template=template, **values)
    template.save(update_fields=["current"])
    return template


def offer(
    player_id: int, template: BonusTemplate, *, ref: str = "", at: datetime = NOW, currency: str = "EUR", **fields: Any
) -> BonusGrant:
    return services.offer_bonus(player_id=player_id, template=template.code, currency=currency, source=a_source(ref), at=at, **fields)


def statuses(grant: BonusGrant) -> list[tuple[str, str]]:
    """The way of a grant, change by change."""
    return list(grant.events.order_by("id").values_list("from_status", "to_status"))


def balance_of(player_id: int, unit: str = "LP", currency: str = "") -> int:
    """Minor units held; 0 without an account."""
    return Account.objects.filter(player_id=player_id, unit=unit, currency=currency).values_list("balance", flat=True).first() or 0


def staff(*permissions: str, **fields: Any) -> User:
    user = UserFactory(**fields)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="wallet", codename__in=permissions))
    return User.objects.get(pk=user.pk)  # a fresh object: permissions are cached on the instance


def assert_books_balance() -> None:
    report = services.reconcile(0, 2**62)
    assert report.ok, [str(difference) for difference in report.differences]
