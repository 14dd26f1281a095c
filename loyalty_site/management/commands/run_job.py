"""`manage.py run_job NAME`: run one job or pipeline here and now, or hand it to the workers."""

import json
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from loyalty_site.common import jobs
from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.models import JobRun
from players.models import Player
from predictions.instants import require_past
from predictions.models import ScoringRun

_SCORES = ("predictions", "predictions.score")


class Command(BaseCommand):
    help = "Run a job or pipeline (such as nightly or hourly). Prints one JSON line and exits 1 when the run failed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="Name of a job; an unknown name lists them.")
        self.add_run_arguments(parser)

    def add_run_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--as-of", help="Instant to compute for, ISO 8601 with zone, none to come; default: now.")
        parser.add_argument("--player", action="append", default=[], metavar="ID", help="Only this player (may be repeated).")
        parser.add_argument("--queue", action="store_true", help="Hand the run to the workers instead of waiting for it here.")
        parser.add_argument("--wait", action="store_true", help="Run it here and wait (the default).")

    def handle(self, *args: Any, name: str, as_of: str | None, player: list[str], queue: bool, **options: Any) -> None:
        try:
            jobs.require_startable_by_name(name)
            instant, parameters = self._instant(as_of), self._parameters(player)
            if name in _SCORES:
                self._require_would_be_shown(instant)
            run = jobs.create_run(name, as_of=instant, parameters=parameters)
        except (LookupError, jobs.JobRefused) as error:
            raise CommandError(str(error)) from error
        if queue:
            from loyalty_site.job_tasks import execute_run

            execute_run.delay(run_id=run.pk)
            self.stdout.write(json.dumps({"run": run.pk, "status": run.status}))
            return
        try:
            run = jobs.execute(run)
        except jobs.JobOverlap as error:
            jobs.withdraw(run, str(error))
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(self._summary(run)))
        if run.status != JobRun.Status.SUCCEEDED:
            raise CommandError(f"{run.title} ended {run.status}: {run.error}")

    def _instant(self, text: str | None) -> datetime:
        if text is None:
            return utc_now()
        try:
            return require_past(require_utc(datetime.fromisoformat(text), "--as-of"))
        except ValueError as error:
            raise CommandError(f"--as-of {text!r}: {error}. Example: 2026-03-15T02:30:00+00:00") from error

    def _require_would_be_shown(self, as_of: datetime) -> None:
        """The job itself would leave such scores out, and succeed: the night goes on without them."""
        if (later := ScoringRun.shown_after(as_of)) is not None:
            raise CommandError(
                f"{later} (run {later.pk}) are shown already, and those of {as_of:%Y-%m-%d %H:%M} would never be: nobody is scored. "
                "Give a later instant, or leave --as-of out."
            )

    def _parameters(self, external_ids: list[str]) -> dict[str, Any]:
        if not external_ids:
            return {}
        ids = dict(Player.objects.filter(external_id__in=external_ids).values_list("external_id", "pk"))
        if missing := [one for one in external_ids if one not in ids]:
            raise CommandError(f"no player {', '.join(missing)}; check the id with the player list")
        return {"ids": sorted(ids.values())}

    def _summary(self, run: JobRun) -> dict[str, Any]:
        return {
            "run": run.pk,
            "job": run.name,
            "status": run.status,
            "rows": run.rows_done,
            "seconds": round((run.finished_at - run.started_at).total_seconds(), 2) if run.finished_at and run.started_at else None,
            "result": run.result,
            "stages": [self._summary(stage) for stage in run.stages.order_by("id")],
        }
