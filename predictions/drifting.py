"""Drift of data: whether the players of a scoring run still look like those that each version in use learned from.

A training keeps the bins of its features (`reference`); a run compares a sample of its players with them (`of_run`), one reading for all
kinds; pages and API read what was found (`found`). The arithmetic is that of `predictions.ml.drift`.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connection

from loyalty_site.common.sql import id_array
from predictions.eligibility import FREE_SQL, WITHOUT_CONSENT, unconsented
from predictions.ml.features import BY_NAME
from predictions.models import ModelVersion, ScoringRun

if TYPE_CHECKING:  # web processes read what was found and load no pandas
    import pandas as pd

    from predictions.ml.drift import Drift
    from predictions.ml.kinds import History

logger = logging.getLogger(__name__)

SUMMARY = "drift"  # in ScoringRun.summary: kind to what `of_run` found
UNKNOWN = "unknown"
SAMPLE_PLAYERS = 20_000
# A feature with less of the version's importance cannot have changed what it says by enough to be warned of.
LEAST_IMPORTANCE = 0.01
# These grow by a day each day whatever anybody does, so between training and scoring they move at every operator that is not decades old.
AGES = frozenset({"tenure_days", "bg_age"})
_SEED = 0  # the same players every night, as far as they are still there: what differs is what they do
_BATCH = 10_000
_MOST_SHOWN, _MOST_NAMED = 10, 3
# Cut-offs move with the end of the data: by less than the week between two scheduled trainings a model changes by next to nothing.
NEWER_DAYS = 7
_CUTOFF = "cutoff"  # in a version's reference: the instant that it is of


def reference(kind: str, history: "History", names: Sequence[str], at: datetime) -> dict[str, Any]:
    """What a version keeps of the features it learned from: their bins among the eligible players of the last development cut-off.

    Of these, the ones that the kind says something of when the history ends (`at`), as far as consent goes: as in a run (`of_run`).
    Those added to its sample are left out, as a run is compared by a plain sample too. "cutoff" is the instant they are of, as ISO text.
    {} below `drift.FEWEST_ROWS` players, which tell too little of a distribution.
    """
    from predictions.ml import drift

    latest = history.development[-1]
    eligible = _with_consent(kind, latest.features[latest.labels["is_eligible"].to_numpy().astype(bool) & latest.is_drawn], at)
    if len(eligible) < drift.FEWEST_ROWS:
        logger.info("predictions.no_reference_of_features rows=%s", len(eligible))
        return {}
    return {**drift.reference_bins(eligible, names), _CUTOFF: latest.as_of.isoformat()}


def of_run(run: ScoringRun) -> dict[str, dict[str, Any]]:
    """Kind to the drift of the features of its version, as plain JSON, for every kind that `run` scores.

    {"version", "level": none, moderate or major, "rows", "reference_rows", "features", "moved", "most_moved": [{"feature", "psi",
    "limit", "level", "missing_before", "missing_now", "quartiles_before", "quartiles_now"}, ...]}, `most_moved` with the largest PSI first
    (quartiles as `drift.Drift` has them; runs of earlier releases kept none). Where nothing can be compared,
    {"version", "level": "unknown", "reason"}. A kind has the highest level of its features: those with `LEAST_IMPORTANCE` for the version;
    `AGES` are not compared. A warning is logged for each kind that moved. Players are those who may come and go as they please and, but
    for fraud, have consented where consent is asked for (`predictions.eligibility`).
    """
    versions = ModelVersion.objects.in_bulk(run.versions.values())
    if not versions:
        return {}
    frame = _sample(run)
    found = {
        kind: {"version": number, **_compared(versions[number], _with_consent(kind, frame, run.features_as_of))}
        for kind, number in run.versions.items()
    }
    for kind, one in found.items():
        _report(run, kind, one)
    return found


def kept(run: ScoringRun | None) -> dict[str, dict[str, Any]]:
    """Kind to what `of_run` found when `run` was published; {} before the first run. Reads no more of the summary than this."""
    if run is None:
        return {}
    if "summary" not in run.get_deferred_fields():
        return dict(run.summary.get(SUMMARY, {}))
    return dict(ScoringRun.objects.filter(pk=run.pk).values_list(f"summary__{SUMMARY}", flat=True).first() or {})


def found(kind: str, run: ScoringRun | None) -> dict[str, Any] | None:
    """What `of_run` found of a kind; None for a run without it."""
    return kept(run).get(str(kind))


def moved(found: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The features that moved, the most moved first; at most ten are kept."""
    return [one for one in (found or {}).get("most_moved", []) if one["level"] != "none"]


def label(feature: str) -> str:
    """The feature in the catalogue's words."""
    return BY_NAME[feature].label if feature in BY_NAME else feature.replace("_", " ")


