"""What the detectors read: one set-based query a detector and range of players, as frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from django.db import connection

from fraud.detectors import DEFAULTS, DetectorParameters
from loyalty_site.common.money import from_minor

_LINK_ROUNDS = 8


@dataclass(frozen=True)
class Range:
    """Players with `lower_id <= id < upper_id`, events before `as_of`."""

    lower_id: int
    upper_id: int
    as_of: datetime
    parameters: DetectorParameters = DEFAULTS

    def values(self, days: int) -> dict[str, Any]:
        return {"lower": self.lower_id, "upper": self.upper_id, "as_of": self.as_of, "since": self.as_of - timedelta(days=days)}


def bonus_play(of: Range) -> pd.DataFrame:
    """Columns of `detect_bonus_only`, for players who staked bonus money in the window (whole UTC days).

    Deposits are those of the whole history: a customer of years who only takes gifts for a while has paid.
    """
    return _frame(
        """
        WITH play AS (
            SELECT player_id, sum(stake) AS stake, sum(bonus_stake) AS bonus_stake,
                count(*) FILTER (WHERE bonus_stake > 0) AS bonus_days, max(day) FILTER (WHERE bonus_stake > 0) AS last_day
            FROM players_playerday
            WHERE player_id >= %(lower)s AND player_id < %(upper)s
                AND day >= (%(since)s AT TIME ZONE 'UTC')::date AND day <= (%(as_of)s AT TIME ZONE 'UTC')::date
            GROUP BY player_id HAVING sum(bonus_stake) > 0
        ), granted AS (
            SELECT player_id, count(*) AS grants FROM wallet_bonusgrant
            WHERE player_id >= %(lower)s AND player_id < %(upper)s AND activated_at >= %(since)s AND activated_at < %(as_of)s
            GROUP BY player_id
        )
        SELECT player_id, stake, bonus_stake, net_deposits, deposit_count, bonus_days, COALESCE(grants, 0) AS grants,
            LEAST((last_day + 1)::timestamp AT TIME ZONE 'UTC', %(as_of)s) AS last_bonus_at
        FROM play LEFT JOIN granted USING (player_id)
        CROSS JOIN LATERAL (
            SELECT sum(deposits) - sum(refunds) AS net_deposits, sum(deposit_count) AS deposit_count FROM players_playerday d
            WHERE d.player_id = play.player_id AND d.day <= (%(as_of)s AT TIME ZONE 'UTC')::date
        ) paid
        ORDER BY player_id
        """,
        of.values(of.parameters.window_days),
        moments=("last_bonus_at",),
    )


def withdrawals_after_credit(of: Range) -> pd.DataFrame:
    """Columns of `detect_immediate_withdrawal`: withdrawals with the last deposit or bonus grant in the hours before."""
    frame = _frame(
        """
        SELECT w.player_id, w.id AS withdrawal_id, w.occurred_at AS withdrawn_at, w.amount, c.source, c.at AS credited_at,
            c.credited, c.minor, c.currency, COALESCE(b.staked, 0) AS staked, COALESCE(b.rounds, 0) AS rounds
        FROM players_payment w
        CROSS JOIN LATERAL (
            (SELECT 'deposit' AS source, d.occurred_at AS at, d.amount AS credited, NULL::bigint AS minor, '' AS currency
            FROM players_payment d
            WHERE d.player_id = w.player_id AND d.kind = 'DEPOSIT' AND d.status = 'COMPLETED'
                AND d.occurred_at < w.occurred_at AND d.occurred_at >= w.occurred_at - make_interval(hours => %(hours)s)
            ORDER BY d.occurred_at DESC LIMIT 1)
            UNION ALL
            (SELECT 'bonus', g.activated_at, NULL, g.principal, g.currency FROM wallet_bonusgrant g
            WHERE g.player_id = w.player_id AND g.activated_at < w.occurred_at
                AND g.activated_at >= w.occurred_at - make_interval(hours => %(hours)s)
            ORDER BY g.activated_at DESC LIMIT 1)
            ORDER BY at DESC LIMIT 1
        ) c
        LEFT JOIN LATERAL (
            SELECT sum(p.stake) AS staked, sum(p.rounds) AS rounds FROM players_gameplay p
            WHERE p.player_id = w.player_id AND p.played_at >= c.at AND p.played_at < w.occurred_at
        ) b ON true
        WHERE w.player_id >= %(lower)s AND w.player_id < %(upper)s AND w.kind = 'WITHDRAWAL' AND w.status IN ('COMPLETED', 'PENDING')
            AND w.occurred_at >= %(since)s AND w.occurred_at < %(as_of)s
        ORDER BY w.player_id, w.occurred_at, w.id
        """,
        {**of.values(of.parameters.window_days), "hours": int(of.parameters.withdrawal_within_hours)},
        moments=("withdrawn_at", "credited_at"),
    )
    granted = frame["minor"].notna()
    if granted.any():
        pairs = zip(frame.loc[granted, "minor"], frame.loc[granted, "currency"], strict=True)
        frame.loc[granted, "credited"] = pd.Series(
            [from_minor(int(minor), currency) for minor, currency in pairs], index=frame.index[granted], dtype=object
        )
    return frame.drop(columns=["minor", "currency"])


def plays_around_bonuses(of: Range) -> pd.DataFrame:
    """Columns of `detect_bet_manipulation`: plays from the first bonus play in the window until some hours after the last."""
    return _frame(
        """
        WITH used AS (
            SELECT player_id, min(played_at) AS first_at, max(played_at) AS last_at FROM players_gameplay
            WHERE player_id >= %(lower)s AND player_id < %(upper)s AND played_at >= %(since)s AND played_at < %(as_of)s AND bonus_stake > 0
            GROUP BY player_id
        )
        SELECT p.player_id, p.id AS play_id, p.played_at, p.stake, p.bonus_stake, p.rounds
        FROM used u JOIN players_gameplay p ON p.player_id = u.player_id AND p.played_at >= u.first_at
            AND p.played_at <= u.last_at + make_interval(hours => %(hours)s) AND p.played_at < %(as_of)s
        """,
        {**of.values(of.parameters.window_days), "hours": int(of.parameters.jump_within_hours)},
        moments=("played_at",),
    )


def win_sums(of: Range) -> pd.DataFrame:
    """Columns of `detect_win_rate`; games without a known edge or deviation are left out, as nothing can be said about them."""
    return _frame(
        """
        WITH play AS (
            SELECT p.player_id, p.rounds, p.stake, p.payout, p.played_at, p.stake * (1 - g.house_edge) AS expected,
                p.stake * p.stake / p.rounds * g.round_sd * g.round_sd AS variance
            FROM players_gameplay p JOIN players_game g ON g.id = p.game_id
            WHERE p.player_id >= %(lower)s AND p.player_id < %(upper)s AND p.played_at >= %(since)s AND p.played_at < %(as_of)s
                AND p.stake > 0 AND g.house_edge IS NOT NULL AND g.round_sd IS NOT NULL
        ), ranked AS (
            SELECT *, row_number() OVER (PARTITION BY player_id ORDER BY payout - expected DESC) AS place FROM play
        )
        SELECT player_id, count(*) FILTER (WHERE place > 1) AS records, COALESCE(sum(rounds) FILTER (WHERE place > 1), 0) AS rounds,
            COALESCE(sum(stake) FILTER (WHERE place > 1), 0) AS stake, COALESCE(sum(payout) FILTER (WHERE place > 1), 0) AS payout,
            COALESCE(sum(expected) FILTER (WHERE place > 1), 0) AS expected,
            COALESCE(sum(variance) FILTER (WHERE place > 1), 0) AS variance,
            max(payout - expected) AS best_surplus, max(played_at) AS last_played_at
        FROM ranked GROUP BY player_id ORDER BY player_id
        """,
        of.values(of.parameters.win_rate_window_days),
        moments=("last_played_at",),
    )


def shared_links(of: Range) -> pd.DataFrame:
    """Columns of `detect_multi_account`: every shared token of the players in the range and of all they are linked to, however far.

    The net is followed along devices and instruments; tokens of more players than the caps allow are never opened.
    """
    tokens = _shared_tokens("l.player_id >= %(lower)s AND l.player_id < %(upper)s", of.values(0), of)
    reached: set[int] = set()
    frontier = [one for one in tokens if one[0] != "IP"]
    for _ in range(_LINK_ROUNDS):
        players = _players_of(frontier) - reached
        if not players:
            break
        reached |= players
        found = _shared_tokens("l.player_id = ANY(%(players)s)", {"players": sorted(players)}, of)
        frontier = [one for one in found if one[0] != "IP" and one not in tokens]
        tokens |= found
    kinds, values = _columns(tokens)
    return _frame(
        """
        SELECT l.player_id, l.kind, l.token, l.uses / t.total AS share, l.last_seen_at
        FROM unnest(%(kinds)s::text[], %(tokens)s::text[]) AS s(kind, token)
        JOIN fraud_accountlink l ON l.kind = s.kind AND l.token = s.token
        CROSS JOIN LATERAL (
            SELECT sum(a.uses)::float8 AS total FROM fraud_accountlink a WHERE a.player_id = l.player_id AND a.kind = l.kind
        ) t
        ORDER BY l.player_id, l.kind, l.token
        """,
        {"kinds": kinds, "tokens": values},
        moments=("last_seen_at",),
    )


def _shared_tokens(condition: str, values: dict[str, Any], of: Range) -> set[tuple[str, str]]:
    """(kind, token) with at least two players and no more than the cap, among the links that meet the condition."""
    parameters = of.parameters
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH mine AS (SELECT DISTINCT l.kind, l.token FROM fraud_accountlink l WHERE {condition}),
            cap(kind, most) AS (VALUES ('DEVICE', %(device)s), ('INSTRUMENT', %(instrument)s), ('IP', %(ip)s))
            SELECT m.kind, m.token FROM mine m JOIN cap USING (kind)
            CROSS JOIN LATERAL (
                SELECT count(*) AS players FROM (
                    SELECT 1 FROM fraud_accountlink o WHERE o.kind = m.kind AND o.token = m.token LIMIT cap.most + 1
                ) AS bounded
            ) AS counted
            WHERE counted.players BETWEEN 2 AND cap.most
            """,
            {
                **values,
                "device": parameters.most_players_per_device,
                "instrument": parameters.most_players_per_instrument,
                "ip": parameters.most_players_per_ip,
            },
        )
        return {(kind, token) for kind, token in cursor.fetchall()}


def _players_of(tokens: Sequence[tuple[str, str]]) -> set[int]:
    if not tokens:
        return set()
    kinds, values = _columns(tokens)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT l.player_id FROM unnest(%s::text[], %s::text[]) AS s(kind, token)
            JOIN fraud_accountlink l ON l.kind = s.kind AND l.token = s.token
            """,
            [kinds, values],
        )
        return {row[0] for row in cursor.fetchall()}


def _columns(tokens: Sequence[tuple[str, str]] | set[tuple[str, str]]) -> tuple[list[str], list[str]]:
    ordered = sorted(tokens)
    return [kind for kind, _ in ordered], [token for _, token in ordered]


def _frame(sql: str, values: dict[str, Any], *, moments: tuple[str, ...] = ()) -> pd.DataFrame:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        names = [column.name for column in cursor.description]
        frame = pd.DataFrame(cursor.fetchall(), columns=names)
    for name in moments:
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame
