"""`manage.py demo_bonuses`: the simulated players take up bonuses, play with them and spend points. Safe to run again."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from loyalty_site.common.clock import utc_now
from loyalty_site.demo_bonuses import play_bonuses


class Command(BaseCommand):
    help = "Let simulated players take up the sample bonuses of setup_demo, play with them, and spend points, in the weeks before now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, default=1, help="Same seed and players, same behaviour (default 1).")

    def handle(self, *_args: Any, seed: int, **_options: Any) -> None:
        if settings.IS_PRODUCTION:
            raise CommandError("demo_bonuses invents what players did and is refused in production; set LOYALTY_ENV=demo on a trial.")
        try:
            made = play_bonuses(utc_now(), seed)
        except LookupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(", ".join(f"{count} {name}" for name, count in made.items()) or "the bonuses were played before; nothing to do")
