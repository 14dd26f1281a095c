"""What the players of a batch already got or have waiting: for cooldowns, duplicates, stacking, caps and per-player budgets.

Exact only while the players are locked (`columns.lock_players`), because every writer of decisions holds that lock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
from django.db import connection

from loyalty_site.common.clock import day_start
from rewards.granting.rows import Rows
from rewards.granting.states import LIVE
from rewards.profit import CapUse

_CAPS = """
SELECT player_id, currency, COALESCE(sum(amount_minor) FILTER (WHERE proposed_at >= %(day)s), 0),
    COALESCE(sum(amount_minor) FILTER (WHERE proposed_at >= %(week)s), 0), sum(amount_minor)
FROM rewards_rewarddecision
WHERE player_id = ANY(%(players)s) AND unit = 'BONUS' AND status = ANY(%(live)s) AND proposed_at >= %(month)s AND NOT id = ANY(%(without)s)
GROUP BY player_id, currency
"""
_RULES = """
SELECT player_id, rule_id, unit, max(proposed_at), sum(amount_minor)
FROM rewards_rewarddecision
WHERE player_id = ANY(%(players)s) AND rule_id = ANY(%(rules)s) AND status = ANY(%(live)s) AND NOT id = ANY(%(without)s)
GROUP BY player_id, rule_id, unit
"""
_PERIODS = """
SELECT d.player_id, d.rule_id, d.period, v.number
FROM rewards_rewarddecision d JOIN rewards_ruleversion v ON v.id = d.rule_version_id
WHERE d.player_id = ANY(%(players)s) AND d.rule_id = ANY(%(rules)s) AND d.period = ANY(%(periods)s) AND d.status = ANY(%(live)s)
    AND NOT d.id = ANY(%(without)s)
"""
_GROUPS = """
SELECT d.player_id, d.stacking_group, d.rule_id, r.rule_id, max(d.proposed_at)
FROM rewards_rewarddecision d JOIN rewards_rewardrule r ON r.id = d.rule_id
WHERE d.player_id = ANY(%(players)s) AND d.stacking_group = ANY(%(groups)s) AND d.status = ANY(%(live)s) AND NOT d.id = ANY(%(without)s)
GROUP BY d.player_id, d.stacking_group, d.rule_id, r.rule_id
"""


@dataclass
class History:
    """Live decisions (reserved or issued), without those that are being looked at again. Amounts in minor units."""

    caps: dict[tuple[int, str], CapUse] = field(default_factory=dict)
    last_at: dict[tuple[int, int], datetime] = field(default_factory=dict)
    given: dict[tuple[int, int, str], int] = field(default_factory=dict)
    periods: dict[tuple[int, int, str], int] = field(default_factory=dict)
    groups: dict[tuple[int, str], list[tuple[int, str, datetime]]] = field(default_factory=dict)

    def last_reward(self, rows: Rows) -> npt.NDArray[np.object_]:
        """When each row's player last got a reward of the row's rule; None: never."""
        column = np.empty(len(rows), dtype=object)
        rules = rows.each(lambda origin: origin.rule_key)
        column[:] = [self.last_at.get((player, rule)) for player, rule in zip(rows.player_id.tolist(), rules, strict=True)]
        return column


def load_history(rows: Rows, at: datetime, *, without: Sequence[int] = ()) -> History:
    """`without`: decisions to leave out, because they are what is being checked."""
    today = day_start(at.astimezone(UTC).date())
    rules = sorted({origin.rule_key for origin in rows.origins} - {0})
    groups = sorted({origin.stacking_group for origin in rows.origins} - {""})
    parameters = {
        "players": np.unique(rows.player_id).tolist(),
        "rules": rules,
        "groups": groups,
        "periods": sorted({origin.period for origin in rows.origins} - {""}),
        "live": list(LIVE),
        "day": today,
        "week": today - timedelta(days=6),
        "month": today - timedelta(days=29),
        "without": list(without),
    }
    history = History()
    with connection.cursor() as cursor:
        cursor.execute(_CAPS, parameters)
        for player, currency, day, week, month in cursor.fetchall():
            history.caps[player, currency] = CapUse(int(day), int(week), int(month))
        if rules:
            cursor.execute(_RULES, parameters)
            for player, rule, unit, last_at, given in cursor.fetchall():
                history.last_at[player, rule] = max(last_at, history.last_at.get((player, rule), last_at))
                history.given[player, rule, unit] = int(given)
            cursor.execute(_PERIODS, parameters)
            for player, rule, period, number in cursor.fetchall():
                history.periods[player, rule, period] = number
        if groups:
            cursor.execute(_GROUPS, parameters)
            for player, group, rule, name, last_at in cursor.fetchall():
                history.groups.setdefault((player, group), []).append((rule, name, last_at))
    return history
