from typing import Any

from django.core.management.base import BaseCommand, CommandError

from loyalty_site.common.clock import utc_now
from loyalty_site.common.jobs import JobOverlap
from players.feeds.pull import pull_all, source_from_settings


class Command(BaseCommand):
    help = "Fetch players, deposits, logs and bonuses from the operator's API (LOYALTY_FEED_URL) and take them in."

    def handle(self, *args: Any, **options: Any) -> None:
        if source_from_settings() is None:
            raise CommandError("no API is configured; set LOYALTY_FEED_URL (docs/feeds.md)")
        try:
            done = pull_all(utc_now())
        except JobOverlap as error:
            raise CommandError(str(error)) from error
        for one in done:
            self.stdout.write(f"{one.resource}: {one.error or f'{one.rows:,} rows, {one.rejected:,} set aside'}")
        if failed := [one.resource for one in done if one.error]:
            raise CommandError(f"{', '.join(failed)} could not be fetched; the last good data stay, marked with their age")
