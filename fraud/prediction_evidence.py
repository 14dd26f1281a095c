"""What the predictions learn from the detectors and from closed reviews. Registered in `fraud.apps`; pandas is loaded when asked."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import connection

from fraud.models import AbuseSignal, AccountLink, ReviewFlag, SignalKind
from predictions.hooks import FraudDetail

_LINKED_SHOWN = 20
_OUTCOME = {ReviewFlag.Status.CONFIRMED: 1, ReviewFlag.Status.FALSE_POSITIVE: 0}


def strongest_signals(lower_id: int, upper_id: int) -> dict[int, tuple[str, float]]:
    """Kind and strength of the strongest signal of the players with `lower_id <= id < upper_id` who have one; ties: the latest."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT ON (player_id) player_id, kind, strength::float8 FROM fraud_abusesignal
            WHERE player_id >= %s AND player_id < %s ORDER BY player_id, strength DESC, seen_at DESC, id
            """,
            [lower_id, upper_id],
        )
        return {player: (kind, strength) for player, kind, strength in cursor.fetchall()}


def details(player_ids: Sequence[int]) -> dict[int, FraudDetail]:
    """Signals in words and linked accounts of the players of a page, those that have any."""
    from fraud.evidence import describe

    ids = list(player_ids)
    signals: dict[int, list[AbuseSignal]] = defaultdict(list)
    found = AbuseSignal.objects.filter(player_id__in=ids).select_related("player").order_by("-strength", "-seen_at", "id")
    for signal in found:
        signals[signal.player_id].append(signal)
    linked = _linked(ids)
    answer = {}
    for player in {*signals, *linked}:
        own = signals.get(player, [])
        answer[player] = FraudDetail(
            fraud_type=str(own[0].kind) if own else "",
            severity=float(own[0].strength) if own else 0.0,
            suspicious_activity=tuple(
                f"{SignalKind(one.kind).label}: {describe(one.kind, one.evidence, one.player.currency).summary}" for one in own
            ),
            linked_accounts=tuple(linked.get(player, {})),
            shared_attributes=linked.get(player, {}),
            seen_at=own[0].seen_at if own else None,
        )
    return answer


def _linked(player_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Player to {operator's id of a linked account: what they share, in words}; strongest links first, at most 20 a player.

    Tokens of more players than the detector's caps allow say nothing (an airport's address) and are left out, as the detector does.
    """
    from fraud.detectors import DEFAULTS

    caps = {
        AccountLink.Kind.DEVICE: DEFAULTS.most_players_per_device,
        AccountLink.Kind.INSTRUMENT: DEFAULTS.most_players_per_instrument,
        AccountLink.Kind.IP: DEFAULTS.most_players_per_ip,
    }
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH mine AS (SELECT player_id, kind, token FROM fraud_accountlink WHERE player_id = ANY(%(ids)s)),
            cap (kind, most) AS (SELECT * FROM unnest(%(kinds)s::text[], %(most)s::int[])),
            few AS (
                SELECT t.kind, t.token FROM (SELECT DISTINCT kind, token FROM mine) t JOIN cap USING (kind)
                CROSS JOIN LATERAL (
                    SELECT count(*) AS players FROM (
                        SELECT 1 FROM fraud_accountlink o WHERE o.kind = t.kind AND o.token = t.token LIMIT cap.most + 1
                    ) bounded
                ) counted
                WHERE counted.players BETWEEN 2 AND cap.most
            )
            SELECT m.player_id, p.external_id, array_agg(DISTINCT m.kind) AS shared, count(*) AS tokens
            FROM mine m JOIN few USING (kind, token)
            JOIN fraud_accountlink o ON o.kind = m.kind AND o.token = m.token AND o.player_id <> m.player_id
            JOIN players_player p ON p.id = o.player_id
            GROUP BY 1, 2 ORDER BY 1, count(DISTINCT m.kind) DESC, count(*) DESC, 2
            """,
            {"ids": list(player_ids), "kinds": [str(kind) for kind in caps], "most": list(caps.values())},
        )
        rows = cursor.fetchall()
    linked: dict[int, dict[str, str]] = defaultdict(dict)
    for player, external_id, kinds, _ in rows:
        if len(linked[player]) < _LINKED_SHOWN:
            shared = [AccountLink.Kind(kind).label for kind in AccountLink.Kind.values if kind in kinds]
            linked[player][external_id] = ", ".join(shared).lower()
    return dict(linked)


def outcomes() -> Any:
    """pandas DataFrame as in `predictions.ml.cases`, by player_id: whether abuse was confirmed, when the review was asked for and when
    it was closed, and the abuse score (0 to 1) when it was asked for. The last closed review of a player counts; inconclusive ones say
    nothing."""
    import pandas as pd

    from predictions.ml import cases

    reviews = ReviewFlag.objects.filter(status__in=list(_OUTCOME), closed_at__isnull=False).order_by("closed_at", "id")
    closed = {
        player: (_OUTCOME[ReviewFlag.Status(status)], opened, decided, float(score) / 100)
        for player, status, opened, decided, score in reviews.values_list("player_id", "status", "flagged_at", "closed_at", "score_at_flag")
    }
    if not closed:
        return cases.none()
    frame = pd.DataFrame.from_dict(closed, orient="index", columns=list(cases.COLUMNS)).sort_index()
    return frame.astype(dict(cases.none().dtypes)).set_index(frame.index.astype("int64").rename("player_id"))
