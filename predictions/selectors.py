"""Reads of what was scored. Cheap enough for any page: no model is loaded, nothing is computed.

Readers take the run once (`current_run()`) and read everything of it: a run that stops being current keeps its rows for as long as
PREDICTION_RUNS_KEPT says, so a page never mixes two runs.
"""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from predictions import gate, hooks
from predictions.models import (
    ChurnScore,
    EngagementScore,
    FraudScore,
    Kind,
    ModelVersion,
    ScorePoint,
    ScoringRun,
    SegmentScore,
    ValueScore,
)
from predictions.models.scores import Score

# Kind to the table of its scores. PROFILE has none: it is about people who are not in the database.
SCORES: dict[str, type[Score]] = {
    Kind.CHURN: ChurnScore,
    Kind.LTV: ValueScore,
    Kind.FRAUD: FraudScore,
    Kind.SEGMENTATION: SegmentScore,
    Kind.ENGAGEMENT: EngagementScore,
}
# The leading figure of a kind: what its history and histogram are of.
LEADING: dict[str, str] = {
    Kind.CHURN: "probability",
    Kind.LTV: "value",
    Kind.FRAUD: "score",
    Kind.SEGMENTATION: "cluster",
    Kind.ENGAGEMENT: "probability",
}
NEVER_SCORED = "No scoring run has been published yet. Run the job predictions, or wait for the night."


def current_run() -> ScoringRun | None:
    """The run that readers see, complete; None before the first."""
    return ScoringRun.objects.filter(is_current=True).first()


def withheld_reason(kind: str, run: ScoringRun | None) -> str | None:
    """Why nothing may be shown for a kind, in words for staff; None when its scores of `run` may be shown.

    Before the first run it is what stands in the way of one: no model of the kind is in use, or nobody was scored with it yet.
    """
    if run is None:
        in_use = ModelVersion.objects.filter(kind=kind, status=ModelVersion.Status.CHAMPION)
        return NEVER_SCORED if in_use.exists() else gate.why_no_model(kind)
    return run.withheld.get(str(kind)) or None


def scores(kind: str, run: ScoringRun | None) -> QuerySet[Any]:
    """The rows of a kind in `run`, unordered; none when the run is missing or the kind is withheld. Raises KeyError for PROFILE."""
    model = SCORES[str(kind)]
    if run is None or run.withheld.get(str(kind)):
        return model._default_manager.none()
    return model._default_manager.filter(run=run)


def score_of(player_id: int, run: ScoringRun | None = None) -> dict[str, Any]:
    """Kind to the player's row in `run` (default: the current one). Kinds that are withheld or have no row are left out."""
    run = run or current_run()
    found = {str(kind): scores(kind, run).filter(player_id=player_id).first() for kind in SCORES}
    return {kind: row for kind, row in found.items() if row is not None}


def history(player_id: int, kind: str, run: ScoringRun | None = None) -> list[tuple[datetime, float]]:
    """(instant, leading figure) in order of time, thin (see `ScorePoint`), ending with the score of `run` (default: the current one).

    Amounts are in the player's currency. Empty when the kind is withheld or the player was never scored.
    """
    run = run or current_run()
    if run is None or withheld_reason(kind, run) is not None:
        return []
    known = ScorePoint.objects.filter(player_id=player_id, kind=kind, as_of__lte=run.as_of)
    kept = known.exclude(as_of__in=ScoringRun.never_shown().values("as_of")).order_by("as_of")
    points: list[tuple[datetime, float]] = list(kept.values_list("as_of", "value"))
    leading = scores(kind, run).filter(player_id=player_id).values_list(LEADING[str(kind)], flat=True).first()
    if leading is not None and (not points or points[-1][0] != run.as_of):
        points.append((run.as_of, float(leading)))
    return points


def cluster_history(player_id: int, run: ScoringRun | None = None) -> list[tuple[datetime, int, int | None]]:
    """(instant, cluster, id of the version that said it) as in `history`; None where the run of that instant is not known.

    Numbers of clusters are compared and named within a version only.
    """
    points = history(player_id, Kind.SEGMENTATION, run)
    runs = ScoringRun.objects.filter(as_of__in=[as_of for as_of, _ in points])
    versions = dict(runs.values_list("as_of", f"versions__{Kind.SEGMENTATION}"))
    return [(as_of, int(value), versions.get(as_of)) for as_of, value in points]


def summary(kind: str, run: ScoringRun | None = None) -> dict[str, Any]:
    """What `predictions.summaries` computed of the run before it was published; {} when the kind is withheld."""
    run = run or current_run()
    if run is None or withheld_reason(kind, run) is not None:
        return {}
    return dict(run.summary.get(str(kind), {}))


def histogram(kind: str, run: ScoringRun | None = None) -> list[dict[str, Any]]:
    """Bands of the leading figure, in order: {"from", "to", "players", ...}; [] when the kind is withheld.

    churn, engagement, fraud: 100 bands of a hundredth each, the lower end included, with "sum" (of the figure: expected cases) and
    "value" ({currency: text amount} at stake or predicted). ltv: bands per currency, each with "currency". segmentation: one band a
    cluster ("from" and "to" are the cluster).
    """
    return list(summary(kind, run).get("histogram", []))


def stale_since(run: ScoringRun | None = None) -> datetime | None:
    """Since when the data behind the answers has not been renewed: the feed fails now, or failed when `run` was scored."""
    known = [since for since in (hooks.stale_since(), run.stale_since if run else None) if since is not None]
    return min(known, default=None)
