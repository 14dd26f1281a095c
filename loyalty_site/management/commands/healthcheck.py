"""`manage.py healthcheck [database migrations broker beat]`: exit 0 when all are well; for container health checks."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from loyalty_site import health
from loyalty_site.common.clock import utc_now


class Command(BaseCommand):
    help = "Runs the checks of /health/ready, or those named, and fails naming what is not well."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"one of: {', '.join(health.CHECKS)}")

    def handle(self, *_args: Any, **options: Any) -> None:
        unknown = [name for name in options["checks"] if name not in health.CHECKS]
        if unknown:
            raise CommandError(f"no check named {unknown[0]!r}; known: {', '.join(health.CHECKS)}")
        results = health.run_checks(utc_now(), options["checks"])
        for check in results:
            self.stdout.write(f"{'ok' if check.ok else 'FAILED'} {check.name}: {check.detail}")
        failed = [check.name for check in results if not check.ok]
        if failed:
            raise CommandError(f"not well: {', '.join(failed)}")
