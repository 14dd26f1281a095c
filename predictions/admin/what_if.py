"""What if: a real player's numbers changed, or somebody described from nothing, scored at once by the models of the run that is shown.

Nothing is stored and nothing is offered to anybody; the page only asks `predictions.services`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from loyalty_site.common.admin.actions import StaffPage
from loyalty_site.common.clock import utc_now
from players.models import Player
from predictions import services
from predictions.bounds import advice_bounds
from predictions.ml import advice
from predictions.ml.features import BY_NAME, FEATURES, GROUPS, Feature
from predictions.models import Kind, ModelVersion, ScoringRun
from predictions.services import InvalidProfile, Scored, Unavailable, WhatIf
from wallet.admin.funnel import player_currencies
from wallet.admin.parts import page_url

from . import drawing
from .described import modes
from .parts import PROFILE, Viewer, feature_number, may_see, money, named_url, percent, reason_bars, risk_badge

KINDS = (Kind.CHURN, Kind.LTV, Kind.ENGAGEMENT)
# what people change first; the others are one click away
FIRST = (
    *("days_since_last_activity", "sessions_7d", "sessions_30d", "active_days_30d"),
    *("days_since_last_deposit", "deposit_count_30d", "deposits_30d", "deposit_count_90d", "deposits_90d"),
    *("days_since_last_play", "stake_30d", "stake_90d", "game_variety_90d"),
    *("ngr_90d", "bonus_share_90d", "tenure_days"),
)
GROUP_WORDS = {
    "logins": "Visits",
    "deposits": "Deposits",
    "gameplay": "Play",
    "value": "Value",
    "bonus": "Bonuses",
    "account": "Account",
    "risk": "Risk",
}
_UNITS = {"share": "0 to 1", "minutes": "minutes", "weeks": "weeks"}  # of the others the label says it
_FIELD, _WAS = "f_", "was_"
# without one number of each, most of what a model looks at would be unknown, and its answer that of a stranger
NEEDED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("days since registration", ("tenure_days",)),
    ("days since last activity", ("days_since_last_activity",)),
    ("visits: sessions or active days in any window",
     ("sessions_7d", "sessions_14d", "sessions_30d", "sessions_90d", "active_days_7d", "active_days_30d", "active_days_90d")),
    ("deposits: their number or their money in any window, 0 for none",
     tuple(f"{what}_{window}" for what in ("deposit_count", "deposits") for window in ("30d", "90d", "total"))),
    ("staked money in any window, 0 for none", ("stake_7d", "stake_30d", "stake_90d")),
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """Whom the page is about: a player with figures, or nobody (`player` None)."""

    player: Player | None
    currency: str
    unit: float
    figures: Mapping[str, float | None]


class WhatIfPage(StaffPage):
    title = "What if"
    template_name = "predictions/what_if.html"
    permissions = (PROFILE, "predictions.view_churnscore", "predictions.view_valuescore")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        asked = self.request.GET.get("player", "").strip()[:64].replace("\0", "")
        currency = self.request.GET.get("currency", "")
        context: dict[str, Any] = {
            "asked": asked,
            "error": "",
            "currencies": player_currencies(),
            "answer_url": named_url("predictions_what_if_answer"),
            "is_described": "described" in self.request.GET,
            "subject": None,
            "modes": modes(self.request.user, "predictions_what_if"),
            "needed": [words for words, _ in NEEDED],
            "versions": shown_versions(kinds_for(self.request.user)),
        }
        try:
            subject = self._subject(asked, currency, context)
        except Unavailable as error:
            context["error"] = error.reason
            subject = None
        if subject is not None:
            context |= {
                "subject": subject,
                "groups": field_groups(subject, first=True),
                "further": field_groups(subject, first=False),
                "player_url": page_url(subject.player, subject.player.pk) if subject.player else "",
            }
        return super().get_context_data(**kwargs, **context)

    def _subject(self, asked: str, currency: str, context: dict[str, Any]) -> Subject | None:
        if asked:
            player = Player.objects.filter(external_id=asked).first()
            if player is None:
                context["error"] = f"No player has the id {asked}. Copy it from the player's page."
                return None
            return player_subject(player, self.request.user)
        if context["is_described"]:
            code = currency if currency in context["currencies"] else context["currencies"][0]
            return Subject(None, code, 1.0, {})
        return None


class WhatIfAnswer(StaffPage):
    """The scores for the figures in the form, as a piece of the page. Answers to a POST, so that no figure stands in an address."""

    permissions = WhatIfPage.permissions
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        context: dict[str, Any] = {}
        try:
            context = self._answer(request)
        except InvalidProfile as error:
            context["errors"] = [(field_label(name), message) for name, message in error.errors.items()]
            context["page_data"] = {"errors": {f"{_FIELD}{name}": message for name, message in error.errors.items()}, "follows": {}}
        except Unavailable as error:
            context["unavailable"] = error.reason
        except Player.DoesNotExist:
            context["unavailable"] = "This player does not exist any more."
        return TemplateResponse(request, "predictions/what_if_answer.html", context)

    def _answer(self, request: HttpRequest) -> dict[str, Any]:
        number = request.POST.get("player", "")
        changes = read_changes(request.POST)
        kinds = kinds_for(request.user)
        if number.isascii() and number.isdigit() and len(number) < 19:
            result = services.what_if(int(number), changes, as_of_run(), kinds)
        else:
            if not changes:
                return {"waiting": True, "needed": needed(changes)}
            if lacking := needed(changes):
                return {"needed": lacking}
            result = services.what_if(None, {**changes, "currency": request.POST.get("currency", "")[:3]}, as_of_run(), kinds)
        return answer(result, changes)


def needed(changes: Mapping[str, Any]) -> list[str]:
    """What is still to be told of somebody described before anything sensible can be said."""
    return [words for words, names in NEEDED if all(changes.get(name) is None for name in names)]


def as_of_run() -> Any:
    """The instant of the current run, so that an unchanged player scores as the lists show; without a run, now."""
    # nothing else of the run: its summary takes longer to read than a player to score
    return ScoringRun.objects.filter(is_current=True).values_list("as_of", flat=True).first() or utc_now()


def shown_versions(kinds: Sequence[str]) -> list[str]:
    """The versions that answer: those of the run that is shown, or before the first run those in use."""
    found = ScoringRun.objects.filter(is_current=True).values_list("versions", flat=True).first()
    if found is None:
        versions = ModelVersion.objects.filter(kind__in=kinds, status="CHAMPION")
    else:
        versions = ModelVersion.objects.filter(pk__in=[found[kind] for kind in kinds if kind in found])
    return [str(version) for version in versions.order_by("kind")]


def kinds_for(viewer: Viewer) -> list[str]:
    return [str(kind) for kind in KINDS if may_see(viewer, kind)]


def player_subject(player: Player, viewer: Viewer) -> Subject:
    """A player's figures as the models see them, amounts in the player's currency. Raises Unavailable."""
    scored = services.score_player(player.pk, as_of_run(), kinds_for(viewer))
    unit = scored.currency_unit or 1.0
    figures = {name: value * unit if value is not None and BY_NAME[name].is_money else value for name, value in scored.features.items()}
    return Subject(player, scored.currency, unit, figures)


def field_groups(subject: Subject, *, first: bool) -> list[dict[str, Any]]:
    """The form's fields by group of features, those that people change first or all others."""
    groups, single = [], []
    for group in GROUPS:
        fields = [field_of(one, subject) for one in FEATURES if one.group == group and (one.name in FIRST) == first]
        if len(fields) > 1:
            groups.append({"name": GROUP_WORDS[group], "fields": fields})
        single += fields if len(fields) == 1 else []
    return [*groups, {"name": "Others", "fields": single}] if single else groups


