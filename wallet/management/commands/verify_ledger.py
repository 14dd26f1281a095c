"""`manage.py verify_ledger`: prove all books of the wallet and print what was checked."""

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from players.models import Player
from wallet.reconciliation import ReconcileReport, verify
from wallet.values import account_label


class Command(BaseCommand):
    help = (
        "Prove the books of the whole database: balances, sequences, grants, lots, pay-outs, status paths, both sides of every unit, "
        "the database's own guards, and the log replayed from nothing. Writes nothing; ends with an error when something differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--player", type=int, help="Prove the books of one player (internal id) only.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, player: int | None, json: bool, **options: Any) -> None:
        if player is not None and not Player.objects.filter(pk=player).exists():
            raise CommandError(f"there is no player with the internal id {player}; the player's page shows it.")
        started = time.monotonic()
        report = verify(player)
        seconds = time.monotonic() - started
        if json:
            self.stdout.write(_json(report, seconds))
        else:
            self._print(report, seconds)
        if not report.ok:
            raise CommandError(f"the books do not balance: {report.difference_count} differences")

    def _print(self, report: ReconcileReport, seconds: float) -> None:
        self.stdout.write(
            f"Checked {report.accounts:,} accounts, {report.entries:,} entries, {report.grants:,} bonus grants in {seconds:.1f} s:"
        )
        for result in report.results.values():
            verdict = "ok" if result.ok else "DIFFERS"
            self.stdout.write(f"  {verdict:<8}{result.name} ({result.rows:,} {result.subject})")
        for side in report.sides:
            mark = "ok" if side.balanced else "DIFFERS"
            sums = f"players {side.players:,}, house {side.house:,} ({side.accounts:,} accounts)"
            self.stdout.write(f"  {mark:<8}{account_label(side.unit, side.currency)}: {sums}")
        for difference in report.differences:
            self.stdout.write(self.style.ERROR(f"  {difference.check}: {difference}"))


def _json(report: ReconcileReport, seconds: float) -> str:
    return json.dumps(
        {
            "ok": report.ok,
            "seconds": round(seconds, 1),
            "accounts": report.accounts,
            "entries": report.entries,
            "grants": report.grants,
            "checks": [
                {"check": one.name, "rows": one.rows, "subject": one.subject, "differences": one.differences, "ok": one.ok}
                for one in report.results.values()
            ],
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
            "named": [f"{difference.check}: {difference}" for difference in report.differences],
        }
    )
