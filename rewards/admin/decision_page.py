"""What the page of one decision shows: terms, verdicts with their inputs, what changed, and what happened when."""

from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils.html import format_html
from django.utils.safestring import SafeString

from loyalty_site.common.admin.display import DASH, amount, badge
from rewards.models import DecisionEvent, RewardDecision, Unit
from wallet.admin.parts import link, page_url, player_link
from wallet.models import Entry

STATUS_TONES = {
    "REFUSED": "bad",
    "REJECTED": "bad",
    "ISSUE_FAILED": "bad",
    "REVOKED": "bad",
    "PENDING": "warn",
    "LAPSED": "",
    "AUTO_APPROVED": "info",
    "APPROVED": "info",
    "ISSUED": "good",
}
RESULT_TONES = {"PASS": "good", "REFUSE": "bad", "ADJUST": "warn", "SKIP": ""}
RESULT_WORDS = {"PASS": "passed", "REFUSE": "refused", "ADJUST": "adjusted", "SKIP": "not looked at"}


def status_badge(decision: RewardDecision) -> SafeString:
    return badge(decision.get_status_display(), STATUS_TONES.get(decision.status, ""))


def origin_text(decision: RewardDecision) -> SafeString:
    """The rule, or the person or integrator who asked."""
    if decision.rule is not None:
        return link(decision.rule.name, page_url("rewards_rewardrule", decision.rule_id))
    return format_html("{}: {}", decision.get_source_display(), decision.maker or decision.maker_client or DASH)


def decision_page(decision: RewardDecision, viewer: User, now: datetime) -> dict[str, Any]:
    """Context of a decision's page: the terms, each gate's verdict with its inputs, what changed, and what happened when."""
    waiting = decision.status == "PENDING"
    entry = Entry.objects.filter(source_type="reward", source_ref=str(decision.pk), source_sub="").first()
    version = decision.rule_version
    return {
        "decision": decision,
        "title": f"Reward #{decision.pk}",
        "status_badge": status_badge(decision),
        "player_link": player_link(decision.player),
        "origin": origin_text(decision),
        "version": version,
        "amount_text": amount(decision.amount, decision.money_unit),
        "proposed_text": amount(decision.proposed_amount, decision.money_unit),
        "reduced": decision.amount_minor != decision.proposed_minor,
        "wagering_text": amount(decision.wagering_required, decision.money_unit) if decision.unit == Unit.BONUS else "",
        "max_bet_text": amount(decision.max_bet, decision.money_unit) if decision.max_bet is not None else "",
        "verdicts": [verdict_row(verdict) for verdict in decision.verdicts],
        "refusal": next((one["reason"] for one in reversed(decision.verdicts) if one["name"] == decision.refused_by), ""),
        "facts": sorted(decision.facts.items()),
        "diff": decision.diff,
        "events": [event_row(event) for event in decision.events.select_related("actor", "api_client")],
        "is_waiting": waiting,
        "is_own": waiting and decision.maker_id == viewer.pk,
        "gave_first": waiting and decision.first_approver_id == viewer.pk,
        "approvals": f"{1 if decision.first_approver_id else 0} of {max(1, decision.approvals_needed)}",
        "checked_hours": int((now - decision.checked_at).total_seconds() // 3600) if decision.checked_at else None,
        "entry_url": page_url("wallet_entry", entry.pk) if entry else "",
    }


def verdict_row(verdict: dict[str, Any]) -> dict[str, Any]:
    """One gate's verdict as the page shows it; inputs without a value are left out."""
    inputs = [(name.replace("_", " "), value_text(value)) for name, value in verdict["inputs"].items() if value not in (None, "")]
    return {
        "gate": verdict["name"],
        "version": verdict["version"],
        "badge": badge(RESULT_WORDS[verdict["result"]], RESULT_TONES[verdict["result"]]),
        "reason": verdict["reason"],
        "inputs": inputs if verdict["result"] != "SKIP" else [],
    }


def value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and len(value) > 16 and value[10:11] == "T":
        return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M}"
    return str(value)


_EVENT_TONES = {"ISSUED": "good", "REFUSED": "bad", "REJECTED": "bad", "ISSUE_FAILED": "bad", "REVOKED": "bad", "PENDING": "warn"}
_CAUSES = {
    "gates": "The gates looked at it",
    "first_approval": "First approval",
    "approval": "Approval",
    "rejection": "Rejection",
    "recheck": "Checked again",
    "lapse": "Nobody decided in time",
    "issue": "Issue",
    "revocation": "Revocation",
}


def event_row(event: DecisionEvent) -> dict[str, Any]:
    return {
        "at": event.occurred_at,
        "tone": _EVENT_TONES.get(event.to_status, ""),
        "title": f"{_CAUSES.get(event.cause, event.cause)}: {event.get_to_status_display().lower()}",
        "by": event.actor or event.api_client or "",
        "note": event.note,
        "refused_by": event.detail.get("refused_by", ""),
    }