def field_of(feature: Feature, subject: Subject) -> dict[str, Any]:
    value = subject.figures.get(feature.name)
    return {
        "name": f"{_FIELD}{feature.name}",
        "was": f"{_WAS}{feature.name}",
        "label": feature.label.capitalize(),
        "unit": subject.currency if feature.is_money else _UNITS.get(feature.unit, ""),
        "help": feature.definition,
        "value": input_text(value),
        "step": "1" if feature.unit == "count" else "any",
        "max": "1" if feature.unit == "share" else "",
        "min": "" if feature.name.startswith("ngr_") else "0",
    }


def input_text(value: float | None) -> str:
    """A figure as a number field takes it; empty for unknown."""
    if value is None:
        return ""
    return f"{value:.0f}" if value == int(value) else f"{value:.4f}".rstrip("0").rstrip(".")


def read_changes(posted: Mapping[str, str]) -> dict[str, Any]:
    """What the reader changed: fields whose text differs from what the page was made with. Empty means unknown."""
    changes: dict[str, Any] = {}
    for name, text in posted.items():
        feature = name.removeprefix(_FIELD)
        if name.startswith(_FIELD) and feature in BY_NAME and text.strip() != posted.get(f"{_WAS}{feature}", ""):
            changes[feature] = text.strip()[:40] or None
    return changes


