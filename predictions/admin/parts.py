"""What the pages of predictions share: figures as bars and badges, reasons in words, who may see a kind, the head of every page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from loyalty_site.common.admin.display import DASH, amount, badge
from predictions import drifting, selectors
from predictions.ml import advice
from predictions.models import Kind, ModelVersion, ScoringRun
from predictions.services import Reason, for_and_against
from wallet.admin.parts import page_url

Viewer = AbstractBaseUser | AnonymousUser

TRAIN, REQUEST, DECIDE = "predictions.train_model", "predictions.request_promotion", "predictions.decide_promotion"
EXPORT, PROFILE = "predictions.export_scores", "predictions.score_profile"
VIEW: dict[str, str] = {
    Kind.CHURN: "predictions.view_churnscore",
    Kind.LTV: "predictions.view_valuescore",
    Kind.FRAUD: "predictions.view_fraudscore",
    Kind.SEGMENTATION: "predictions.view_segmentscore",
    Kind.ENGAGEMENT: "predictions.view_engagementscore",
}
RISK_TONES = {"low": "good", "medium": "warn", "high": "bad"}
VALUE_TONES = {"low_value": "", "medium_value": "info", "high_value": "primary"}
VALUE_WORDS = {"low_value": "low", "medium_value": "medium", "high_value": "high"}
# kinds whose leading figure is bad news when it is high: what raises it is drawn in red
BAD_WHEN_HIGH = frozenset({Kind.CHURN, Kind.FRAUD})
_FOR, _AGAINST = 2, 1  # reasons of a row


def may_see(user: Viewer, kind: str) -> bool:
    return bool(user.has_perm(VIEW[str(kind)]))  # type: ignore[union-attr]


def list_url(kind: str) -> str:
    return page_url(selectors.SCORES[str(kind)]._meta.label_lower.replace(".", "_"))


def named_url(name: str, *args: Any) -> str:
    """Address of a page of the admin; empty when it has none."""
    try:
        return reverse(f"admin:{name}", args=args)
    except NoReverseMatch:
        return ""


def percent(share: float | None, places: int = 0) -> str:
    """A share as "62 %"; below and above what the places can show it says so, because 0 % and 100 % would be certainty."""
    if share is None:
        return DASH
    low = 10.0**-places
    if 0 < share < low / 200:
        return f"< {low:.{places}f} %"
    if 1 - low / 200 < share < 1:
        return f"> {100 - low:.{places}f} %"
    return f"{100 * share:.{places}f} %"


def meter(share: float, label: str, tone: str = "", *, low: float | None = None, high: float | None = None) -> SafeString:
    """A bar of 0 to 1 with its figure; `low` and `high` draw the interval over it."""
    span: SafeString | str = ""
    if low is not None and high is not None and 0 <= low <= high <= 1 and (low > 0 or high < 1):
        span = format_html('<i style="left:{}%;width:{}%"></i>', f"{100 * low:.1f}", f"{100 * (high - low):.1f}")
    return format_html(
        '<span class="pred-meter"><span class="pred-track"><b class="pred-fill-{}" style="width:{}%"></b>{}</span><small>{}</small></span>',
        tone or "plain",
        f"{100 * max(0.0, min(1.0, share)):.1f}",
        span,
        label,
    )


def interval(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


def money(value: Decimal | float | int | None, currency: str) -> str:
    if value is None:
        return DASH
    return amount(Decimal(f"{value:.4f}") if isinstance(value, float) else value, currency)


def right(text: object, note: object = "") -> SafeString:
    below = format_html('<small class="pred-note">{}</small>', note) if note else ""
    return format_html('<div class="lb-num">{}{}</div>', text, below)


def two_lines(first: object, second: object) -> SafeString:
    return format_html('<div class="pred-lines">{}<small class="pred-note">{}</small></div>', first, second)


def player_cell(row: Any) -> SafeString:
    """The player's id, leading to the predictions on the page of the player, with segment and country below."""
    player = row.player
    url = page_url("players_player", player.pk)
    about = " · ".join(filter(None, [player.get_segment_display(), player.country]))
    return format_html(
        '<a class="lb-link" href="{}#predictions">{}</a><small class="pred-note pred-about">{}</small>', url, player.external_id, about
    )


