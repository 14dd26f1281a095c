"""What a published run says as a whole, per kind: counts, means and the histogram that pages and the threshold slider draw.

Computed before a run is shown, and again when players go with an undone import; everything is plain JSON. Amounts are texts (exact) by
currency, as nothing here converts currencies.
"""

from typing import Any

from django.db import connection

from predictions.models import Kind, PastCase, ScoringRun
from predictions.selectors import LEADING, SCORES

BANDS = 100
STARTS = [band / BANDS for band in range(BANDS)]
VALUE_BANDS = 30


def count_anew(run: ScoringRun) -> None:
    """Write the sums of a run whose scores changed since they were computed; a run without sums stays without.

    Moments and drift stay those of the night, past cases are counted. What was remembered of the run is void (`ScoringRun.revision`).
    """
    counted = [kind for kind in run.versions if kind in run.summary]
    if not counted:
        return
    run.summary |= {kind: summarise(kind, run) for kind in counted}
    if "cases" in run.summary:
        run.summary["cases"]["count"] = PastCase.objects.filter(run=run).count()
    run.summary["revision"] = run.revision + 1
    run.save(update_fields=["summary"])


def summarise(kind: str, run: ScoringRun) -> dict[str, Any]:
    """{"players", "mean", "histogram", ...} of a kind; see `predictions.selectors.histogram` for the bands.

    churn, fraud and engagement: "value" per currency. fraud: "types". ltv: "currencies" with players, total, mean, p10, p50 and p90
    each, and "without_unit": players whose currency has too few deposits for a typical one. segmentation: "clusters", "segments",
    "stability", "transitions" (cluster to next cluster to players).
    """
    if kind == Kind.LTV:
        return _of_values(run)
    if kind == Kind.SEGMENTATION:
        return _of_segments(run)
    summary = _of_probabilities(kind, run)
    if kind == Kind.FRAUD:
        summary["types"] = _types(summary["histogram"], run)
    return summary


def _types(bands: list[dict[str, Any]], run: ScoringRun) -> dict[str, int]:
    """Kinds of the strongest signal and their players, most first; each band is given its own."""
    found: dict[str, int] = {}
    for band in bands:
        band["types"] = {}
    for number, kind, players in _rows(
        f"SELECT {_band('score')}, fraud_type, count(*) FROM predictions_fraudscore WHERE run_id = %s GROUP BY 1, 2 ORDER BY 1, 2", [run.pk]
    ):
        bands[number]["types"][kind] = players
        found[kind] = found.get(kind, 0) + players
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _band(column: str) -> str:
    """SQL of the number of a figure's band: the last that begins at or below it.

    Compared with the very numbers that the bands are said to begin with, as a threshold is: a product with 100 would take
    0.2899999999999999 for 0.29.
    """
    return f"width_bucket({column}, ARRAY[{', '.join(repr(start) for start in STARTS)}]::float8[]) - 1"


def _of_probabilities(kind: str, run: ScoringRun) -> dict[str, Any]:
    """Bands of a hundredth. What is at stake in a band: of churn what its scores say, else the predicted value where there is one.

    "stake" is the same without the players predicted to cost money: who brings nothing is no loss. "currencies" counts by currency.
    """
    table, leading = SCORES[kind]._meta.db_table, LEADING[kind]
    value = "s.value" if kind == Kind.CHURN else "v.value"
    join = "" if kind == Kind.CHURN else "LEFT JOIN predictions_valuescore v ON v.run_id = s.run_id AND v.player_id = s.player_id"
    rows = _rows(
        f"""
        SELECT {_band(f"s.{leading}")} AS band, p.currency, count(*), sum(s.{leading}),
            COALESCE(sum({value}), 0), COALESCE(sum(GREATEST({value}, 0)), 0)
        FROM {table} s JOIN players_player p ON p.id = s.player_id {join}
        WHERE s.run_id = %s GROUP BY 1, 2 ORDER BY 1, 2
        """,
        [run.pk],
    )
    bands: list[dict[str, Any]] = [
        {"from": STARTS[band], "to": (band + 1) / BANDS, "players": 0, "sum": 0.0, "value": {}} for band in range(BANDS)
    ]
    values: dict[str, Any] = {}
    for band, currency, players, total, amount, stake in rows:
        bands[band]["players"] += players
        bands[band]["sum"] += float(total)
        bands[band]["value"][currency] = str(amount)
        bands[band].setdefault("stake", {})[currency] = str(stake)
        bands[band].setdefault("currencies", {})[currency] = {"players": players, "sum": float(total)}
        values[currency] = values.get(currency, 0) + amount
    players = sum(band["players"] for band in bands)
    mean = sum(band["sum"] for band in bands) / players if players else None
    return {"players": players, "mean": mean, "value": {name: str(total) for name, total in values.items()}, "histogram": bands}