def field_label(name: str) -> str:
    return BY_NAME[name].label.capitalize() if name in BY_NAME else name.replace("_", " ").capitalize()


def answer(result: WhatIf, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of the services as cards: churn, value, engagement, each with its reasons and the version that said it."""
    after, before = result.after, result.before
    versions = ModelVersion.objects.in_bulk(after.versions.values())
    cards = []
    for kind in KINDS:
        if str(kind) in after.scores:
            card = card_of(kind, after, before if before is not after and result.changed else None)
            by = str(versions.get(after.versions.get(str(kind), 0)) or "")
            told, currency = result.reasons_after.get(str(kind), []), contribution_currency(kind, after)
            cards.append({**card, "by": by, "reasons": reason_bars(kind, told, most=5, currency=currency)})
        elif str(kind) in after.withheld:
            cards.append({"label": Kind(kind).label, "withheld": after.withheld[str(kind)]})
    follows = [name for name in result.changed if name in BY_NAME and name not in changes]
    return {
        "cards": cards,
        "is_changed": bool(result.changed),
        "moved": moved(result),
        "is_player": before is not None,
        "assumed": [] if before is not None else [one for one in moved(result) if one["name"] in follows],
        "page_data": {"errors": {}, "follows": {f"{_FIELD}{name}": _followed(result, name) for name in follows}},
    }


def _followed(result: WhatIf, name: str) -> str:
    """What a field that was not touched counts as now."""
    return f"counts as {_shown(name, result.changed[name][1], result.after)}"


def _shown(name: str, value: float | None, scored: Scored) -> str:
    """A figure of the models in words, amounts in the player's currency; "" stands for typical deposits, where no currency is known."""
    feature = BY_NAME[name]
    if not feature.is_money or value is None:
        return feature_number(value, "ratio" if feature.is_money else feature.unit)
    if not scored.currency or scored.currency_unit is None:
        return f"{feature_number(value, 'ratio')} typical deposits"
    return money(value * scored.currency_unit, scored.currency)


def contribution_currency(kind: str, scored: Scored) -> str:
    """Of the contributions: those to the value are amounts, where a unit of the currency is known."""
    return scored.currency if kind == Kind.LTV and scored.currency_unit is not None else ""


def card_of(kind: str, after: Scored, before: Scored | None) -> dict[str, Any]:
    row = after.scores[str(kind)]
    was = before.scores.get(str(kind)) if before else None
    if kind == Kind.LTV:
        card: dict[str, Any] = {
            "figure": money(row["value"], after.currency),
            "was": money(was["value"], after.currency) if was else "",
            "note": f"expected in 365 days, {money(row['value_90'], after.currency)} in 90",
            "range": drawing.value_range(*(float(row[name]) for name in ("p10", "value", "p90", "p50"))),
            "change": _change(float(row["value"]), float(was["value"]) if was else None, good=1, text="{:+,.2f} " + after.currency),
        }
    else:
        card = {
            "figure": percent(row["probability"]),
            "was": percent(was["probability"]) if was else "",
            "note": f"90 % interval {percent(row['lower'])} to {percent(row['upper'])}",
            "share": f"{100 * row['probability']:.1f}",
            "low": f"{100 * row['lower']:.1f}",
            "span": f"{100 * (row['upper'] - row['lower']):.1f}",
            "change": _change(
                100 * row["probability"],
                100 * was["probability"] if was else None,
                good=-1 if kind == Kind.CHURN else 1,
                text="{:+.1f} points",
            ),
        }
    if kind == Kind.CHURN:
        card["badge"] = risk_badge(advice.risk_level(row["probability"], advice_bounds()))
    return {"label": Kind(kind).label, "kind": str(kind), **card}


def _change(now: float, was: float | None, *, good: int, text: str) -> dict[str, str] | None:
    if was is None or now == was:
        return None
    return {"text": text.format(now - was), "tone": "lb-good" if (now - was) * good > 0 else "lb-bad"}


def moved(result: WhatIf) -> list[dict[str, str]]:
    """Everything that changed, what follows from a change included."""
    return [
        {"name": name, "label": field_label(name), "was": _shown(name, was, result.after), "now": _shown(name, now, result.after)}
        for name, (was, now) in result.changed.items()
        if name in BY_NAME
    ]
