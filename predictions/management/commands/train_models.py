"""`manage.py train_models`: train models here and now, as a job run that staff can see.

A training that was left open by a process that ended (its overlap lock is free) is brought to its end first. It is this command's own when
it asks for the same, as after a killed `./loyalty demo`: what was trained before counts, and nothing is trained twice.
"""

import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from loyalty_site.common import jobs
from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.models import JobRun
from predictions import promotion, registry, training, training_jobs
from predictions.instants import require_past
from predictions.models import Kind, ModelVersion


class Command(BaseCommand):
    help = (
        "Train models on the history in the database. Prints one JSON line a kind. Nothing is put into use, "
        "except with --promote-first, and then only for a kind that has no version in use and passes its gate."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kind", action="append", choices=Kind.values, default=[], help="Only this kind (may be repeated).")
        parser.add_argument("--as-of", help="End of the history, ISO 8601 with zone; default: now.")
        parser.add_argument("--seed", type=int, default=0, help="Same seed, same data: same model (default 0).")
        parser.add_argument("--synthetic", action="store_true", help="The players are simulated; refused in production.")
        parser.add_argument("--promote-first", action="store_true", help="Put the first version of each kind into use.")

    def handle(
        self, *args: Any, kind: list[str], as_of: str | None, seed: int, synthetic: bool, promote_first: bool, **options: Any
    ) -> None:
        if synthetic and settings.IS_PRODUCTION:
            raise CommandError("--synthetic is for simulated operators and refused in production; train without it.")
        kinds: list[str] = kind or list(Kind.values)
        up_to = self._instant(as_of) if as_of is not None else None
        wanted = {"kinds": kinds, "seed": seed, "is_synthetic": synthetic}
        try:
            left = self._finish_left()
            if left is not None and self._is_done(left, wanted, up_to):
                run = left
            else:
                at = utc_now()
                run = training.start(kinds, None, at, reason="manage.py train_models", seed=seed, is_synthetic=synthetic, as_of=up_to)
                run = jobs.execute(run)
        except (training.TrainingRefused, jobs.JobOverlap) as error:
            raise CommandError(str(error)) from error
        made = ModelVersion.objects.filter(trained_at__gte=run.created_at, kind__in=kinds, seed=seed).order_by("pk")
        if promote_first:
            for version in made:
                self._promote_first(version)
        self._report(run, kinds, {version.kind: version for version in made})
        if run.status != JobRun.Status.SUCCEEDED:
            raise CommandError(f"{run.title} ended {run.status}: {run.error}")

    def _finish_left(self) -> JobRun | None:
        """Bring a training that is open, but that nobody executes, to its end and return it. Raises JobOverlap when somebody does."""
        left = jobs.open_run(training_jobs.NAME)
        if left is None:
            return None
        with jobs.overlap_lock(training_jobs.NAME):
            self.stderr.write(f"{left} of {left.created_at:%Y-%m-%d %H:%M} UTC was left open; it is taken up first")
            return jobs.execute(left)

    def _is_done(self, left: JobRun, wanted: dict[str, Any], up_to: datetime | None) -> bool:
        """Whether what was left open is what this command was asked for, by a command too, and has succeeded now."""
        same = left.parameters == wanted and left.requested_by is None and up_to in (None, left.as_of)
        return same and left.status == JobRun.Status.SUCCEEDED

    def _promote_first(self, version: ModelVersion) -> None:
        if version.status != ModelVersion.Status.CANDIDATE or registry.champion(version.kind) is not None:
            return
        try:
            promotion.promote_first(version, at=utc_now(), reason="manage.py train_models --promote-first")
        except promotion.PromotionRefused as error:
            self.stderr.write(str(error))

    def _report(self, run: JobRun, kinds: list[str], made: dict[str, ModelVersion]) -> None:
        words = {name: text for chunk in run.chunks.all() for name, text in chunk.result.items() if name in kinds}
        for kind in kinds:
            version = made.get(kind)
            if version is None:
                self.stdout.write(json.dumps({"kind": kind, "version": None, "reason": words.get(kind, "not trained")}))
                continue
            version.refresh_from_db()
            line = {
                "kind": kind,
                "version": version.number,
                "status": version.status,
                "algorithm": version.algorithm,
                "rows": version.rows,
                "seconds": round(version.training_seconds, 1),
                "metrics": version.metrics,
                "baseline": version.baseline,
                "failed": [one["name"] for one in version.gate if not one["passed"]],
            }
            self.stdout.write(json.dumps(line))

    def _instant(self, text: str) -> datetime:
        try:
            return require_past(require_utc(datetime.fromisoformat(text), "--as-of"))
        except ValueError as error:
            raise CommandError(f"--as-of {text!r}: {error}. Example: 2026-03-15T02:30:00+00:00") from error
