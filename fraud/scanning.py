"""The scan: detect, keep the signals in step with the evidence, score, and put players into bands."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from constance import config
from django.db import connection, transaction
from django.db.models import Max
from psycopg.types.json import Jsonb

from fraud import selectors
from fraud.detectors import (
    DEFAULTS,
    BandEdges,
    DetectorParameters,
    Finding,
    detect_bet_manipulation,
    detect_bonus_only,
    detect_immediate_withdrawal,
    detect_multi_account,
    detect_win_rate,
    next_band,
    score_signals,
)
from fraud.detectors.scoring import Score, WeighedSignal
from fraud.links import refresh_links
from fraud.models import AbuseProfile, AbuseSignal, ReviewFlag, SignalKind
from loyalty_site.common.clock import require_utc
from players.services import apply_abuse_scores

_THOUSANDTH = Decimal("0.001")
_LEAST_DECAY = 0.01  # a signal that faded below this is forgotten
_LISTED_CONTRIBUTIONS = 10


def band_edges() -> BandEdges:
    """Raises ValueError, naming the edges, when the settings contradict each other."""
    return BandEdges(config.ABUSE_REDUCED_FROM, config.ABUSE_WAGERING_FROM, config.ABUSE_BLOCKED_FROM, config.ABUSE_BAND_HYSTERESIS)


def scan(lower_id: int, upper_id: int, as_of: datetime, parameters: DetectorParameters = DEFAULTS) -> dict[str, Any]:
    """Detect, store and score the players with `lower_id <= id < upper_id` as of `as_of`. Run again, nothing changes.

    Returns {"rows": players with a profile, "signals": findings, "removed": signals without evidence left, "scores_changed": n,
    and the number of players in each band}. Links of these players are refreshed first; those of other players are as of the last
    "fraud.links" run.
    """
    as_of = require_utc(as_of, "as_of")
    edges = band_edges()
    with transaction.atomic():
        refresh_links(lower_id, upper_id, as_of, parameters)
        findings = [one for one in detect(selectors.Range(lower_id, upper_id, as_of, parameters)) if lower_id <= one.player_id < upper_id]
        _lock_players(lower_id, upper_id)  # only now: the reading above takes most of the time, and others wait for these rows
        removed = _store_signals(findings, lower_id, upper_id, as_of, parameters)
        result = _score_range(lower_id, upper_id, as_of, edges, parameters)
    return {**result, "signals": len(findings), "removed": removed}


def detect(of: selectors.Range) -> list[Finding]:
    """All findings of all detectors. Those of MULTI_ACCOUNT may name players outside the range."""
    parameters = of.parameters
    return [
        *detect_bonus_only(selectors.bonus_play(of), parameters),
        *detect_immediate_withdrawal(selectors.withdrawals_after_credit(of), parameters),
        *detect_bet_manipulation(selectors.plays_around_bonuses(of), parameters),
        *detect_multi_account(selectors.shared_links(of), parameters),
        *detect_win_rate(selectors.win_sums(of), parameters),
    ]


def scan_players(player_ids: Iterable[int], as_of: datetime) -> int:
    """`scan` for some players; returns the number of findings. Neighbours are scanned together, and with them the few ids between."""
    return sum(int(scan(lower, upper, as_of)["signals"]) for lower, upper in close_ranges(player_ids))


def close_ranges(ids: Iterable[int], *, widest_gap: int = 50, longest: int = 5_000) -> Iterator[tuple[int, int]]:
    """Half-open ranges that cover `ids` in order: a gap of more than `widest_gap` ids, or `longest` ids, begins another."""
    lower = upper = None
    for one in sorted(ids):
        if lower is None or upper is None:
            lower, upper = one, one + 1
        elif one - upper >= widest_gap or one - lower >= longest:
            yield lower, upper
            lower, upper = one, one + 1
        else:
            upper = one + 1
    if lower is not None and upper is not None:
        yield lower, upper


def rescore(player_ids: Iterable[int], as_of: datetime) -> None:
    """Score a few players anew from their stored signals (after a review)."""
    with transaction.atomic():
        for player_id in sorted(player_ids):
            _lock_players(player_id, player_id + 1)
            _score_range(player_id, player_id + 1, require_utc(as_of, "as_of"), band_edges(), DEFAULTS)


def forget_undone_players(cursor: Any) -> None:
    """Delete what was derived from players whose import is undone (temp table `undone_player`): links, signals, scores."""
    for table in ("fraud_accountlink", "fraud_abusesignal", "fraud_abuseprofile"):
        cursor.execute(f"DELETE FROM {table} WHERE player_id IN (SELECT player_id FROM undone_player)")


def _lock_players(lower_id: int, upper_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM players_player WHERE id >= %s AND id < %s ORDER BY id FOR NO KEY UPDATE", [lower_id, upper_id])


def _windows(parameters: DetectorParameters) -> dict[str, int]:
    days = dict.fromkeys(SignalKind.values, parameters.window_days)
    days[SignalKind.MULTI_ACCOUNT] = parameters.link_window_days
    days[SignalKind.WIN_RATE] = parameters.win_rate_window_days
    return days


def _store_signals(findings: list[Finding], lower_id: int, upper_id: int, as_of: datetime, parameters: DetectorParameters) -> int:
    """Upsert the findings; drop signals of the window that no evidence supports any more, and those that faded away."""
    windows = _windows(parameters)
    faded = as_of - timedelta(days=_forgotten_after(float(config.ABUSE_SIGNAL_HALF_LIFE_DAYS)))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.finding")
        cursor.execute(
            "CREATE TEMP TABLE finding (player_id bigint, kind text, key text, strength numeric, seen_at timestamptz, evidence jsonb) "
            "ON COMMIT DROP"
        )
        with cursor.copy("COPY finding (player_id, kind, key, strength, seen_at, evidence) FROM STDIN") as copy:
            for one in findings:
                copy.write_row([one.player_id, one.kind, one.key, f"{one.strength:.5f}", one.seen_at, Jsonb(one.evidence)])
        cursor.execute(
            """
            INSERT INTO fraud_abusesignal AS s (player_id, kind, key, strength, first_seen_at, seen_at, evidence)
            SELECT player_id, kind, key, strength, seen_at, seen_at, evidence FROM finding ORDER BY player_id, kind, key
            ON CONFLICT (player_id, kind, key) DO UPDATE
            SET strength = EXCLUDED.strength, seen_at = EXCLUDED.seen_at, evidence = EXCLUDED.evidence
            WHERE (s.strength, s.seen_at, s.evidence) IS DISTINCT FROM (EXCLUDED.strength, EXCLUDED.seen_at, EXCLUDED.evidence)
            """
        )
        cursor.execute(
            """
            DELETE FROM fraud_abusesignal s USING unnest(%(kinds)s::text[], %(since)s::timestamptz[]) AS w(kind, since)
            WHERE s.player_id >= %(lower)s AND s.player_id < %(upper)s AND s.kind = w.kind
                AND (s.seen_at >= w.since OR s.seen_at < %(faded)s)
                AND NOT EXISTS (SELECT 1 FROM finding f WHERE f.player_id = s.player_id AND f.kind = s.kind AND f.key = s.key)
            """,
            {
                "kinds": list(windows),
                "since": [as_of - timedelta(days=days) for days in windows.values()],
                "faded": faded,
                "lower": lower_id,
                "upper": upper_id,
            },
        )
        removed = int(cursor.rowcount)
        cursor.execute("DROP TABLE finding")
    return removed


def _forgotten_after(half_life_days: float) -> float:
    return half_life_days * -math.log2(_LEAST_DECAY)


def _score_range(lower_id: int, upper_id: int, as_of: datetime, edges: BandEdges, parameters: DetectorParameters) -> dict[str, Any]:
    in_range = {"player_id__gte": lower_id, "player_id__lt": upper_id}
    cleared = dict(
        ReviewFlag.objects.filter(status=ReviewFlag.Status.FALSE_POSITIVE, **in_range)
        .order_by()
        .values_list("player_id")
        .annotate(last=Max("closed_at"))
    )
    signals: dict[int, list[WeighedSignal]] = defaultdict(list)
    rows = AbuseSignal.objects.filter(**in_range).order_by("player_id", "kind", "key")
    for player_id, kind, key, strength, first, seen in rows.values_list("player_id", "kind", "key", "strength", "first_seen_at", "seen_at"):
        # a cluster is one standing fact, so the day it was first seen decides; elsewhere every new event is new evidence
        known = first if kind == SignalKind.MULTI_ACCOUNT else seen
        if player_id in cleared and known <= cleared[player_id]:
            continue
        age = (as_of - seen).total_seconds() / 86400
        signals[player_id].append(WeighedSignal(kind, key, float(strength), age))
    stored = {profile.player_id: profile for profile in AbuseProfile.objects.filter(**in_range)}
    profiles = []
    for player_id in sorted(signals.keys() | stored.keys()):
        score = score_signals(signals[player_id], parameters.weights, float(config.ABUSE_SIGNAL_HALF_LIFE_DAYS))
        value = Decimal(score.value).quantize(_THOUSANDTH)
        held = stored[player_id].band if player_id in stored else "NONE"
        profiles.append(
            AbuseProfile(
                player_id=player_id,
                score=value,
                band=next_band(held, float(value), edges),
                contributions=_contributions(score),
                scored_at=as_of,
            )
        )
    AbuseProfile.objects.bulk_create(
        profiles, update_conflicts=True, unique_fields=["player"], update_fields=["score", "band", "contributions", "scored_at"]
    )
    changed = apply_abuse_scores([one.player_id for one in profiles], [one.score for one in profiles], as_of) if profiles else 0
    bands = Counter(profile.band for profile in profiles)
    return {"rows": len(profiles), "scores_changed": changed, **{band.lower(): count for band, count in sorted(bands.items())}}


def _contributions(score: Score) -> list[dict[str, Any]]:
    return [
        {name: round(value, 5) if isinstance(value, float) else value for name, value in asdict(one).items()}
        for one in score.contributions[:_LISTED_CONTRIBUTIONS]
    ]
