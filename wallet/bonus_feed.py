"""Bonuses from the operator's API: rows in the shape of BONUS events, or close to it, each taking effect once.

Other names of a field are accepted as listed in `_NAMES`; amounts are cleaned as in an import ('200.00200.00' is 400.00). A row that does
not say its currency is in the player's, and one that says another is refused, as in an import. What else a BONUS event must say is never
guessed: such a row is refused with the field named.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import DataError

from loyalty_site.common.errors import error_text
from players.feeds.sinks import Refused
from players.feeds.spool import flatten
from players.imports.amounts import AmountFormat
from players.imports.mapping import normalise
from players.imports.problems import other_currency
from players.models import Player
from wallet.activity import contract
from wallet.activity.platform_bonuses import receive_bonuses
from wallet.api.activity_shapes import BonusEventSerializer
from wallet.errors import WalletError

_NAMES: Mapping[str, tuple[str, ...]] = {
    "user_bonus_id": ("id", "player_bonus_id", "grant_id"),
    "user_id": ("player_id", "player_external_id", "customer_id"),
    "amount": ("bonus_amount", "value"),
    "required_wagering_amount": ("wagering_requirement", "wagering_required", "rollover"),
    "bonus_turned_real": ("turned_real", "converted_amount"),
    "timestamp": ("created_at", "date", "updated_at", "time"),
    "type": ("bonus_type",),
    "bonus_code": ("code",),
    "product": (),
    "status": ("state",),
    "currency": ("currency_code", "ccy", "amount_currency", "bonus_currency"),
    "origin": ("source",),
}
_AMOUNTS = ("amount", "required_wagering_amount", "bonus_turned_real", "locked_amount")
_UNSAID = {"origin": "api", "exchange_rate": "1"}  # neither changes what the bonus is worth to the player


def take_bonuses(page: list[dict[str, Any]], at: datetime) -> list[Refused]:
    """Take the rows of a page in their order. One that is refused is named and the rest goes on; told again, nothing changes."""
    refused = []
    rows = [_named(row) for row in page]
    known = Player.objects.filter(external_id__in={row.get("user_id", "") for row in rows})
    players = {player.external_id: player for player in known.only("id", "external_id", "currency")}
    for position, row in enumerate(rows):
        problem = _take(row, players, at)
        if problem is not None:
            refused.append(Refused(position, *problem))
    return refused


def _named(row: dict[str, Any]) -> dict[str, str]:
    cells = {normalise(name): value for name, value in flatten(row).items()}
    for name, others in _NAMES.items():
        if not cells.get(name):
            found = next((cells[other] for other in others if cells.get(other)), None)
            if found is not None:
                cells[name] = found
    return {name: value for name, value in cells.items() if value != ""}


def _take(row: dict[str, str], players: dict[str, Player], at: datetime) -> tuple[str, str, str] | None:
    player = players.get(row.get("user_id", ""))
    if player is None:
        return "user_id", "there is no such player", "Let the players be fetched first, or correct the id at the source."
    event: dict[str, Any] = {**_UNSAID, "currency": player.currency, **row}
    event["currency"] = event["currency"].strip().upper()
    for name in _AMOUNTS:
        if name in event:
            amount = AmountFormat().parse(event[name].strip())
            if not isinstance(amount, Decimal):
                return name, amount.reason, amount.remedy
            event[name] = amount
    body = BonusEventSerializer(data=event)
    if not body.is_valid():
        name, problems = next(iter(body.errors.items()))
        return str(name), str(problems[0]), "Correct it at the source, or ask for the field to be sent."
    if body.validated_data["currency"] != player.currency:
        problem = other_currency(body.validated_data["currency"], player.currency)
        return "currency", problem.reason, problem.remedy
    try:
        (answer,) = receive_bonuses([contract.bonus_report(body.validated_data, player_id=player.pk)], at=at)
    except WalletError as error:
        return "", str(error), "Compare the bonus here with the one at the source."
    except DataError as error:
        return "", f"the database cannot hold it ({error_text(error, handles_rows=True)})", "Correct it at the source."
    if isinstance(answer, WalletError):
        return "", str(answer), "Compare the bonus here with the one at the source."
    return None
