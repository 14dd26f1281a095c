"""From a request to an answer: the run, its page, its sums, one player. No model is loaded but to explain a player nobody explained yet."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from loyalty_site.common.api.problems import Problem
from players.models import Player
from players.selectors import barred_players
from players.thresholds import base_currency
from predictions import eligibility, selectors, services
from predictions.bounds import advice_bounds
from predictions.models import ModelVersion, ScoringRun

from . import paging, query
from .bands import Above
from .envelope import WITHHELD, Page, envelope, metadata
from .kinds.base import PROBABILITY_PLACES, Context, Prediction, reason_in_json, shares
from .told import outward, remedy

_REASONS = 10
_HEAVY = ("parameters", "candidates", "curves", "reference", "gate", "libraries", "features")


def current_run() -> ScoringRun | None:
    """The run that readers see, without its summary: histograms are of no use here."""
    return ScoringRun.objects.filter(is_current=True).defer("summary").first()


def version_of(kind: str, run: ScoringRun | None) -> ModelVersion | None:
    """The version that scored the kind in `run`, without what only its own page shows."""
    number = None if run is None else run.versions.get(str(kind))
    return None if number is None else ModelVersion.objects.filter(pk=number).defer(*_HEAVY).first()


def page_of(prediction: Prediction, values: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """The answer of a list. Raises a 400 for a page that is too deep or a cursor that does not fit."""
    currency = base_currency()
    offset = query.offset_of(dict(values))
    mark = paging.fingerprint(prediction.kind, dict(values))
    run, position = current_run(), None
    if values.get("cursor"):
        run, position = paging.decode(values["cursor"], mark)
    reason = selectors.withheld_reason(prediction.kind, run)
    if reason is not None or run is None:
        return _withheld(prediction, run, reason or selectors.NEVER_SCORED, values, currency, at)
    context = Context(run, version_of(prediction.kind, run), advice_bounds(), values, currency, at)
    everybody = selectors.scores(prediction.kind, run)
    context = _summed(prediction, everybody, context)
    where = prediction.where(context)
    total = _counted(prediction, everybody, where, mark, context)
    sort, size = prediction.sorts[values["sort_by"]], values["page_size"]
    if position is None:
        keys = paging.keys_from(everybody.filter(where), sort, offset, size + 1)
    else:
        keys = paging.keys_after(everybody.filter(where), sort, position, size + 1)
    rows = paging.rows_of(everybody, keys[:size])
    context = replace(context, barred=frozenset(barred_players([row.player_id for row in rows], at)))
    results = prediction.results(rows, context)
    has_next = len(keys) > size and bool(rows)
    data = {"results": results, "summary": prediction.summary(context)}
    return envelope(
        prediction,
        at=at,
        data={**data, **(prediction.extras(results, context) if context.details else {})},
        metadata=metadata(run, context.version, at=at, stale_since=selectors.stale_since(run)),
        page=Page(
            page=values["page"] if position is None else None,
            page_size=size,
            total_items=total,
            has_next=has_next,
            next_cursor=paging.encode(run, mark, sort, rows[-1]) if has_next else None,
        ),
        filters=_filters(prediction, context),
        base_currency=currency,
    )


def _summed(prediction: Prediction, rows: QuerySet[Any], context: Context) -> Context:
    """The context with the sums of the run, which are computed once per run, and what of them moves with the threshold."""
    totals = paging.remembered(context.run, f"{prediction.kind}:sums:{context.limits}", lambda: prediction.totals(rows, context))
    if prediction.threshold:
        above, bound = Above(prediction.kind, context.run, rows), prediction.bound(context)
        moving = paging.remembered(
            context.run, f"{prediction.kind}:threshold:{bound!r}", lambda: prediction.at_threshold(above, totals, bound)
        )
        totals = {**totals, **moving}
    return replace(context, totals=totals)


def _counted(prediction: Prediction, rows: QuerySet[Any], where: Q, mark: str, context: Context) -> int:
    """How many rows the filters leave: by the totals where they say so, else counted once per run."""
    if not where:
        return int(context.totals["users"])
    known = prediction.known_count(context)
    if known is not None:
        return known
    return int(paging.remembered(context.run, f"count:{mark}:{context.limits}", lambda: rows.filter(where).count()))


def _filters(prediction: Prediction, context: Context) -> dict[str, Any]:
    values = {name: value for name, value in context.values.items() if name != "cursor"}
    return {**values, "threshold": prediction.bound(context)} if prediction.threshold else values


def _withheld(
    prediction: Prediction, run: ScoringRun | None, reason: str, values: Mapping[str, Any], currency: str, at: datetime
) -> dict[str, Any]:
    notice = {
        "code": "withheld",
        "detail": outward(reason),
        "remedy": remedy(reason, "Ask again after the next nightly run; GET /predictions/health says how it stands."),
    }
    return envelope(
        prediction,
        at=at,
        status=WITHHELD,
        data={"results": [], "summary": None},
        metadata=metadata(run, None, at=at, stale_since=selectors.stale_since(run), withheld=outward(reason)),
        page=Page(values["page"], values["page_size"], 0, False, None),
        filters={name: value for name, value in values.items() if name != "cursor"},
        errors=[notice],
        base_currency=currency,
    )


def one_player(prediction: Prediction, external_id: str, values: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """The answer for one player. Raises 404 for a player who is unknown or was not scored, 409 for a kind that is withheld."""
    player = Player.objects.only("pk").filter(external_id=external_id).first()
    if player is None:
        raise Problem(404, "not_found", "Not Found", f"There is no player {external_id!r}. GET /players lists them.")
    run, currency = current_run(), base_currency()
    reason = selectors.withheld_reason(prediction.kind, run)
    if reason is not None or run is None:
        raise Problem(409, "withheld", "This prediction is withheld", outward(reason or selectors.NEVER_SCORED))
    if prediction.kind not in eligibility.WITHOUT_CONSENT and eligibility.unconsented([player.pk], at):
        raise Problem(404, "not-scored", "The player has no score", eligibility.NOT_CONSENTED)
    everybody = selectors.scores(prediction.kind, run)
    rows = paging.rows_of(everybody, [player.pk])
    if not rows:
        detail = eligibility.withheld_of(prediction.kind, player.pk, run.as_of) or (
            f"The run as of {run.as_of:%Y-%m-%d %H:%M} UTC has no such score of the player: it came later, or too little is known of it. "
            "The next nightly run tries again."
        )
        raise Problem(404, "not-scored", "The player has no score", detail)
    context = Context(run, version_of(prediction.kind, run), advice_bounds(), values, currency, at)
    context = replace(_summed(prediction, everybody, context), barred=frozenset(barred_players([player.pk], at)))
    results = prediction.results(rows, context)
    extras, notices = _explained(prediction, rows[0], results[0], context) if context.details else ({}, [])
    return envelope(
        prediction,
        at=at,
        data={"results": results, **(prediction.extras(results, context) if context.details else {}), **extras},
        metadata=metadata(run, context.version, at=at, stale_since=selectors.stale_since(run)),
        page=Page(1, 1, 1, False, None),
        filters=_filters(prediction, context),
        errors=notices,
        base_currency=currency,
    )


def _explained(prediction: Prediction, row: Any, result: dict[str, Any], context: Context) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """History and hint; into `result` the shares of all features and, where none are stored, the reasons. And what could not be had."""
    history = selectors.history(row.player_id, prediction.kind, context.run)
    extras: dict[str, Any] = {"history": [{"as_of": moment, "value": value} for moment, value in history]}
    failed: list[str] = []
    try:
        found = services.explain_player(prediction.kind, row.player_id)
        result["feature_importance"] = shares(found.importance)
        result["feature_importance_of"] = "player"
        if not row.reasons:
            result["reasons"] = [reason_in_json(reason) for reason in prediction.for_label_first(row, found.reasons[:_REASONS])]
    except services.Unavailable as error:
        failed.append(error.reason)
    if context.values.get("hint"):
        try:
            # what would make somebody play more is not said of players who may be given nothing
            extras["hint"] = None if row.player_id in context.barred else _hint(prediction, row)
        except services.Unavailable as error:
            failed.append(error.reason)
    return extras, [_unexplained(reason) for reason in dict.fromkeys(failed)]


def _unexplained(reason: str) -> dict[str, str]:
    return {
        "code": "explanation-unavailable",
        "detail": outward(reason),
        "remedy": remedy(reason, "The score itself stands; ask again after the next nightly run."),
    }


def _hint(prediction: Prediction, row: Any) -> dict[str, Any] | None:
    if prediction.threshold != "churn":
        return None
    found = services.counterfactual(row.player_id)
    if found is None:
        return None
    return {
        "text": found.text,
        "probability_before": round(found.before, PROBABILITY_PLACES),
        "probability_after": round(found.after, PROBABILITY_PLACES),
    }
