"""Predictions on the player's page: the scores of the current run with their history at once, what takes a model when it is looked at."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from loyalty_site.common.admin.actions import StaffPage
from loyalty_site.common.admin.display import badge
from loyalty_site.common.clock import utc_now
from players.models import Player
from players.selectors import barred_players
from predictions import selectors, services
from predictions.ml import advice
from predictions.models import Kind, ModelVersion, ScoringRun
from predictions.services import Unavailable
from predictions.thresholds import thresholds
from wallet.admin.parts import page_url

from . import drawing
from .parts import (
    PROFILE,
    VALUE_TONES,
    VALUE_WORDS,
    VIEW,
    Viewer,
    cluster_name,
    cluster_names,
    feature_number,
    interval,
    may_see,
    money,
    named_url,
    percent,
    reason_bars,
    risk_badge,
)
from .words import (
    advice_bounds,
    cluster_recommendation,
    cross_sell_of,
    engagement_of,
    fraud_of,
    recommendation_of,
    trigger_of,
    value_band_of,
)

SIMILAR, HINT = "similar", "hint"
_CASES = 5
_CASE_FEATURES = 4


def panel(player: Player, viewer: Viewer) -> dict[str, Any]:
    """Context of templates/admin/predictions/player_panel.html; {} for a person who may see no kind."""
    kinds = [str(kind) for kind in VIEW if may_see(viewer, kind)]
    if not kinds:
        return {}
    run = selectors.current_run()
    versions = {one.pk: one for one in ModelVersion.objects.filter(pk__in=list(run.versions.values()))} if run else {}
    bounds = advice_bounds(thresholds())
    is_barred = bool(barred_players([player.pk], utc_now()))
    cards = []
    for kind in kinds:
        card: dict[str, Any] = {
            "kind": kind,
            "label": Kind(kind).label,
            "reasons_url": named_url("predictions_player_piece", player.pk, kind),
        }
        withheld = selectors.withheld_reason(kind, run)
        row = None if withheld or run is None else selectors.scores(kind, run).filter(player_id=player.pk).first()
        if row is None or run is None:
            cards.append(
                {**card, "withheld": withheld or "The player has no score of this kind: no activity, or too few deposits in the currency."}
            )
            continue
        row.bounds, row.player, row.is_barred = bounds, player, is_barred
        row.cluster_names = cluster_names(versions.get(run.versions.get(kind, 0)))
        cards.append({**card, **CARDS[kind](row), **_history(player.pk, kind, run, row), "reasons": _stored(kind, row.reasons)})
    return {
        "run": run,
        "stale_since": selectors.stale_since(run),
        "is_synthetic": any(one.is_synthetic for one in versions.values()),
        "cards": cards,
        "has_scores": any("withheld" not in card for card in cards),
        "what_if_url": f"{named_url('predictions_what_if')}?player={player.external_id}" if viewer.has_perm(PROFILE) else "",  # type: ignore[union-attr]
        "similar_url": named_url("predictions_player_piece", player.pk, SIMILAR) if _shows(cards, Kind.CHURN) else "",
        "hint_url": named_url("predictions_player_piece", player.pk, HINT) if _shows(cards, Kind.CHURN) else "",
    }


def _shows(cards: list[dict[str, Any]], kind: str) -> bool:
    return any(card["kind"] == str(kind) and "withheld" not in card for card in cards)


def _stored(kind: str, reasons: Any) -> list[dict[str, Any]]:
    return reason_bars(kind, services.in_words(kind, reasons)) if reasons else []


def _churn(row: Any) -> dict[str, Any]:
    return {
        "figure": percent(row.probability),
        "badge": risk_badge(advice.risk_level(row.probability, row.bounds)),
        "share": row.probability,
        **_span(row.lower, row.upper),
        "tone": {"low": "good", "medium": "warn", "high": "bad"}[advice.risk_level(row.probability, row.bounds)],
        "facts": [
            ("90 % interval", interval(row.lower, row.upper)),
            ("At stake", money(row.value, row.player.currency)),
            ("Priority", f"{row.priority:.2f}"),
            ("What to do", recommendation_of(row)),
        ],
    }


def _value(row: Any) -> dict[str, Any]:
    low, high = float(row.p10), float(row.p90)
    floor, span = min(low, 0.0), (high - min(low, 0.0)) * 1.08 or 1.0
    band = value_band_of(row)
    facts = [
        ("80 % interval", f"{row.p10:,.0f} to {row.p90:,.0f} {row.currency}"),
        ("In 90 days", money(row.value_90, row.currency)),
        ("Churn-adjusted", money(row.churn_adjusted, row.currency)),
        ("By deposits (BG/NBD)", money(row.probabilistic, row.currency)),
        ("By boosting", money(row.boosted, row.currency)),
    ]
    if row.alive is not None:
        facts.append(("Still a customer", percent(row.alive)))
    return {
        "figure": money(row.value, row.currency),
        "badge": badge(VALUE_WORDS[band], VALUE_TONES[band]),
        "range": {
            "left": f"{100 * (low - floor) / span:.1f}",
            "width": f"{100 * (high - low) / span:.1f}",
            "value": f"{100 * min(max((float(row.value) - floor) / span, 0.0), 1.0):.1f}",
            "middle": f"{100 * (float(row.p50) - floor) / span:.1f}",
            "low": f"{row.p10:,.0f}",
            "high": f"{row.p90:,.0f}",
            "median": f"{row.p50:,.0f}",
        },
        "facts": [*facts, ("Cross-sell", cross_sell_of(row))],
    }


def _fraud(row: Any) -> dict[str, Any]:
    words, tone = fraud_of(row)
    facts = [("Anomaly", f"{row.anomaly:.2f}"), ("Detectors", f"{row.detectors:.2f}")]
    if kind := advice.fraud_type_word(row.fraud_type):
        facts.append(("Strongest signal", f"{kind}, severity {advice.severity_word(row.severity)}"))
    if (row.interval_low, row.interval_high) != (0, 1):
        facts.insert(0, ("Interval", interval(row.interval_low, row.interval_high)))
    return {
        "figure": f"{row.score:.2f}",
        "badge": badge(words, tone),
        "share": row.score,
        **_span(row.interval_low, row.interval_high),
        "tone": tone or "good",
        "facts": facts,
    }


def _segment(row: Any) -> dict[str, Any]:
    following = cluster_name(row.cluster_names, row.next_cluster)
    return {
        "figure": cluster_name(row.cluster_names, row.cluster),
        "badge": badge(row.rfm_segment),
        "facts": [
            ("Recency, frequency, monetary", f"{row.recency_score} {row.frequency_score} {row.monetary_score} of 5"),
            ("Stability", percent(row.stability)),
            ("In 30 days", f"{'stays' if row.next_cluster == row.cluster else following}, {percent(row.transition_probability)}"),
            ("What to do", cluster_recommendation(row)),
        ],
    }


def _engagement(row: Any) -> dict[str, Any]:
    return {
        "figure": percent(row.probability),
        "badge": badge(*engagement_of(row)),
        "share": row.probability,
        **_span(row.lower, row.upper),
        "tone": "primary",
        "facts": [
            ("Explained by", f"logins {percent(row.logins)}, deposits {percent(row.deposits)}, play {percent(row.gameplay)}"),
            ("Weekly decay without contact", percent(row.decay)),
            ("Trigger", trigger_of(row)),
        ],
    }


CARDS: dict[str, Callable[[Any], dict[str, Any]]] = {
    Kind.CHURN: _churn,
    Kind.LTV: _value,
    Kind.FRAUD: _fraud,
    Kind.SEGMENTATION: _segment,
    Kind.ENGAGEMENT: _engagement,
}


def _span(low: float, high: float) -> dict[str, str]:
    return {"low": f"{100 * low:.1f}", "span": f"{100 * (high - low):.1f}"} if (low, high) != (0, 1) else {}


def _history(player_id: int, kind: str, run: ScoringRun, row: Any) -> dict[str, Any]:
    points = selectors.history(player_id, kind, run)
    if kind == Kind.SEGMENTATION:
        return {"moves": _moves(points, row.cluster_names)}
    spark = drawing.spark(points, ceiling=None if kind == Kind.LTV else 1.0)
    return {"spark": spark, "since": points[0][0] if spark else None, "points": len(points)}


def _moves(points: list[tuple[datetime, float]], names: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Changes of cluster, newest first."""
    changes = [
        f"{after[0]:%Y-%m-%d}: {cluster_name(names, int(before[1]))} to {cluster_name(names, int(after[1]))}"
        for before, after in zip(points, points[1:], strict=False)
        if before[1] != after[1]
    ]
    return changes[::-1][:5]


