"""`manage.py train_models`: train models here and now, as a job run that staff can see."""

import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from loyalty_site.common import jobs
from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.models import JobRun
from predictions import promotion, registry
from predictions.models import Kind, ModelVersion
from predictions.training_jobs import NAME


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
        parameters = {"kinds": kinds, "seed": seed, "is_synthetic": synthetic}
        run = jobs.create_run(NAME, as_of=self._instant(as_of), parameters=parameters)
        last = ModelVersion.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        try:
            run = jobs.execute(run)
        except jobs.JobOverlap as error:
            raise CommandError(str(error)) from error
        made = ModelVersion.objects.filter(pk__gt=last, kind__in=kinds).order_by("pk")
        if promote_first:
            for version in made:
                self._promote_first(version)
        self._report(run, kinds, {version.kind: version for version in made})
        if run.status != JobRun.Status.SUCCEEDED:
            raise CommandError(f"{run.title} ended {run.status}: {run.error}")

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

    def _instant(self, text: str | None) -> datetime:
        if text is None:
            return utc_now()
        try:
            return require_utc(datetime.fromisoformat(text), "--as-of")
        except ValueError as error:
            raise CommandError(f"--as-of {text!r}: {error}. Example: 2026-03-15T02:30:00+00:00") from error
