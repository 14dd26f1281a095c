"""`manage.py demo_tiers`: some simulated players get a past in the tiers. Safe to run again."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from loyalty_site.common.clock import utc_now
from loyalty_site.demo_tiers import tell_stories


class Command(BaseCommand):
    help = "Give some simulated players points in the last three periods, clearances and overrides, so that the tier board has rows."

    def handle(self, *_args: Any, **_options: Any) -> None:
        if settings.IS_PRODUCTION:
            raise CommandError("demo_tiers invents what players earned and is refused in production; set LOYALTY_ENV=demo on a trial.")
        try:
            told = tell_stories(utc_now())
        except LookupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(", ".join(f"{count} {name}" for name, count in told.items()) or "the tiers have their past; nothing to do")