def in_words(found: Mapping[str, Any] | None) -> str:
    """What moved, as a list in words: "usual deposit, deposits in 30 days and 4 more"; "" when nothing did."""
    names = [label(one["feature"]) for one in moved(found)[:_MOST_NAMED]]
    more = int((found or {}).get("moved", 0)) - len(names)
    if more > 0:
        return f"{', '.join(names)} and {more} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def remedy(version: ModelVersion) -> str:
    """What to do about players who have changed since `version` was trained: nothing more where a later version has its place already.

    Training again is advised only where the run that is shown knew activity at least NEWER_DAYS later than the data of the training.
    """
    kind, status = version.get_kind_display(), ModelVersion.Status
    if version.status != status.CHAMPION:
        return f"{version} is not in use any more: the next scoring run compares the players with those of the version that is."
    later = ModelVersion.objects.filter(kind=version.kind, status=status.CANDIDATE, number__gt=version.number)
    waiting = later.exclude(sha256=version.sha256).order_by("-number").first()  # the promotion of the same file would be refused
    if waiting is not None:
        return f"{waiting} was trained since: compare the two, and ask for its promotion."
    if (newer := _days_newer(version)) >= NEWER_DAYS:
        return (
            f"Its figures were measured on players of another kind, and {newer} days of activity have come since: train {kind} again on "
            "the page Models, and ask for its promotion."
        )
    return (
        f"Training again would change next to nothing now: {version} learned from data up to {version.as_of:%Y-%m-%d}, and there are none "
        f"{NEWER_DAYS} days newer. The last players that it learned from are those of {_days_back(version)} days before that day, because "
        "outcomes take that long; a season or growth since then shows here. Wait for newer data and watch the figures of the next training."
    )


def _days_newer(version: ModelVersion) -> int:
    """Whole days by which the activity known to the run that is shown is later than the data of the training; 0 where none is known."""
    data_through = ScoringRun.objects.filter(is_current=True).values_list("data_through", flat=True).first()
    return max((data_through - version.as_of).days, 0) if data_through is not None else 0


def _days_back(version: ModelVersion) -> str:
    """How long before the end of its data the last cut-off lies that the version learned from; versions of earlier releases kept none."""
    kept = version.reference.get(_CUTOFF)
    if kept is None:
        return f"more than {version.horizon_days}"
    return str((version.as_of - datetime.fromisoformat(kept)).days)


def _sample(run: ScoringRun) -> "pd.DataFrame":
    """Features as of the run, of those who would be eligible for a label: as at training."""
    import pandas as pd

    from predictions import features
    from predictions.features.frames import known_ids
    from predictions.features.history import sampled

    ids = sampled(known_ids(run.features_as_of), SAMPLE_PLAYERS, _SEED)
    parts = [
        features.frame_for(ids[start : start + _BATCH].tolist(), run.features_as_of, units=run.units)
        for start in range(0, max(len(ids), 1), _BATCH)
    ]
    frame = pd.concat(parts)
    return frame[frame["currency_unit"].notna() & frame.index.isin(_free(ids, run))]


def _free(ids: Any, run: ScoringRun) -> list[int]:
    """Those who could come at the instant of the run: neither closed nor under an exclusion. Training looks at no others."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT p.id FROM players_player p WHERE p.id = ANY(%(ids)s) AND {FREE_SQL}",
            {"ids": id_array(ids), "at": run.features_as_of},
        )
        return [row[0] for row in cursor.fetchall()]


def _with_consent(kind: str, frame: "pd.DataFrame", at: datetime) -> "pd.DataFrame":
    """The players of `frame` whom the kind may profile at `at`."""
    if kind in WITHOUT_CONSENT:
        return frame
    return frame[~frame.index.isin(list(unconsented(frame.index.tolist(), at)))]


def _compared(version: ModelVersion, frame: "pd.DataFrame") -> dict[str, Any]:
    from predictions.ml import drift

    if not version.reference:
        return {"level": UNKNOWN, "reason": f"The training of {version} kept no distribution of its features."}
    looked_at = _looked_at(version)
    if not looked_at["features"]:
        return {"level": UNKNOWN, "reason": f"{version} looks at ages alone, which grow whatever anybody does."}
    try:
        drifts = drift.compare(looked_at, frame)
    except drift.DriftError as error:
        return {"level": UNKNOWN, "reason": f"{str(error)[:1].upper()}{str(error)[1:]}."}
    return {
        "level": max((one.level for one in drifts), key=drift.LEVELS.index, default=drift.LEVELS[0]),
        "rows": len(frame),
        "reference_rows": int(version.reference["rows"]),
        "features": len(drifts),
        "moved": sum(one.level != drift.LEVELS[0] for one in drifts),
        "most_moved": [_plain(one) for one in drifts[:_MOST_SHOWN]],
    }


def _looked_at(version: ModelVersion) -> dict[str, Any]:
    """The version's reference, of the features that are compared. All but the ages for one that recorded no importance."""
    names = {name for name, share in version.importance.items() if share >= LEAST_IMPORTANCE} or set(version.reference["features"])
    kept = {name: bins for name, bins in version.reference["features"].items() if name in names - AGES}
    return {**version.reference, "features": kept}


def _plain(one: "Drift") -> dict[str, Any]:
    figures = {name: round(getattr(one, name), 4) for name in ("psi", "limit", "missing_before", "missing_now")}
    quartiles = {name: _rounded(getattr(one, name)) for name in ("quartiles_before", "quartiles_now")}
    return {"feature": one.feature, "level": one.level, **figures, **quartiles}


def _rounded(quartiles: Sequence[float] | None) -> list[float] | None:
    return None if quartiles is None else [round(one, 4) for one in quartiles]


def _report(run: ScoringRun, kind: str, found: Mapping[str, Any]) -> None:
    if not found.get("moved"):
        return
    names = ",".join(one["feature"] for one in moved(found))
    logger.warning(
        "predictions.data_drifted run=%s kind=%s version=%s level=%s moved=%s features=%s",
        *(run.pk, kind, found["version"], found["level"], found["moved"], names),
    )