class PlayerPiece(StaffPage):
    """A piece of the panel that takes a model: the exact reasons of a kind, similar past cases, or the hint. Asked for when it is seen."""

    permissions = ("players.view_player",)
    pieces = {SIMILAR: Kind.CHURN, HINT: Kind.CHURN}

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        piece, player_id = str(kwargs["piece"]), int(kwargs["pk"])
        kind = str(self.pieces.get(piece, piece))
        if kind not in VIEW:
            raise Http404("There is no such piece.")
        if not may_see(request.user, kind):
            raise PermissionDenied
        context: dict[str, Any] = {"piece": piece if piece in self.pieces else "reasons"}
        try:
            context |= {SIMILAR: similar_cases, HINT: hint}.get(piece, lambda player: reasons(kind, player))(player_id)
        except Unavailable as error:
            context["unavailable"] = error.reason
        except Player.DoesNotExist as error:
            raise Http404("There is no such player.") from error
        return TemplateResponse(request, "predictions/player_piece.html", context)


def reasons(kind: str, player_id: int) -> dict[str, Any]:
    explained = services.explain_player(kind, player_id)
    told = [one for one in explained.reasons if one.contribution]
    return {
        "reasons": reason_bars(kind, told),
        "scale": explained.scale,
        "base": f"{explained.base:+.2f}",
        "raw": f"{explained.raw:+.2f}",
    }


def similar_cases(player_id: int) -> dict[str, Any]:
    cases = services.similar_cases(player_id, _CASES)
    return {
        "cutoff": cases[0].cutoff if cases else None,
        "left": sum(case.churned for case in cases),
        "cases": [
            {
                "link": f"{page_url('players_player', case.player_id)}#predictions",
                "name": case.external_id,
                "outcome": badge("left", "bad") if case.churned else badge("stayed", "good"),
                "value": money(case.value, case.currency) if case.value is not None else "",
                "value_days": case.value_days,
                "distance": f"{case.distance:.2f}",
                "features": [
                    (label, feature_number(mine, "ratio"), feature_number(theirs, "ratio"))
                    for label, (mine, theirs) in list(case.features.items())[:_CASE_FEATURES]
                ],
            }
            for case in cases
        ],
    }


def hint(player_id: int) -> dict[str, Any]:
    """The smallest change that would bring churn down. Never for somebody who may be given nothing: it would be a nudge to play."""
    if barred_players([player_id], utc_now()):
        return {"barred": True}
    found = services.counterfactual(player_id)
    if found is None:
        return {"suggestion": None}
    return {
        "suggestion": found,
        "before": percent(found.before),
        "after": percent(found.after),
    }