def _of_values(run: ScoringRun) -> dict[str, Any]:
    rows = _rows(
        """
        SELECT currency, count(*), sum(value), avg(value)::numeric(20, 4), min(value), max(value),
            percentile_disc(ARRAY[0.01, 0.1, 0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY value), sum(churn_adjusted), avg(confidence)
        FROM predictions_valuescore WHERE run_id = %s GROUP BY 1 ORDER BY 2 DESC, 1
        """,
        [run.pk],
    )
    currencies = {}
    histogram: list[dict[str, Any]] = []
    for currency, players, total, mean, lowest, highest, (p01, p10, p50, p90, p99), adjusted, confidence in rows:
        currencies[currency] = {
            "players": players,
            "total": str(total),
            "mean": str(mean),
            "p10": str(p10),
            "p50": str(p50),
            "p90": str(p90),
            "churn_adjusted": None if adjusted is None else str(adjusted),
            "confidence": float(confidence),
        }
        histogram += _value_bands(run, currency, (lowest, p01, p99, highest))
    return {
        "players": sum(one["players"] for one in currencies.values()),
        "currencies": currencies,
        "without_unit": _without_value(run),
        "histogram": histogram,
    }


def _value_bands(run: ScoringRun, currency: str, edges: tuple[Any, Any, Any, Any]) -> list[dict[str, Any]]:
    """Bands of equal width between the first and the last hundredth of the players; the outermost take in the tails."""
    lowest, low, high, highest = (float(edge) for edge in edges)
    if high <= low:
        low, high = lowest, max(highest, lowest + 1.0)
    rows = _rows(
        """
        SELECT LEAST(GREATEST(width_bucket(value::float8, %s, %s, %s), 1), %s) - 1, count(*), sum(value) FROM predictions_valuescore
        WHERE run_id = %s AND currency = %s GROUP BY 1 ORDER BY 1
        """,
        [low, high, VALUE_BANDS, VALUE_BANDS, run.pk, currency],
    )
    found = {band: (players, total) for band, players, total in rows}
    width = (high - low) / VALUE_BANDS
    bands = []
    for band in range(VALUE_BANDS):
        players, total = found.get(band, (0, 0))
        start = lowest if band == 0 else low + band * width
        end = highest if band == VALUE_BANDS - 1 else low + (band + 1) * width
        bands.append({"currency": currency, "from": start, "to": end, "players": players, "value": {currency: str(total)}})
    return bands


def _without_value(run: ScoringRun) -> dict[str, int]:
    """Currency without a unit to its players who were scored otherwise. Counted in the kind that covers most players: fraud is looked for
    with everybody, of churn and engagement the excluded and closed are missing."""
    other = next((kind for kind in (Kind.FRAUD, Kind.CHURN, Kind.ENGAGEMENT) if kind in run.versions), None)
    if other is None:
        return {}
    return dict(
        _rows(
            f"""
            SELECT p.currency, count(*) FROM {SCORES[other]._meta.db_table} s JOIN players_player p ON p.id = s.player_id
            WHERE s.run_id = %s AND NOT p.currency = ANY(%s)
            GROUP BY 1 ORDER BY 1
            """,
            [run.pk, list(run.units)],
        )
    )


def _of_segments(run: ScoringRun) -> dict[str, Any]:
    table = "predictions_segmentscore"
    clusters = dict(_rows(f"SELECT cluster, count(*) FROM {table} WHERE run_id = %s GROUP BY 1 ORDER BY 1", [run.pk]))
    segments = dict(_rows(f"SELECT rfm_segment, count(*) FROM {table} WHERE run_id = %s GROUP BY 1 ORDER BY 2 DESC, 1", [run.pk]))
    moves: dict[str, dict[str, int]] = {}
    for cluster, following, players in _rows(
        f"SELECT cluster, next_cluster, count(*) FROM {table} WHERE run_id = %s GROUP BY 1, 2 ORDER BY 1, 2", [run.pk]
    ):
        moves.setdefault(str(cluster), {})[str(following)] = players
    ((stability,),) = _rows(f"SELECT avg(stability) FROM {table} WHERE run_id = %s", [run.pk])
    return {
        "players": sum(clusters.values()),
        "clusters": {str(cluster): players for cluster, players in clusters.items()},
        "segments": segments,
        "stability": stability,
        "transitions": moves,
        "histogram": [{"from": cluster, "to": cluster, "players": players} for cluster, players in clusters.items()],
    }


def _rows(sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
