"""The event contract of the field: CASINO and BONUS events as other CRM platforms send and take them, read and written.

A CASINO event is one bet or win; its three parts add up to the amount. `status` Rollback takes the bet or win of the same activity_id
back. A BONUS event tells a change of a bonus.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from loyalty_site.common.money import MoneyError, exponent, from_minor, to_minor
from wallet.bonus.values import Activity, Kind
from wallet.errors import InvalidPosting
from wallet.models import BonusGrant, GrantEvent, GrantStatus, Product
from wallet.values import check_account_kind

CASINO_STATUSES = ("Approved", "Rollback")
CASINO_TYPES = ("Bet", "Win")
BONUS_STATUSES = (
    "Pending", "Created", "Ongoing", "Completed", "AutoCompleted", "Forfeited", "Expired", "Lost", "Reversed",
)  # fmt: skip
BONUS_TYPES = (
    "NoDeposit", "WelcomeBonus", "CashbackBonus", "ReloadBonus", "WagerFree", "FreeSpins", "RiskFreeBet", "Undefined",
)  # fmt: skip
PRODUCTS = {"Casino": Product.CASINO, "Sportsbook": Product.SPORTS, "Lotto": Product.LOTTO, "Poker": Product.POKER}
_PRODUCT_NAMES = {str(product): name for name, product in PRODUCTS.items()}

# a rollback is an event of its own and needs an id of its own; bet and win may share theirs
_ROLLBACK_OF = {"Bet": "#bet", "Win": "#win"}
LONGEST_ACTIVITY_ID = 80 - len("#bet")

_STATUS_NAMES = {
    GrantStatus.OFFERED: "Pending",
    GrantStatus.QUEUED: "Pending",
    GrantStatus.ACTIVE: "Created",
    GrantStatus.WAGERING: "Ongoing",
    GrantStatus.PAUSED: "Ongoing",
    GrantStatus.COMPLETED: "Completed",
    GrantStatus.EXPIRED_UNCLAIMED: "Expired",
    GrantStatus.EXPIRED: "Expired",
    GrantStatus.LOST: "Lost",
    GrantStatus.FORFEITED: "Forfeited",
    GrantStatus.VOIDED: "Forfeited",
    GrantStatus.REVERSED: "Reversed",
}


@dataclass(frozen=True, slots=True)
class BonusReport:
    """A change of a bonus that the operator's own engine runs. Money in minor units; the requirement in units of the currency."""

    user_bonus_id: str
    status: str
    player_id: int
    currency: str
    product: str
    bonus_type: str
    bonus_code: str
    origin: str
    amount: int
    required: Decimal
    at: datetime
    turned_real: int = 0  # 0: not said


def casino_activity(event: dict[str, Any], *, player_id: int, received_at: datetime) -> Activity:
    """A CASINO event (field names of the contract, Decimals and aware instants) as an activity. Raises InvalidPosting naming the field."""
    currency = event["currency"]
    check_account_kind("BONUS", currency)
    amount, real, bonus, locked = (
        _minor(event, name, currency) for name in ("amount", "wager_amount", "bonus_wager_amount", "locked_wager_amount")
    )
    if amount != real + bonus + locked:
        raise InvalidPosting(
            f"amount: {from_minor(amount, currency)} is not the sum of wager_amount {from_minor(real, currency)}, bonus_wager_amount "
            f"{from_minor(bonus, currency)} and locked_wager_amount {from_minor(locked, currency)}; correct the parts or the amount"
        )
    if event["status"] not in CASINO_STATUSES:
        raise InvalidPosting(f"status: {event['status']!r} is unknown; use one of {', '.join(CASINO_STATUSES)}")
    if event["type"] not in CASINO_TYPES:
        raise InvalidPosting(f"type: {event['type']!r} is unknown; use one of {', '.join(CASINO_TYPES)}")
    activity_id = event["activity_id"]
    if len(activity_id) > LONGEST_ACTIVITY_ID:
        raise InvalidPosting(f"activity_id: at most {LONGEST_ACTIVITY_ID} characters")
    kind = Kind(event["type"].upper())
    base: dict[str, Any] = {
        "source": event["origin"],
        "player_id": player_id,
        "currency": currency,
        "round_id": event["round_id"] or activity_id,
        "occurred_at": event["timestamp"],
        "received_at": received_at,
        "cash_before": _minor(event, "balance_before", currency, signed=True),
        "game_code": event["game_id"],
        "game_category": event["game_type"],
        "provider": event["vendor_name"] or event["vendor_id"],
    }
    if event["status"] == "Rollback":
        return Activity(
            activity_id=activity_id + _ROLLBACK_OF[event["type"]],
            kind=Kind.ROLLBACK,
            amount=amount,
            takes_back_id=activity_id,
            takes_back_kind=kind,
            **base,
        )
    return Activity(
        activity_id=activity_id,
        kind=kind,
        amount=amount,
        real_part=real,
        bonus_part=bonus,
        locked_part=locked,
        ends_round=event["is_round_end"],
        **base,
    )


def bonus_report(event: dict[str, Any], *, player_id: int) -> BonusReport:
    """A BONUS event as a report. Raises InvalidPosting naming the field."""
    currency = event["currency"]
    check_account_kind("BONUS", currency)
    if event["status"] not in BONUS_STATUSES:
        raise InvalidPosting(f"status: {event['status']!r} is unknown; use one of {', '.join(BONUS_STATUSES)}")
    if event["product"] not in PRODUCTS:
        raise InvalidPosting(f"product: {event['product']!r} is unknown; use one of {', '.join(PRODUCTS)}")
    if event["type"] not in BONUS_TYPES:
        raise InvalidPosting(f"type: {event['type']!r} is unknown; use one of {', '.join(BONUS_TYPES)}")
    return BonusReport(
        user_bonus_id=event["user_bonus_id"],
        status=event["status"],
        player_id=player_id,
        currency=currency,
        product=PRODUCTS[event["product"]],
        bonus_type=event["type"],
        bonus_code=event["bonus_code"],
        origin=event["origin"],
        amount=_minor(event, "amount", currency),
        required=event["required_wagering_amount"],
        at=event["timestamp"],
        turned_real=_minor(event, "bonus_turned_real", currency),
    )


def grant_event_view(event: GrantEvent, *, origin: str = "loyalty", exchange_rate: Decimal = Decimal(1)) -> dict[str, Any]:
    """A change of a grant in the shape of a BONUS event. `exchange_rate`: to the operator's base currency.

    Money that was released or locked is that of the grant as it is now; load the event with `grant__player` and
    `grant__template_version__template`.
    """
    grant: BonusGrant = event.grant
    currency = grant.currency
    automatic = event.to_status == GrantStatus.COMPLETED and grant.wagering_required == 0
    version = grant.template_version
    return {
        "amount": from_minor(grant.principal, currency),
        "bonus_code": version.template.code if version else grant.source_type,
        "bonus_id": str(version.template_id) if version else grant.source_ref,
        "bonus_turned_real": from_minor(grant.released, currency),
        "currency": currency,
        "exchange_rate": exchange_rate,
        "locked_amount": from_minor(grant.locked, currency),
        "origin": origin,
        "product": _PRODUCT_NAMES[grant.product],
        "required_wagering_amount": grant.wagering_required,
        "status": "AutoCompleted" if automatic else _STATUS_NAMES[GrantStatus(event.to_status)],
        "timestamp": event.occurred_at,
        "type": _bonus_type(grant),
        "user_bonus_id": str(grant.pk),
        "user_id": grant.player.external_id,
    }


def _bonus_type(grant: BonusGrant) -> str:
    """What the contract calls it, as far as the terms tell; what they don't tell is not guessed."""
    if grant.terms.get("kind") == "free_spins":
        return "FreeSpins"
    if grant.wagering_required == 0 and grant.terms.get("base") != "spin_winnings":
        return "WagerFree"
    return "Undefined" if grant.deposit else "NoDeposit"


def _minor(event: dict[str, Any], name: str, currency: str, *, signed: bool = False) -> int:
    value = event[name]
    try:
        minor = to_minor(value, currency)
    except MoneyError as error:
        raise InvalidPosting(f"{name}: {error}; send at most {exponent(currency)} decimal places") from error
    if minor < 0 and not signed:
        raise InvalidPosting(f"{name}: must not be negative, not {value}")
    return minor
