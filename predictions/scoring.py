"""The scoring run: features, all models in use, and a binary COPY into the score tables, range by range of players.

A run belongs to its instant. Its models are fixed by the first range that is worked, so that a promotion in the middle of the night
does not mix two versions, and so is what one unit of each currency is. A range deletes its own rows of the run before it writes, so it
may be worked twice; readers see nothing of a run until `predictions.publishing` makes it the current one.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from django.db import connection

from loyalty_site.common.clock import utc_now
from loyalty_site.common.sql import id_array
from predictions import features, gate, hooks, registry
from predictions.assess import Known, Scores, assess
from predictions.eligibility import CONSENTED_SQL, FREE_SQL
from predictions.instants import features_instant, known_through, require_past
from predictions.ml.kinds import Model
from predictions.models import ModelVersion, ScoringRun
from predictions.rows import Column, Type, copy_rows
from predictions.selectors import SCORES
from predictions.thresholds import thresholds

logger = logging.getLogger(__name__)

NO_REASONS = "[]"


class NotOpened(RuntimeError):
    """Nobody is scored as long as the file of a version in use cannot be opened."""


@dataclass(frozen=True)
class Champions:
    """Versions in use with their models, and why the other kinds are withheld. `unopened`: those of them whose version cannot be opened."""

    versions: dict[str, ModelVersion]
    models: dict[str, Model]
    withheld: dict[str, str]
    unopened: frozenset[str] = frozenset()


def champions(as_of: datetime, kinds: tuple[str, ...] = tuple(SCORES), enough: Collection[str] = ()) -> Champions:
    """The version in use of every kind that the data are enough for. A version whose artifact cannot be opened is withheld as well.

    `enough` names kinds that are known to have data enough (the published run scored them): their history is not looked at again.
    """
    versions: dict[str, ModelVersion] = {}
    models: dict[str, Model] = {}
    withheld: dict[str, str] = {}
    unopened: frozenset[str] = frozenset()
    have: gate.Extent | None = None
    for kind in kinds:
        try:
            version, model = registry.load_champion(kind)
        except registry.NoModel as error:
            withheld[kind] = error.reason
            unopened |= {kind} if isinstance(error, registry.CannotOpen) else set()
            continue
        verdicts = gate.origin_verdicts(kind, version.is_synthetic)
        if kind not in enough:
            have = have or gate.extent(as_of)
            verdicts += gate.data_verdicts(kind, have)
        if reason := " ".join(verdict.reason for verdict in verdicts if not verdict.passed):
            withheld[kind] = reason
        else:
            versions[kind], models[kind] = version, model
    return Champions(versions, models, withheld, unopened)


def open_run(as_of: datetime) -> ScoringRun:
    """The run of an instant, held against being published or abandoned until the transaction ends. Made by whoever comes first.

    Those who come at the same time wait for the first one's transaction, and then use its run. Raises NotOpened while a version in use
    cannot be opened: a run without its kind would take the last good scores of it away.
    """
    run = ScoringRun.objects.filter(as_of=as_of).first()
    if run is None:
        chosen = champions(as_of)
        if chosen.unopened:
            reasons = " ".join(chosen.withheld[kind] for kind in sorted(chosen.unopened))
            remedy = "Nothing is scored and the last scores stay: put another version into use or restore the file, then rerun."
            raise NotOpened(f"{reasons} {remedy}")
        data_through = known_through(as_of, features.data_window()[1]) if chosen.versions else None
        run, _ = ScoringRun.objects.get_or_create(
            as_of=as_of,
            defaults={
                "versions": {kind: version.pk for kind, version in chosen.versions.items()},
                "withheld": chosen.withheld,
                "data_through": data_through,
                # what one unit of a currency is must be the same for all ranges, whatever is imported meanwhile
                "summary": {"units": dict(features.currency_units(features_instant(as_of, data_through))) if chosen.versions else {}},
                "stale_since": hooks.stale_since(),
                "started_at": utc_now(),
            },
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM predictions_scoringrun WHERE id = %s FOR SHARE", [run.pk])
    run.refresh_from_db()
    return run


def models_of(run: ScoringRun) -> dict[str, Model]:
    """The models that score `run`, from the cache of this process. Raises registry.ArtifactError."""
    versions = ModelVersion.objects.in_bulk(run.versions.values())
    return {kind: registry.load(versions[number]) for kind, number in run.versions.items()}


def score_range(lower_id: int, upper_id: int, as_of: datetime) -> dict[str, Any]:
    """Score the players with `lower_id <= id < upper_id` who were there at `as_of`. Run again, nothing changes.

    Returns {"rows": players scored, kind: rows written, ...}. A run that was published or abandoned stays as it is, and nobody is
    scored for an instant before that of the run that is shown: nobody would ever see it. Raises FutureInstant.
    """
    as_of = require_past(as_of)
    if (later := ScoringRun.shown_after(as_of)) is not None:
        logger.info("predictions.not_scored as_of=%s shown=%s", as_of.isoformat(), later.pk)
        return {"rows": 0}
    run = open_run(as_of)
    if run.status != ScoringRun.Status.BUILDING or not run.versions:
        return {"rows": 0}
    frame = features.frame(lower_id, upper_id, run.features_as_of, units=run.units)
    scores: dict[str, Scores] = {}
    if len(frame):
        scores = assess(frame, models_of(run), known_of(frame, lower_id, upper_id, as_of), thresholds())
    written = {kind: _write(run, kind, scores.get(kind), lower_id, upper_id) for kind in run.versions}
    return {"rows": len(frame), **written}


def _write(run: ScoringRun, kind: str, scores: Scores | None, lower_id: int, upper_id: int) -> int:
    table = SCORES[kind]._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE run_id = %s AND player_id >= %s AND player_id < %s", [run.pk, lower_id, upper_id])
    if scores is None:
        return 0
    rows = len(scores.player_ids)
    columns: dict[str, Column] = {
        "run_id": Column(Type.BIGINT, np.full(rows, run.pk, dtype=np.int64)),
        "player_id": Column(Type.BIGINT, scores.player_ids),
        "reasons": Column(Type.JSON, NO_REASONS),
        **scores.columns,
    }
    return copy_rows(table, columns, rows)


def known_of(frame: pd.DataFrame, lower_id: int, upper_id: int, at: datetime) -> Known:
    """What `assess` needs beside the features, for the players of `frame`, whose ids lie in the range.

    Exclusions and the rules of markets count as of `at`.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT p.id, p.risk_score, COALESCE((m.total_deposited * 10000)::bigint, 0), {FREE_SQL}::int, {CONSENTED_SQL}::int
            FROM players_player p LEFT JOIN players_playermetrics m ON m.player_id = p.id
            WHERE p.id = ANY(%(ids)s::bigint[])
            """,
            {"ids": id_array(frame.index), "at": at},
        )
        rows = cursor.fetchall()
    columns = ["player_id", "risk", "deposited", "is_free", "has_consented"]
    facts = pd.DataFrame(rows, columns=columns).set_index("player_id").reindex(frame.index)
    if facts["risk"].isna().any():
        raise LookupError("players went away while they were scored; run it again")
    facts = facts.astype("int64")
    return Known(_with_signals(facts, hooks.fraud_signals(lower_id, upper_id)))


def _with_signals(facts: pd.DataFrame, signals: Mapping[int, tuple[str, float]]) -> pd.DataFrame:
    kinds = [signals.get(player, ("", 0.0)) for player in facts.index]
    return pd.DataFrame(
        {
            "detectors": facts["risk"] / 100,
            "deposited": facts["deposited"],
            "is_free": facts["is_free"].astype(bool),
            "has_consented": facts["has_consented"].astype(bool),
            "fraud_type": pd.Series([kind for kind, _ in kinds], index=facts.index, dtype=object),
            "severity": pd.Series([strength for _, strength in kinds], index=facts.index, dtype=float),
        }
    )
