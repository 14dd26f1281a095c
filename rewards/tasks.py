"""The jobs of the rewards app. Each works one range of ids in one transaction and may run twice."""

from typing import Any

from loyalty_site.common.clock import utc_now
from loyalty_site.common.jobs import Job, Scope, id_ranges, register
from rewards import earning, services, tiers

_CHUNK = 5_000
_players = id_ranges("players_player", chunk_size=_CHUNK)
_to_issue = id_ranges(
    "(SELECT id, player_id FROM rewards_rewarddecision WHERE status IN ('AUTO_APPROVED', 'APPROVED')) AS approved",
    chunk_size=_CHUNK,
    player_column="player_id",
)
_waiting = id_ranges(
    "(SELECT id, player_id FROM rewards_rewarddecision WHERE status = 'PENDING') AS waiting", chunk_size=_CHUNK, player_column="player_id"
)


def _points(scope: Scope) -> dict[str, Any]:
    return earning.credit_play_points(scope.lower_id, scope.upper_id, scope.as_of)


def _tiers(scope: Scope) -> dict[str, Any]:
    return tiers.settle_range(scope.lower_id, scope.upper_id, scope.as_of)


def _evaluate(scope: Scope) -> dict[str, Any]:
    return services.evaluate_players(scope.lower_id, scope.upper_id, scope.as_of, run_id=scope.run_id)


def _issue(scope: Scope) -> dict[str, Any]:
    # money moves now, whatever instant the run computes for: a player excluded since then gets nothing, and terms run from today
    result = services.issue_range(scope.lower_id, scope.upper_id, at=max(scope.as_of, utc_now()))
    return {"rows": result.issued, "issued": result.issued, "failed": result.failed, "refused": result.refused}


def _lapse(scope: Scope) -> dict[str, Any]:
    lapsed = services.lapse(scope.as_of, lower_id=scope.lower_id, upper_id=scope.upper_id)
    return {"rows": lapsed, "lapsed": lapsed}


register(Job("rewards.tier_points", "Points for play", _points, _players))
register(Job("rewards.tiers", "Tiers: upgrades, reviews, graces", _tiers, _players))
register(Job("rewards.evaluate", "Reward rules", _evaluate, _players))
register(Job("rewards.issue", "Issue rewards", _issue, _to_issue))
register(Job("rewards.lapse", "Lapse rewards nobody decided on", _lapse, _waiting))
