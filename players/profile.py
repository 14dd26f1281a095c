"""Creating and changing one player by hand or over the API, with the change on record."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from loyalty_site.common import audit
from loyalty_site.common.models import ApiClient
from players import thresholds
from players.models import Jurisdiction, Player

PERSONAL_FIELDS = frozenset({"username", "first_name", "last_name", "email", "birth_date"})
EDITABLE_FIELDS = frozenset(
    {
        *PERSONAL_FIELDS,
        "country",
        "jurisdiction",
        "currency",
        "language",
        "registered_at",
        "acquisition_channel",
        "status",
        "attributes",
    }
)


class PlayerExists(ValueError):
    """A player with this id is already there."""


class CurrencyFixed(ValueError):
    """The currency of a player with activity or money cannot change: the amounts on record are in it."""


def create_player(
    external_id: str, fields: dict[str, Any], *, at: datetime, actor: User | None = None, api_client: ApiClient | None = None
) -> Player:
    """Create one player, in the base currency unless `fields` names another. Raises PlayerExists when the id is taken."""
    values = {"jurisdiction": market_of(fields.get("country", "")), "currency": thresholds.base_currency(), **fields}
    try:
        with transaction.atomic():
            player = Player.objects.create(external_id=external_id, created_at=at, updated_at=at, **values)
            audit.record("players.player_created", player, at=at, actor=actor, api_client=api_client, after=_auditable(values))
    except IntegrityError as error:
        if "external_id" in str(error):
            raise PlayerExists(f"player {external_id} exists already") from error
        raise
    return player


def update_player(
    player_id: int,
    changes: dict[str, Any],
    *,
    at: datetime,
    actor: User | None = None,
    api_client: ApiClient | None = None,
    reason: str = "",
) -> Player:
    """Change some fields of a player under its row lock; returns it as stored. Fields that stay the same are not recorded.

    Raises CurrencyFixed when the currency would change under existing activity.
    """
    if unknown := changes.keys() - EDITABLE_FIELDS:
        raise ValueError(f"not editable: {', '.join(sorted(unknown))}")
    with transaction.atomic():
        player = Player.objects.select_for_update(of=("self",)).get(pk=player_id)
        changed = {name: value for name, value in changes.items() if getattr(player, name) != value}
        if not changed:
            return player
        if "currency" in changed and currency_is_fixed(player):
            raise CurrencyFixed(f"player {player.external_id} has activity in {player.currency}; its currency cannot change")
        before = _auditable({name: getattr(player, name) for name in changed})
        for name, value in changed.items():
            setattr(player, name, value)
        player.updated_at = at
        player.save(update_fields=[*changed, "updated_at"])
        audit.record(
            "players.player_changed",
            player,
            at=at,
            actor=actor,
            api_client=api_client,
            before=before,
            after=_auditable(changed),
            reason=reason,
        )
    return player


def currency_is_fixed(player: Player) -> bool:
    """Whether amounts on record are in the player's currency. One known from activity alone has an assumed currency, which the first
    profile may correct; afterwards activity fixes it."""
    has_profile = bool(player.country) or player.registered_at is not None
    return has_profile and (player.days.exists() or player.totals.exists())


def deactivate_player(
    player_id: int, *, at: datetime, actor: User | None = None, api_client: ApiClient | None = None, reason: str = ""
) -> Player:
    """Close the account. Its history and ledger stay; it gets no reward any more."""
    return update_player(player_id, {"status": Player.Status.CLOSED}, at=at, actor=actor, api_client=api_client, reason=reason)


def market_of(country: str) -> Jurisdiction | None:
    """The market of a country: the one named like it first, then by code."""
    if not country:
        return None
    markets = Jurisdiction.objects.filter(countries__contains=[country]).order_by("code")
    return min(markets, key=lambda market: (market.code != country, market.code), default=None)


def _auditable(values: dict[str, Any]) -> dict[str, Any]:
    """Plain JSON. That personal data changed is on record; the data itself is not copied into the audit log, which nobody can erase.

    The operator's own attributes may hold anything, so only their names are kept.
    """
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if name in PERSONAL_FIELDS:
            plain[name] = "(changed)" if value else ""
        elif name == "attributes":
            plain[name] = sorted(value)
        elif isinstance(value, (date, datetime)):
            plain[name] = value.isoformat()
        elif isinstance(value, Decimal):
            plain[name] = str(value)
        elif isinstance(value, Jurisdiction):
            plain[name] = value.code
        else:
            plain[name] = value
    return plain
