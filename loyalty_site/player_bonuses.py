"""The bonuses of one player on the player's page: open, queued, offered and lately closed, with what staff may do at once."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.urls import reverse
from django.utils.safestring import SafeString

from loyalty_site.common.admin.display import amount
from loyalty_site.common.money import from_minor
from loyalty_site.player_timeline import Line, admin_link
from players.models import Player
from wallet.admin.grant import acts_for_player
from wallet.admin.grant_page import status_badge, wagering_bar
from wallet.grants.queue import ACT_PERMISSION
from wallet.models import OPEN_STATUSES, BonusGrant, GrantEvent, GrantStatus

_LIVE = 25
_CLOSED = 5
_EVENT_GRANTS = 25
# name of the action on the bonus's page -> (label, icon), in the order of the buttons
_ACTIONS: dict[str, tuple[str, str]] = {
    "claim": ("Claim", "redeem"),
    "resume": ("Resume", "play_arrow"),
    "pause": ("Pause", "pause"),
    "move": ("Move in queue", "swap_vert"),
    "surrender": ("Surrender", "undo"),
}
_TONES: dict[str, str] = {
    GrantStatus.COMPLETED: "good",
    GrantStatus.PAUSED: "warn",
    GrantStatus.FORFEITED: "bad",
    GrantStatus.VOIDED: "bad",
    GrantStatus.REVERSED: "bad",
}


@dataclass(frozen=True)
class Action:
    """A button that opens the dialog of an action."""

    label: str
    icon: str
    url: str


@dataclass
class Bonus:
    """One bonus as a card."""

    grant: BonusGrant
    name: str
    status: SafeString
    amount: str
    left: str
    bar: SafeString
    wagering: str
    ends: str
    link: str
    ends_soon: bool
    actions: list[Action] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    title: str
    bonuses: list[Bonus]


def bonus_groups(player: Player, user: AbstractBaseUser | AnonymousUser, now: datetime) -> list[Group]:
    """The player's bonuses by state; empty groups are left out."""
    grants = BonusGrant.objects.filter(player=player).select_related("template_version__template", "player")
    live = list(grants.filter(closed_at__isnull=True).order_by("product", "queue_order", "expires_at", "id")[:_LIVE])
    closed = list(grants.filter(closed_at__isnull=False).order_by("-id")[:_CLOSED])
    may_act = user.has_perm(ACT_PERMISSION)  # type: ignore[union-attr]
    groups = [
        Group("Open", [_bonus(one, now, may_act) for one in live if one.status in OPEN_STATUSES]),
        Group("Queued", [_bonus(one, now, may_act) for one in live if one.status == GrantStatus.QUEUED]),
        Group("Offered", [_bonus(one, now, may_act) for one in live if one.status == GrantStatus.OFFERED]),
        Group("Last closed", [_bonus(one, now, may_act=False) for one in closed]),
    ]
    return [group for group in groups if group.bonuses]


def _bonus(grant: BonusGrant, now: datetime, may_act: bool) -> Bonus:
    code = grant.currency
    possible = acts_for_player(grant, now) if may_act else set()
    return Bonus(
        grant=grant,
        name=grant.template_version.template.name if grant.template_version else f"{grant.get_product_display()} bonus",
        status=status_badge(grant.status),
        amount=amount(from_minor(grant.principal, code), code),
        left=amount(from_minor(grant.balance + grant.locked, code), code),
        bar=wagering_bar(grant),
        wagering=_wagering(grant),
        ends=_ends(grant, now),
        link=admin_link("wallet_bonusgrant", grant.pk),
        ends_soon=grant.closed_at is None and grant.expires_at < now + timedelta(days=1),
        actions=[
            Action(label, icon, reverse(f"admin:wallet_bonusgrant_{name}", args=[grant.pk]))
            for name, (label, icon) in _ACTIONS.items()
            if name in possible
        ],
    )


def _wagering(grant: BonusGrant) -> str:
    if not grant.wagering_required:
        return "nothing to wager"
    required = amount(grant.wagering_required, grant.currency)
    return f"{grant.wagered:,.2f} of {required} wagered" if grant.activated_at else f"{required} to wager"


def _ends(grant: BonusGrant, now: datetime) -> str:
    if grant.closed_at:
        return f"closed {grant.closed_at:%Y-%m-%d %H:%M}"
    if grant.expires_at <= now:
        return f"its time was up {grant.expires_at:%Y-%m-%d %H:%M}"
    return f"ends {grant.expires_at:%Y-%m-%d %H:%M}"


def bonus_lines(player: Player, limit: int) -> list[Line]:
    """Status changes of the player's latest bonuses, for the timeline."""
    latest: dict[int, Any] = {
        grant.pk: grant
        for grant in BonusGrant.objects.filter(player=player).select_related("template_version__template").order_by("-id")[:_EVENT_GRANTS]
    }
    events = GrantEvent.objects.filter(grant_id__in=list(latest)).select_related("actor").order_by("-id")[:limit]
    return [
        Line(
            event.occurred_at,
            "Bonus",
            f"{_name(latest[event.grant_id])}: {event.get_to_status_display().lower()}",
            f"{event.cause}, by {event.actor}" if event.actor else event.cause,
            _TONES.get(event.to_status, ""),
            admin_link("wallet_bonusgrant", event.grant_id),
        )
        for event in events
    ]


def _name(grant: BonusGrant) -> str:
    what = grant.template_version.template.name if grant.template_version else "Bonus"
    return f"{what} of {amount(from_minor(grant.principal, grant.currency), grant.currency)}"
