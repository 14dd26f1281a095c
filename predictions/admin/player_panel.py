"""Predictions on the player's page: the scores of the current run with their history at once, what takes a model when it is looked at."""

from collections.abc import Callable
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
from predictions import eligibility, selectors, services
from predictions.bounds import advice_bounds
from predictions.ml import advice
from predictions.models import Kind, ModelVersion, ScoringRun
from predictions.services import Unavailable
from predictions.wording import scale_words
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
    interval,
    may_see,
    money,
    named_url,
    percent,
    reason_bars,
    risk_badge,
)
from .words import (
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


# what stands in the way of each kind is worked out on the page Models, not for every player's page
_NOBODY_SCORED = "Nobody has been scored yet; the page Models says what is missing."
_TOO_LITTLE_KNOWN = "The player has no score of this kind: no activity, or too few deposits in the currency."


def panel(player: Player, viewer: Viewer) -> dict[str, Any]:
    """Context of templates/admin/predictions/player_panel.html; {} for a person who may see no kind."""
    kinds = [str(kind) for kind in VIEW if may_see(viewer, kind)]
    if not kinds:
        return {}
    run = selectors.current_run()
    versions = {one.pk: one for one in ModelVersion.objects.filter(pk__in=list(run.versions.values()))} if run else {}
    bounds = advice_bounds()
    is_barred = bool(barred_players([player.pk], utc_now()))
    is_silent = bool(eligibility.unconsented([player.pk], utc_now()))
    cards = []
    for kind in kinds:
        card: dict[str, Any] = {
            "kind": kind,
            "label": Kind(kind).label,
            "reasons_url": named_url("predictions_player_piece", player.pk, kind),
        }
        withheld = selectors.withheld_reason(kind, run) if run else _NOBODY_SCORED
        if is_silent and kind not in eligibility.WITHOUT_CONSENT:
            withheld = withheld or eligibility.NOT_CONSENTED
        row = None if withheld or run is None else selectors.scores(kind, run).filter(player_id=player.pk).first()
        if row is None or run is None:
            cards.append(
                {**card, "withheld": withheld or (run and eligibility.withheld_of(kind, player.pk, run.as_of)) or _TOO_LITTLE_KNOWN}
            )
            continue
        row.bounds, row.player, row.is_barred = bounds, player, is_barred
        row.cluster_names = cluster_names(versions.get(run.versions.get(kind, 0)))
        cards.append({**card, **CARDS[kind](row), **_history(player.pk, kind, run), "reasons": _stored(kind, row, run)})
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


def _stored(kind: str, row: Any, run: ScoringRun) -> list[dict[str, Any]]:
    if not row.reasons:
        return []
    unit = services.money_unit(run, row.player.currency)
    told = services.in_words(kind, row.reasons, unit, getattr(row, "probability", None))
    return reason_bars(kind, told, currency=_currency_of(kind, unit))


def _currency_of(kind: str, unit: services.MoneyUnit) -> str:
    """Of the contributions: those to the value are amounts."""
    return unit.currency if kind == Kind.LTV and unit.amount is not None else ""


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
    band = value_band_of(row)
    facts = [
        ("Expected (mean)", money(row.value, row.currency)),
        ("Median (P50)", money(row.p50, row.currency)),
        ("80 % interval (P10 to P90)", f"{row.p10:,.0f} to {row.p90:,.0f} {row.currency}"),
        ("In 90 days", money(row.value_90, row.currency)),
        ("Churn-adjusted", money(row.churn_adjusted, row.currency)),
        ("By deposits (BG/NBD)", money(row.probabilistic, row.currency)),
        ("By boosting", money(row.boosted, row.currency)),
    ]
    if (alive := advice.still_customer(row.alive)) is not None:
        facts.append(("Still a customer", percent(alive)))
    return {
        "figure": money(row.value, row.currency),
        "badge": badge(VALUE_WORDS[band], VALUE_TONES[band]),
        "range": drawing.value_range(float(row.p10), float(row.value), float(row.p90), float(row.p50)),
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


def _history(player_id: int, kind: str, run: ScoringRun) -> dict[str, Any]:
    if kind == Kind.SEGMENTATION:
        return {"moves": _moves(selectors.cluster_history(player_id, run))}
    points = selectors.history(player_id, kind, run)
    spark = drawing.spark(points, ceiling=None if kind == Kind.LTV else 1.0)
    return {"spark": spark, "since": points[0][0] if spark else None, "points": len(points)}


def _moves(points: list[tuple[datetime, int, int | None]]) -> list[str]:
    """Changes of cluster, newest first, each in the words of the version that said it: the next training numbers its clusters anew."""
    stored = ModelVersion.objects.in_bulk({version for _, _, version in points if version is not None})
    names = {number: cluster_names(version) for number, version in stored.items()}
    words = [(as_of, cluster_name(names.get(version or 0, {}), cluster)) for as_of, cluster, version in points]
    changes = [
        f"{after[0]:%Y-%m-%d}: {before[1]} to {after[1]}" for before, after in zip(words, words[1:], strict=False) if before[1] != after[1]
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
        "reasons": reason_bars(kind, told, currency=explained.currency),
        "scale": "" if explained.currency else scale_words(explained.scale),
        "base": _figure(explained.base, explained.currency),
        "raw": _figure(explained.raw, explained.currency),
        "compared": _compared(kind, explained.version_id),
    }


# what a share of one says of the players that a version was taught with
_OUTCOMES = {Kind.CHURN: "left", Kind.ENGAGEMENT: "came within 7 days"}


def _compared(kind: str, version_id: int) -> str:
    """With whom the bars of a probability compare: among players of whom most left, much looks good that is bad in itself."""
    if kind not in _OUTCOMES:
        return ""
    rate = ModelVersion.objects.filter(pk=version_id).values_list("metrics__base_rate", flat=True).first()
    who = "the average player of the training"
    if rate is not None:
        who += f", where {percent(rate)} {_OUTCOMES[Kind(kind)]}"
    return f"Each bar compares with {who}: what is unusual for such players moves the score, whether it is good or bad in itself."


def _figure(raw: float, currency: str) -> str:
    return money(raw, currency) if currency else f"{raw:+,.2f}"


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
                "compared": case.compared[:_CASE_FEATURES],
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
