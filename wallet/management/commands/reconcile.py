"""Prove the books: print what was checked; end with an error that names the accounts when something differs."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Max

from players.models import Player
from wallet.reconciliation import RANGE, ReconcileReport
from wallet.services import reconcile
from wallet.values import account_label


class Command(BaseCommand):
    help = "Check every balance, sequence, grant and both sides of the ledger."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--player", type=int, help="Check one player (internal id) only.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, player: int | None, json: bool, **options: Any) -> None:
        report = _all(player)
        if json:
            self.stdout.write(_json(report))
        else:
            self._print(report)
        if not report.ok:
            raise CommandError(f"the books do not balance: {report.difference_count} differences")

    def _print(self, report: ReconcileReport) -> None:
        self.stdout.write(f"Checked {report.accounts:,} accounts, {report.entries:,} entries, {report.grants:,} bonus grants:")
        for result in report.results.values():
            self.stdout.write(f"  {'ok' if result.ok else 'DIFFERS':<8}{result.name}")
        for side in report.sides:
            mark = "ok" if side.balanced else "DIFFERS"
            sums = f"players {side.players:,}, house {side.house:,} ({side.accounts:,} accounts)"
            self.stdout.write(f"  {mark:<8}{account_label(side.unit, side.currency)}: {sums}")
        for difference in report.differences:
            self.stdout.write(self.style.ERROR(f"  {difference}"))


def _all(player: int | None) -> ReconcileReport:
    """One report over all players (in ranges, so that memory stays flat) or over one."""
    if player is not None:
        return reconcile(player, player + 1)
    highest = Player.objects.aggregate(highest=Max("pk"))["highest"] or 0
    total = ReconcileReport()
    for lower in range(0, highest + 1, RANGE):
        total.add(reconcile(lower, lower + RANGE))
    return total


def _json(report: ReconcileReport) -> str:
    return json.dumps(
        {
            "ok": report.ok,
            "accounts": report.accounts,
            "entries": report.entries,
            "grants": report.grants,
            "sides": [
                {
                    "unit": side.unit,
                    "currency": side.currency,
                    "accounts": side.accounts,
                    "players": str(side.players),
                    "house": str(side.house),
                    "balanced": side.balanced,
                }
                for side in report.sides
            ],
            "differences": report.difference_count,
            "named": [str(difference) for difference in report.differences],
        }
    )
