"""What the risk pages share: badges, bars, the score's parts in words."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from fraud.evidence import describe
from fraud.models import AbuseProfile, AbuseSignal, Band, ReviewFlag, SignalKind
from loyalty_site.common.admin.display import badge

BAND_TONES: dict[str, str] = {Band.NONE: "", Band.REDUCED: "info", Band.WAGERING: "warn", Band.BLOCKED: "bad"}
BAND_EFFECTS: dict[str, str] = {
    Band.NONE: "Rewards are not touched.",
    Band.REDUCED: "Rewards are reduced.",
    Band.WAGERING: "New bonuses carry more wagering.",
    Band.BLOCKED: "No bonus is granted.",
}
STATUS_TONES: dict[str, str] = {
    ReviewFlag.Status.OPEN: "warn",
    ReviewFlag.Status.CONFIRMED: "bad",
    ReviewFlag.Status.FALSE_POSITIVE: "good",
    ReviewFlag.Status.INCONCLUSIVE: "",
}
SHORT_KINDS: dict[str, str] = {
    SignalKind.BONUS_ONLY: "bonus only",
    SignalKind.IMMEDIATE_WITHDRAWAL: "immediate withdrawal",
    SignalKind.BET_MANIPULATION: "bet manipulation",
    SignalKind.MULTI_ACCOUNT: "multi-account",
    SignalKind.WIN_RATE: "win rate",
}


def staff(request: HttpRequest) -> User:
    """The person behind the request; admin pages let nobody else through."""
    if not isinstance(request.user, User):
        raise PermissionError("a member of staff must be logged in")
    return request.user


def band_badge(band: str) -> SafeString:
    return badge(Band(band).label, BAND_TONES.get(band, ""), title=BAND_EFFECTS.get(band, ""))


def status_badge(flag: ReviewFlag) -> SafeString:
    return badge(flag.get_status_display(), STATUS_TONES.get(flag.status, ""))


def kind_label(kind: str) -> str:
    return str(SignalKind(kind).label) if kind in SignalKind.values else kind


def bar(percent: float, text: str, tone: str = "warn") -> SafeString:
    """A bar of 0 to 100 with its figure."""
    return format_html(
        '<span class="lb-progress"><span class="lb-bar"><span class="lb-fill-{}" style="width:{}%"></span></span><small>{}</small></span>',
        tone,
        max(0, min(100, round(percent))),
        text,
    )


def score_bar(profile: AbuseProfile) -> SafeString:
    tone = {"BLOCKED": "bad", "NONE": "good"}.get(profile.band, "warn")
    return bar(float(profile.score), f"{profile.score:.1f}", tone)


def reasons(profile: AbuseProfile, most: int = 3) -> SafeString:
    """The largest parts of the score: "multi-account 41.2"."""
    parts = profile.contributions[:most]
    return format_html(
        '<span class="lb-reasons">{}</span>',
        format_html_join(" ", "{}", ((badge(f"{SHORT_KINDS.get(one['kind'], one['kind'])} {one['points']:.1f}"),) for one in parts)),
    )


def signal_card(signal: AbuseSignal, currency: str) -> dict[str, Any]:
    """Context of templates/admin/fraud/signal_card.html."""
    return {
        "signal": signal,
        "kind": kind_label(signal.kind),
        "strength": bar(100 * float(signal.strength), f"{100 * float(signal.strength):.0f} %"),
        "about": describe(signal.kind, signal.evidence, currency),
    }
