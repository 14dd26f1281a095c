"""What happened to a player, from every app, in one line of time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import NoReverseMatch, reverse

from fraud.models import ReviewFlag
from loyalty_site.common.admin.display import amount
from loyalty_site.common.models import AuditEvent
from players.models import Player
from players.selectors import player_timeline
from rewards.models import DecisionStatus, RewardDecision

DECISION_TONES: dict[str, str] = {
    DecisionStatus.ISSUED: "good",
    DecisionStatus.APPROVED: "info",
    DecisionStatus.AUTO_APPROVED: "info",
    DecisionStatus.PENDING: "warn",
    DecisionStatus.REFUSED: "",
    DecisionStatus.REJECTED: "bad",
    DecisionStatus.REVOKED: "bad",
    DecisionStatus.ISSUE_FAILED: "bad",
}


@dataclass(frozen=True)
class Line:
    """One line of the merged timeline."""

    at: datetime
    kind: str
    title: str
    text: str = ""
    tone: str = ""
    link: str = ""


def admin_link(name: str, pk: int) -> str:
    """Address of a record's page; empty when its admin is not installed."""
    try:
        return reverse(f"admin:{name}_change", args=[pk])
    except NoReverseMatch:
        return ""


def merged_timeline(
    player: Player,
    *,
    limit: int,
    activity: bool,
    exclusions: bool,
    rewards: Iterable[dict[str, Any]],
    reviews: Iterable[ReviewFlag],
    audit: Iterable[AuditEvent],
    bonuses: Iterable[Line] = (),
) -> list[Line]:
    """Newest first, at most twice `limit` lines. The caller passes only what its reader may see; `rewards` are those of the page."""
    lines = [*_reward_lines(rewards), *_review_lines(reviews), *_audit_lines(audit), *bonuses]
    if activity:
        lines += _activity_lines(player, limit, exclusions=exclusions)
    lines.sort(key=lambda line: line.at, reverse=True)
    return lines[: limit * 2]


def _activity_lines(player: Player, limit: int, *, exclusions: bool) -> Iterator[Line]:
    code = player.currency
    for item in player_timeline(player.pk, limit):
        details = item.details
        text, tone = "", ""
        if item.kind == "PAYMENT":
            text = " · ".join(filter(None, [amount(details["amount"], code), details.get("method", "")]))
            failed = details.get("status") == "FAILED" or details.get("kind") == "CHARGEBACK"
            tone = "bad" if failed else "good" if details.get("kind") == "DEPOSIT" else ""
        elif item.kind == "PLAY":
            text = f"stake {amount(details['stake'], code)}, net {amount(details['net'], code, sign=True)}: {_names(details['games'])}"
        elif item.kind == "TIER":
            text = details.get("reason") or ""
            tone = "warn"
        elif item.kind == "EXCLUSION":
            if not exclusions:
                continue
            text, tone = details.get("reason") or "", "bad"
        elif item.kind == "SEGMENT":
            tone = "warn"
        yield Line(item.at, item.kind.title(), item.title, text, tone)


def _reward_lines(rewards: Iterable[dict[str, Any]]) -> Iterator[Line]:
    for reward in rewards:
        decision: RewardDecision = reward["row"]
        tone = DECISION_TONES.get(decision.status, "")
        at = decision.issued_at or decision.decided_at or decision.proposed_at
        yield Line(
            at,
            "Reward",
            f"{reward['title']}: {decision.get_status_display().lower()}",
            f"{reward['amount']} {reward['why']}".strip(),
            tone,
            reward["link"],
        )


def _review_lines(reviews: Iterable[ReviewFlag]) -> Iterator[Line]:
    for flag in reviews:
        yield Line(flag.flagged_at, "Review", f"Flagged for review by {flag.flagged_by or 'the system'}", flag.reason, "warn")
        if flag.closed_at:
            yield Line(flag.closed_at, "Review", f"Review closed: {flag.get_status_display().lower()}", flag.outcome_note)


def _audit_lines(audit: Iterable[AuditEvent]) -> Iterator[Line]:
    for event in audit:
        if event.action == "players.exclusion_recorded":
            continue  # stands in the timeline as the exclusion itself
        name = event.action.partition(".")[2].replace("_", " ").capitalize()
        title, link = f"{name} by {event.actor or 'the system'}", admin_link("common_auditevent", event.pk)
        yield Line(event.occurred_at, "Staff", title, event.reason, link=link)


def _names(games: list[str]) -> str:
    return ", ".join(games[:12]) + (f" and {len(games) - 12} more" if len(games) > 12 else "")