def reason_list(kind: str, row: Any) -> SafeString:
    """The weightiest reasons in words: first those that speak for the label of the score (+), then what speaks against it (-).

    `row`: a score with `unit`, the `MoneyUnit` of its player.
    """
    if not row.reasons:
        return format_html('<span class="pred-note" title="Reasons are stored for the top of the list; {}">{}</span>', *_ON_DEMAND)
    ahead, behind = for_and_against(kind, row.reasons, row.unit, getattr(row, "probability", None))
    told = [*(("+", "for", one) for one in ahead[:_FOR]), *(("-", "against", one) for one in behind[:_AGAINST])]
    rows = ((f"speaks {side} it", tone(kind, one.contribution), sign, side, one.words) for sign, side, one in told)
    return format_html(
        '<ul class="pred-why">{}</ul>',
        format_html_join("", '<li title="{}"><span class="{}">{} {}:</span> {}</li>', rows),
    )


_ON_DEMAND = ("those of every other player are computed on the player's page.", "on the player's page")


def tone(kind: str, contribution: float) -> str:
    """Colour of a contribution: whether it is good or bad news for us."""
    return "lb-bad" if (contribution > 0) == (kind in BAD_WHEN_HIGH) else "lb-good"


def reason_bars(kind: str, reasons: Sequence[Reason], *, most: int = 8, currency: str = "") -> list[dict[str, Any]]:
    """Reasons as bars left and right of a middle line, the longest filling its half; the rest summed into one.

    `currency`: that of the contributions, where they are amounts.
    """
    shown, rest = list(reasons[:most]), list(reasons[most:])
    parts = [(one.words, one.contribution) for one in shown]
    if rest:
        parts.append((f"{len(rest)} other features together", sum(one.contribution for one in rest)))
    longest = max((abs(part) for _, part in parts), default=0.0)
    return [
        {
            "words": words,
            "contribution": _signed(part, currency),
            "is_up": part > 0,
            "is_amount": bool(currency),
            "width": f"{50 * abs(part) / longest if longest else 0:.1f}",
            "tone": tone(kind, part),
        }
        for words, part in parts
    ]


def _signed(part: float, currency: str) -> str:
    return amount(Decimal(f"{part:.4f}"), currency, sign=True) if currency else f"{part:+,.2f}"


def feature_number(value: float | None, unit: str) -> str:
    """A feature's value as staff read it."""
    if value is None:
        return "unknown"
    if unit == "share":
        return percent(value)
    number = f"{value:,.0f}" if value == int(value) else f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"
    return number if unit in ("count", "ratio") else f"{number} {unit}"


@dataclass(frozen=True)
class Head:
    """What stands above every page of a kind."""

    kind: str
    run: ScoringRun | None
    version: ModelVersion | None
    withheld: str | None
    stale_since: datetime | None
    drift: dict[str, Any] | None
    drift_words: str
    drift_remedy: str
    kinds: list[dict[str, Any]]


def head(kind: str, viewer: Viewer, *, url: Any = list_url) -> Head:
    """The run, the version that scored it, why nothing is shown, and the way to the other kinds the person may see."""
    run = selectors.current_run()
    number = run.versions.get(str(kind)) if run else None
    drift = drifting.found(kind, run)
    version = ModelVersion.objects.filter(pk=number).first() if number else None
    return Head(
        kind=str(kind),
        run=run,
        version=version,
        withheld=selectors.withheld_reason(kind, run),
        stale_since=selectors.stale_since(run),
        drift=drift,
        drift_words=drifting.in_words(drift),
        drift_remedy=drifting.remedy(version) if version and drifting.moved(drift) else "",
        kinds=[{"label": Kind(one).label, "url": url(one), "is_chosen": str(one) == str(kind)} for one in VIEW if may_see(viewer, one)],
    )


def cluster_names(version: ModelVersion | None) -> dict[int, dict[str, Any]]:
    """Number of a cluster to its characteristics, as they were found at training."""
    found = (version.curves.get("characteristics") or []) if version else []
    return dict(enumerate(found))


def cluster_name(names: Mapping[int, Mapping[str, Any]], number: int) -> str:
    return str(names[number]["name"]) if number in names else f"Cluster {number}"


def risk_badge(level: str) -> SafeString:
    return badge(level, RISK_TONES[level])


def fraud_type(kind: str) -> str:
    return advice.fraud_type_word(kind) or "no signal"
