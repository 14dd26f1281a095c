"""`manage.py demo_summary`: the state of the data as one JSON line: players, segments, rewards, bonuses, points, ledger, jobs."""

import json
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count, F, Model, Sum

from loyalty_site.common.models import JobRun
from loyalty_site.common.money import from_minor
from players.models import Player
from predictions.models import ModelVersion
from rewards.models import RewardDecision
from wallet.models import Account, BonusGrant, Entry, Lot, PayoutInstruction, Redemption
from wallet.reconciliation import verify


class Command(BaseCommand):
    help = "Print what the database holds as one JSON line."

    def handle(self, *_args: Any, **_options: Any) -> None:
        ledger = self._ledger()
        proof = verify()
        self.stdout.write(
            json.dumps(
                {
                    "players": Player.objects.count(),
                    "segments": dict(Player.objects.values_list("segment").annotate(count=Count("pk")).order_by("segment")),
                    "tiers": dict(Player.objects.values_list("tier__name").annotate(count=Count("pk")).order_by("tier__rank")),
                    "rewards": dict(RewardDecision.objects.values_list("status").annotate(count=Count("pk")).order_by("status")),
                    "rewards_by_rule": self._rewards_by_rule(),
                    "refused_by": dict(
                        RewardDecision.objects.filter(status="REFUSED")
                        .values_list("refused_by")
                        .annotate(count=Count("pk"))
                        .order_by("-count")
                    ),
                    "ledger": ledger,
                    "ledger_balanced": all(one["entries"] == one["balances"] for one in ledger.values()) and not self._broken_accounts(),
                    "ledger_verified": proof.ok,
                    "ledger_checks": len(proof.results),
                    "ledger_differences": [f"{one.check}: {one}" for one in proof.differences],
                    "grants": self._by_status(BonusGrant),
                    "payouts": self._by_status(PayoutInstruction),
                    "lots": self._by_status(Lot),
                    "redemptions": self._by_status(Redemption),
                    "models": self._models(),
                    "failed_jobs": self._failed_jobs(),
                }
            )
        )

    def _by_status(self, model: type[Model]) -> dict[str, int]:
        return dict(model._default_manager.values_list("status").annotate(count=Count("pk")).order_by("status"))

    def _models(self) -> dict[str, dict[str, Any]]:
        """The version of each kind that is in use, with its figures beside those of the naive baseline."""
        return {
            version.kind: {
                "version": version.number,
                "algorithm": version.algorithm,
                "rows": version.rows,
                "seconds": round(version.training_seconds, 1),
                "metrics": {name: round(value, 4) for name, value in version.metrics.items()},
                "baseline": {name: round(value, 4) for name, value in version.baseline.items()},
            }
            for version in ModelVersion.objects.filter(status=ModelVersion.Status.CHAMPION).order_by("kind")
        }

    def _failed_jobs(self) -> list[str]:
        """Jobs whose last run failed."""
        last = JobRun.objects.order_by("name", "-id").distinct("name").values_list("name", "status")
        return [name for name, status in last if status == "FAILED"]

    def _ledger(self) -> dict[str, dict[str, str]]:
        """Sum of the entries beside the sum of the balances, per unit and currency."""
        entries = {
            (unit, currency): (total, count)
            for unit, currency, total, count in Entry.objects.values_list("account__unit", "account__currency").annotate(
                total=Sum("amount"), count=Count("pk")
            )
        }
        sums: dict[str, dict[str, str]] = {}
        for unit, currency, balance in (
            Account.objects.values_list("unit", "currency").annotate(total=Sum("balance")).order_by("unit", "currency")
        ):
            total, count = entries.get((unit, currency), (0, 0))
            sums[f"{unit} {currency}".strip()] = {
                "entries": str(from_minor(int(total), currency or unit)),
                "balances": str(from_minor(int(balance), currency or unit)),
                "count": str(count),
            }
        return sums

    def _broken_accounts(self) -> int:
        """Accounts whose balance is not the sum of their entries."""
        return Account.objects.annotate(total=Sum("entries__amount", default=0)).exclude(balance=F("total")).count()

    def _rewards_by_rule(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        rows = RewardDecision.objects.values_list("rule__rule_id", "status").annotate(count=Count("pk")).order_by("rule__rule_id", "status")
        for rule_id, status, count in rows:
            found.setdefault(rule_id or "by hand", {})[status] = count
        return found
