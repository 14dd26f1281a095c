"""Import a file from the command line: the same engine as the admin's import pages and the API."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from loyalty_site.common.clock import utc_now
from players.imports import services
from players.imports.problems import ImportRefused
from players.models import ImportJob, ImportMapping


class Command(BaseCommand):
    help = "Import players or activity from .xlsx, .xls or .csv (.xz, .gz): check, write, and run metrics, segments and, if asked, rewards."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--kind", choices=ImportMapping.FileKind.values, help="What the rows are; default: by the headers.")
        parser.add_argument("--mapping", help="Name of a saved mapping.")
        parser.add_argument("--sheet", default="", help="Sheet of a workbook that has several.")
        parser.add_argument("--zone", help="Zone of times that carry no offset, e.g. Europe/Malta; default UTC.")
        parser.add_argument("--decimal-comma", action="store_true", help="The decimal sign is a comma.")
        parser.add_argument("--decimals", type=int, help="Round amounts to this many decimals (0 to 4); default: never round.")
        parser.add_argument("--day-first", dest="order", choices=["yes", "no"], help="03/04/2026 is 3 April (yes) or March 4 (no).")
        parser.add_argument("--as-of", help="Instant at which totals hold, e.g. 2026-03-01T00:00:00+00:00; default: now.")
        parser.add_argument("--dry-run", action="store_true", help="Check and report; write nothing.")
        parser.add_argument("--rewards", action="store_true", help="Evaluate and issue rewards for the touched players afterwards.")
        parser.add_argument("--json", action="store_true", dest="as_json", help="Print one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            job = self._run(options)
        except ImportRefused as refused:
            self._refuse(options, refused.as_dict(), str(refused))
        except OSError as error:
            self._refuse(
                options,
                {
                    "code": "unreadable_file",
                    "message": f"{options['path']} can not be read: {error.strerror}.",
                    "remedy": "Check the path.",
                },
                f"{options['path']} can not be read: {error.strerror}.",
            )
        else:
            if job.status == ImportJob.Status.FAILED:
                self._refuse(options, job.result.get("error") or {"code": "failed", "message": job.error}, job.error)
            self._report(job, options)

    def _run(self, options: dict[str, Any]) -> ImportJob:
        chosen: dict[str, Any] = {}
        for name, value in (
            ("sheet", options["sheet"]),
            ("zone", options["zone"]),
            ("decimals", options["decimals"]),
            ("as_of", options["as_of"]),
        ):
            if value not in (None, ""):
                chosen[name] = value
        if options["decimal_comma"]:
            chosen["decimal_comma"] = True
        if options["order"]:
            chosen["day_first"] = options["order"] == "yes"
        with options["path"].open("rb") as file:
            job = services.create_import(
                file=file,
                file_name=options["path"].name,
                at=utc_now(),
                kind=options["kind"],
                mapping=options["mapping"],
                options=chosen,
                after_import={"metrics": True, "segments": True, "rewards": options["rewards"]},
            )
        if still_open := job.result.get("open"):
            services.cancel_import(job.pk, at=utc_now(), actor=None)
            first = still_open[0]
            raise ImportRefused(first["code"], first["message"], first["remedy"])
        job = services.check_import(job.pk, at=utc_now())
        if job.status == ImportJob.Status.FAILED:
            return job
        if options["dry_run"]:
            summary = services.summary(job)
            services.cancel_import(job.pk, at=utc_now(), actor=None)
            job.dry_run_summary = {**summary, "status": "DRY_RUN", "dry_run": True}  # type: ignore[attr-defined]
            return job
        return services.apply_import(job.pk, at=utc_now())

    def _report(self, job: ImportJob, options: dict[str, Any]) -> None:
        figures = getattr(job, "dry_run_summary", None) or services.summary(job)
        if options["as_json"]:
            self.stdout.write(json.dumps(figures, ensure_ascii=False))
            return
        self.stdout.write(
            f"{job.file_name}: {figures['total_rows']:,} rows; {figures['created']:,} new, {figures['updated']:,} changed, "
            f"{figures['unchanged']:,} unchanged, {figures['quarantined']:,} set aside; players: {figures['players_created']:,} new, "
            f"{figures['players_updated']:,} changed; rewards issued: {figures['rewards_issued']:,}."
        )
        if figures["rewards"] and not options["dry_run"]:
            self.stdout.write(f"Rewards: {figures['rewards']}.")
        if figures["same_file_as"]:
            self.stdout.write(f"The same file was imported before as #{figures['same_file_as']}.")
        for error in figures["errors"]:
            place = f"row {error['row']}, {error['column']}: " if "row" in error else ""
            self.stdout.write(f"  {place}{error.get('reason') or error.get('message')} {error.get('remedy', '')}")

    def _refuse(self, options: dict[str, Any], error: dict[str, Any], text: str) -> None:
        if options["as_json"]:
            nothing = dict.fromkeys(("total_rows", "players_created", "players_updated", "unchanged", "quarantined", "rewards_issued"), 0)
            self.stdout.write(json.dumps({**nothing, "status": "REFUSED", "errors": [error]}, ensure_ascii=False))
        raise CommandError(text)
