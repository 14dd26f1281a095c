"""Publishing a scoring run: the switch, one short transaction that touches no row of a player.

Readers see the old run until the commit and the new one from then on. Killed before, nothing has happened, and the job runs again. What
belongs to the scores is there already, points of history included (`predictions.preparing`); what nobody sees any more goes afterwards
(`predictions.pruning`).
"""

import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from loyalty_site.common.clock import utc_now
from predictions.instants import require_past
from predictions.models import ScoringRun
from predictions.preparing import OPEN, NotComplete, has_succeeded
from predictions.thresholds import thresholds

logger = logging.getLogger(__name__)

_LEAST_RUNS = 2  # who reads the run that was current a moment ago still finds its rows


def publish(as_of: datetime) -> dict[str, Any]:
    """Show the run of `as_of`. Returns {"rows": players with a score}; {"rows": 0, "overtaken": 1} when a later run is shown already.

    A run that is published stays as it is; one that was overtaken is abandoned, however far it got. Raises NotComplete, naming the remedy,
    unless the jobs that score and prepare it have succeeded, and FutureInstant.
    """
    as_of = require_past(as_of)
    with transaction.atomic():
        run = ScoringRun.objects.select_for_update().filter(as_of=as_of).first()
        if (run is None or run.status in OPEN) and (later := ScoringRun.shown_after(as_of)) is not None:
            ScoringRun.objects.filter(as_of=as_of).update(status=ScoringRun.Status.ABANDONED)
            logger.info("predictions.run_overtaken as_of=%s shown=%s", as_of.isoformat(), later.pk)
            return {"rows": 0, "overtaken": 1}
        if run is None or not (has_succeeded("predictions.score", as_of) and has_succeeded("predictions.prepare", as_of)):
            raise NotComplete(
                f"The scores as of {as_of:%Y-%m-%d %H:%M:%S} UTC are not complete. Run the job predictions, which scores and publishes."
            )
        if run.status != ScoringRun.Status.COMPLETE:
            return {"rows": 0}
        _end_earlier(run, thresholds().runs_kept)
        ScoringRun.objects.filter(is_current=True).update(is_current=False)
        run.is_current, run.status, run.published_at = True, ScoringRun.Status.PUBLISHED, utc_now()
        run.save(update_fields=["is_current", "status", "published_at"])
    rows = max((run.summary[kind]["players"] for kind in run.versions), default=0)
    logger.info("predictions.run_published run=%s players=%s", run.pk, rows)
    return {"rows": rows}


def _end_earlier(run: ScoringRun, kept: int) -> None:
    """All but the last `kept` runs end (`run` counts; at least 2 stay), and those that were never finished. Their scores go later.

    A run that somebody holds (a worker of a dead night who is still at its range) is left to the next publication: nobody sees it until
    then, and the switch waits for nobody.
    """
    earlier = ScoringRun.objects.filter(as_of__lt=run.as_of)
    published = earlier.filter(status=ScoringRun.Status.PUBLISHED).order_by("-as_of").values_list("pk", flat=True)
    over = list(published[max(kept, _LEAST_RUNS) - 1 :])
    _end(ScoringRun.objects.filter(pk__in=over), ScoringRun.Status.PRUNED)
    _end(earlier.filter(status__in=OPEN), ScoringRun.Status.ABANDONED)


def _end(runs: QuerySet[ScoringRun], status: str) -> None:
    free = list(runs.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))
    ScoringRun.objects.filter(pk__in=free).update(status=status)
