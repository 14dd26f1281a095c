"""`manage.py nightly`: the whole nightly run, here and now."""

from typing import Any

from django.core.management.base import CommandParser

from loyalty_site.nightly import NIGHTLY

from .run_job import Command as RunJob


class Command(RunJob):
    help = "Run the nightly pipeline: roll-up, metrics, segments, signals, points, tiers, rules, issue."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_run_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, name=NIGHTLY.name, **options)
