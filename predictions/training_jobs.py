"""The job "predictions.train": one chunk a kind, so that progress, failure and rerun are by kind and workers share the kinds.

Parameters: {"kinds": [...], "seed": 0, "is_synthetic": false}; without kinds, all of them. A kind with too little data is no failure:
its chunk says what is missing. No second training is recorded while one is open, whoever starts it (`jobs.create_run`).

A kind is trained in its chunk's transaction, which takes minutes and is harmless: docs/models.md says why.
"""

from collections.abc import Iterator
from typing import Any

from celery import shared_task

from loyalty_site.common.jobs import Job, Scope, register
from loyalty_site.common.models import JobRun
from predictions import enqueueing

from .models import Kind

NAME = "predictions.train"


NOT_TRAINED = "not trained"  # how the words of a chunk begin that made no version


def trained_nothing(run: JobRun) -> bool:
    """Whether a training has ended well and made no version: its chunks say why."""
    return run.name == NAME and run.status == JobRun.Status.SUCCEEDED and not run.rows_done


def kinds_of(parameters: dict[str, Any]) -> list[str]:
    """The kinds of a run in their order. Raises ValueError for an unknown one."""
    return [str(Kind(kind)) for kind in parameters.get("kinds") or Kind.values]


def train_ranges(parameters: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """One range a kind: its place in the list of kinds. A run narrowed to single players trains nothing."""
    if not parameters.get("ids"):
        yield from ((place, place + 1) for place, _kind in enumerate(kinds_of(parameters)))


def train_range(scope: Scope) -> dict[str, Any]:
    """Train the kinds of the range. Returns what was made of each, in words (numbers would be summed over the kinds)."""
    from predictions import training

    run = JobRun.objects.select_related("requested_by").get(pk=scope.run_id)
    rows = 0
    outcomes = {}
    for kind in kinds_of(scope.parameters)[scope.lower_id : scope.upper_id]:
        if not scope.parameters.get("kinds") and training.is_up_to_date(kind):
            outcomes[kind] = f"{NOT_TRAINED}: what it learns from does not change"
            continue
        outcome = training.attempt(
            kind,
            as_of=scope.as_of,
            seed=int(scope.parameters.get("seed", 0)),
            requested_by=run.requested_by,
            is_synthetic=bool(scope.parameters.get("is_synthetic", False)),
        )
        rows += outcome.rows
        outcomes[kind] = outcome.words
    return {"rows": rows, **outcomes}


def enqueue(run: JobRun) -> bool:
    """Ask a worker to execute a recorded training; False when the broker does not answer."""
    return enqueueing.enqueue(execute_training, run)


@shared_task(name="predictions.execute_training", acks_late=False)
def execute_training(*, run_id: int) -> None:
    """Run a training that staff started, after one that runs already.

    Acknowledged before it runs: a long training must not be delivered a second time. A run whose worker died is taken up again.
    """
    enqueueing.execute(run_id)


register(
    Job(
        NAME,
        "Training of the models",
        train_range,
        train_ranges,
        one_open=True,
        start_on="on the page Models or with manage.py train_models",
    )
)
