from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from loyalty_site.common.clock import utc_now
from players.simulation import SimulationConfig, SimulationError
from players.simulation_writer import write_database, write_files


class Command(BaseCommand):
    help = "Simulate an operator into the empty database, or with --out into files that the import reads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--players", type=int, default=5000)
        parser.add_argument("--months", type=int, default=12)
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--as-of", help="End of history, ISO 8601 (a time without a zone is UTC). Default: the current hour.")
        parser.add_argument("--out", type=Path, help="Write files to this directory instead of the database.")
        parser.add_argument("--format", choices=["csv", "xlsx"], default="csv", help="Format of the files.")
        parser.add_argument("--append", action="store_true", help="Add to a database that already has players.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            config = SimulationConfig(
                players=options["players"], months=options["months"], seed=options["seed"], as_of=_as_of(options["as_of"])
            )
            until = config.as_of.strftime("%Y-%m-%d %H:%M")
            self.stdout.write(f"Simulating {config.players:,} players, {config.months} months up to {until} UTC, seed {config.seed}")
            if options["out"] is not None:
                counts = write_files(config, options["out"], options["format"], progress=self._progress)
                target = f"{options['out']} (truth in {options['out'] / 'truth' / 'truth.csv'})"
            else:
                truth = Path(settings.DATA_DIR) / "simulation" / "truth.csv"
                counts = write_database(config, truth_path=truth, at=utc_now(), append=options["append"], progress=self._progress)
                target = f"the database (truth in {truth})"
        except SimulationError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"cannot write {error.filename}: {error.strerror}") from error
        self.stdout.write(f"Written to {target}: " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))

    def _progress(self, text: str) -> None:
        self.stdout.write(f"  {text}")
        self.stdout.flush()


def _as_of(text: str | None) -> datetime:
    if text is None:
        return utc_now().replace(minute=0, second=0, microsecond=0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--as-of {text!r} is not an ISO 8601 date or time, such as 2026-03-15 or 2026-03-15T12:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
