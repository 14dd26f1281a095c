"""Take in a CSV file of bets, wins, rollbacks and round ends."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from loyalty_site.common.clock import utc_now
from wallet.activity.rows import HEADER, REQUIRED
from wallet.services import IngestFailed, UnreadableFile, ingest_file


class Command(BaseCommand):
    help = (
        "Take in a CSV file (UTF-8) of reported activity; a row has one effect, however often its file is run. "
        f"Columns: {', '.join(HEADER)}; required: {', '.join(REQUIRED)}. kind is BET, WIN, ROLLBACK or ROUND_END; amounts are decimals of "
        "the currency, times RFC 3339 with a zone. Bad rows are reported with line, field, reason and remedy; the good ones go on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--json", action="store_true", dest="as_json", help="Print one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = ingest_file(options["path"], at=utc_now())
        except OSError as error:
            raise CommandError(f"{options['path']} cannot be read: {error.strerror}. Check the path.") from error
        except (UnreadableFile, IngestFailed) as error:
            raise CommandError(str(error)) from error
        if options["as_json"]:
            self.stdout.write(json.dumps(asdict(report)))
            return
        self.stdout.write(
            f"{report.rows:,} rows: {report.accepted:,} taken, {report.repeated:,} reported before, {report.refused:,} not taken"
        )
        for fault in report.faults:
            self.stdout.write(f"line {fault.line}: {fault.field or 'row'}: {fault.reason} {fault.remedy}")
        if report.refused > len(report.faults):
            self.stdout.write(f"... and {report.refused - len(report.faults):,} more")
