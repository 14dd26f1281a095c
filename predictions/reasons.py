"""Reasons of the players at the top of each kind, stored with their scores. Of the others they are computed when somebody asks."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from django.db import connection

from loyalty_site.common.sql import id_array
from predictions import features, wording
from predictions.ml import explain
from predictions.ml.kinds import Model
from predictions.models import Kind, ModelVersion, ScoringRun
from predictions.selectors import LEADING, SCORES

STORED_FOR, STORED_AGAINST = 3, 1  # a player: what speaks for the label of the score, and what against it
_BLOCK = 2_000
# The order in which players are "at the top" of a kind; each has an index.
_TOP = {
    Kind.CHURN: "priority DESC",
    Kind.LTV: "value DESC",
    Kind.FRAUD: "score DESC",
    Kind.SEGMENTATION: "stability DESC",
    Kind.ENGAGEMENT: "probability DESC",
}


def store_reasons(run: ScoringRun, models: Mapping[str, Model], count: int, lower_id: int, upper_id: int) -> int:
    """Explain those of the `count` players at the top of each kind whose ids lie in the range, and keep the leading reasons.

    Returns how many rows have them. Features of a player at the top of several kinds are computed once. Memory does not grow with the
    range. Run again, the same is stored.
    """
    versions = ModelVersion.objects.in_bulk(run.versions.values())
    top = {kind: _top(kind, run, count, lower_id, upper_id) for kind in models}
    players = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *top.values()]))
    stored = 0
    for block in _blocks(players):
        frame = features.frame_for(block.tolist(), run.features_as_of, units=run.units)
        for kind, model in models.items():
            rows = frame[frame.index.isin(top[kind])]
            if len(rows):
                raises = _raises(kind, run, rows.index)
                found = explain.leading_reasons(model.explain(rows), rows, raises, STORED_FOR, STORED_AGAINST)
                stored += _store(kind, run, [with_quartiles(one, versions[run.versions[kind]]) for one in found], rows)
    return stored


def with_quartiles(reasons: Sequence[Mapping[str, Any]], version: ModelVersion) -> list[dict[str, Any]]:
    """Each reason with the "quartiles" of its feature at training, where the version keeps them: what is more and less than usual."""
    known = wording.quartiles(version.reference)
    return [{**one, "quartiles": known[one["feature"]]} if one["feature"] in known else dict(one) for one in reasons]


def _raises(kind: str, run: ScoringRun, players: pd.Index) -> npt.NDArray[np.bool_]:
    """For each player, whether what raises the figure speaks for the label of the stored score."""
    likely: dict[int, float] = {}
    if LEADING[kind] == "probability":
        scores: Any = SCORES[kind]._default_manager
        likely = dict(scores.filter(run=run, player_id__in=players.tolist()).values_list("player_id", "probability"))
    return np.array([wording.raises(kind, likely.get(player)) for player in players.tolist()], dtype=bool)


def _top(kind: str, run: ScoringRun, count: int, lower_id: int, upper_id: int) -> npt.NDArray[np.int64]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT player_id FROM (
                SELECT player_id FROM {SCORES[kind]._meta.db_table} WHERE run_id = %s ORDER BY {_TOP[Kind(kind)]}, player_id LIMIT %s
            ) AS top WHERE player_id >= %s AND player_id < %s
            """,
            [run.pk, count, lower_id, upper_id],
        )
        return np.array([row[0] for row in cursor.fetchall()], dtype=np.int64)


def _blocks(players: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(players), _BLOCK):
        yield players[start : start + _BLOCK]


def _store(kind: str, run: ScoringRun, reasons: list[list[dict[str, Any]]], rows: pd.DataFrame) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE {SCORES[kind]._meta.db_table} s SET reasons = r.reasons
            FROM unnest(%s::bigint[], %s::jsonb[]) AS r (player_id, reasons) WHERE s.run_id = %s AND s.player_id = r.player_id
            """,
            [id_array(rows.index), [json.dumps(one, allow_nan=False) for one in reasons], run.pk],
        )
        return int(cursor.rowcount)
