"""The jobs of the predictions, one after the other: "predictions.score" for all players, "predictions.prepare" for what belongs to the
scores, "predictions.publish", which shows the run at once, and "predictions.prune", which deletes what nobody sees any more.

Nothing here imports a machine-learning library before a range is worked: web processes know the jobs as well.
"""

from collections.abc import Iterator
from typing import Any

from loyalty_site.common.jobs import Job, Pipeline, Scope, id_ranges, register
from predictions import artifact_pruning, promotion_jobs, training_jobs  # noqa: F401 - Celery finds tasks and jobs through this module

CHUNK_PLAYERS = 10_000
_MANY_PLAYERS = 50_000  # of a chunk that touches few rows of each
# ranges without players, for what is done once: ids begin at 1
NOBODY = (0, 1)
_AT_THE_END = (-1, 0)
_players = id_ranges("players_player", chunk_size=CHUNK_PLAYERS)
_many_players = id_ranges("players_player", chunk_size=_MANY_PLAYERS)


def score_ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """A range without players first: it makes the run, for which the others would otherwise wait as long as a whole range takes.

    A run narrowed to single players scores nobody: a run is shown as a whole or not at all (`services.score_player` scores one).
    """
    if parameters.get("ids"):
        return
    yield NOBODY
    yield from _players(parameters)


def prepare_ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """First the end of scoring; then the reasons; last the sums, for which the run's row is held, so that they hold up nobody."""
    if parameters.get("ids"):
        return
    yield NOBODY
    yield from _many_players(parameters)
    yield _AT_THE_END


def publish_ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    if not parameters.get("ids"):
        yield NOBODY


def prune_ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    if not parameters.get("ids"):
        yield from _players(parameters)


def score(scope: Scope) -> dict[str, Any]:
    from predictions.scoring import score_range

    return score_range(scope.lower_id, scope.upper_id, scope.as_of)


def prepare(scope: Scope) -> dict[str, Any]:
    from predictions import preparing

    if (scope.lower_id, scope.upper_id) == NOBODY:
        return preparing.close(scope.as_of)
    if (scope.lower_id, scope.upper_id) == _AT_THE_END:
        return preparing.describe(scope.as_of)
    return preparing.explain(scope.lower_id, scope.upper_id, scope.as_of)


def publish(scope: Scope) -> dict[str, Any]:
    from predictions.publishing import publish as publish_run

    return publish_run(scope.as_of)


def prune(scope: Scope) -> dict[str, Any]:
    from predictions.pruning import prune as prune_range

    return prune_range(scope.lower_id, scope.upper_id, scope.as_of)


register(Job("predictions.score", "Scores of all players", score, score_ranges))
register(Job("predictions.prepare", "Reasons and sums of the scores", prepare, prepare_ranges))
register(Job("predictions.publish", "Publication of the scores", publish, publish_ranges))
register(Job("predictions.prune", "Removal of old scores", prune, prune_ranges))
_STAGES = ("predictions.score", "predictions.prepare", "predictions.publish", "predictions.prune")
register(Pipeline("predictions", "Predictions", _STAGES))
