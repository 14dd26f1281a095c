"""Scheduled work of the wallet. Thin: each job names its ranges and calls one service."""

from typing import Any

from celery import shared_task

from loyalty_site.common.clock import utc_now
from loyalty_site.common.jobs import Job, Scope, id_ranges, register

from . import services
from .activity import ingest  # noqa: F401 - registers its job

_CHUNK = 5000
_WITH_GRANTS_TO_END = (
    "(SELECT DISTINCT player_id AS id FROM wallet_bonusgrant WHERE status IN ('OFFERED', 'QUEUED', 'ACTIVE', 'WAGERING', 'PAUSED')) "
    "AS players_with_grants_to_end"
)
_WITH_QUEUE = "(SELECT DISTINCT player_id AS id FROM wallet_bonusgrant WHERE status = 'QUEUED') AS players_with_queue"
_WITH_ENDING_LOTS = (
    "(SELECT DISTINCT player_id AS id FROM wallet_lot WHERE status = 'ACTIVE' AND expires_at IS NOT NULL) AS players_with_ending_lots"
)
_WITH_PENDING_LOTS = "(SELECT DISTINCT player_id AS id FROM wallet_lot WHERE status = 'PENDING') AS players_with_pending_lots"
_WITH_ACCOUNTS = "(SELECT DISTINCT player_id AS id FROM wallet_account) AS players_with_accounts"


def _expire(scope: Scope) -> dict[str, Any]:
    expired = services.expire_bonuses(at=scope.as_of, lower_id=scope.lower_id, upper_id=scope.upper_id, chunk_size=_CHUNK)
    return {"rows": expired}


def _activate(scope: Scope) -> dict[str, Any]:
    return {"rows": services.activate_waiting(at=scope.as_of, lower_id=scope.lower_id, upper_id=scope.upper_id, chunk_size=_CHUNK)}


def _expire_lots(scope: Scope) -> dict[str, Any]:
    return {"rows": services.expire_lots(at=scope.as_of, lower_id=scope.lower_id, upper_id=scope.upper_id, chunk_size=_CHUNK)}


def _activate_lots(scope: Scope) -> dict[str, Any]:
    return {"rows": services.activate_lots(at=scope.as_of, lower_id=scope.lower_id, upper_id=scope.upper_id, chunk_size=_CHUNK)}


def _warn_expiring(scope: Scope) -> dict[str, Any]:
    return {"rows": services.warn_expiring(at=scope.as_of, lower_id=scope.lower_id, upper_id=scope.upper_id, chunk_size=_CHUNK)}


def _reconcile(scope: Scope) -> dict[str, Any]:
    report = services.reconcile(scope.lower_id, scope.upper_id)
    services.require_balanced(report)
    return {"rows": report.entries, "accounts": report.accounts, "grants": report.grants}


@shared_task(name="wallet.deliver_payouts")
def deliver_payouts() -> int:
    """Send the pay-out instructions that are due: what the schedule calls each minute. Returns how many the platform took.

    No job of ranges: a job works inside one transaction, and nothing may be sent inside one.
    """
    return services.deliver_due(utc_now()).delivered


register(Job("wallet.expire_bonuses", "Expire bonuses", _expire, id_ranges(_WITH_GRANTS_TO_END, chunk_size=_CHUNK)))
register(Job("wallet.activate_waiting", "Begin waiting bonuses", _activate, id_ranges(_WITH_QUEUE, chunk_size=_CHUNK)))
register(Job("wallet.activate_lots", "Release waiting points", _activate_lots, id_ranges(_WITH_PENDING_LOTS, chunk_size=_CHUNK)))
register(Job("wallet.expire_lots", "Expire points", _expire_lots, id_ranges(_WITH_ENDING_LOTS, chunk_size=_CHUNK)))
register(Job("wallet.warn_expiring", "Warn of points that end", _warn_expiring, id_ranges(_WITH_ENDING_LOTS, chunk_size=_CHUNK)))
register(Job("wallet.reconcile", "Reconcile the wallet", _reconcile, id_ranges(_WITH_ACCOUNTS, chunk_size=_CHUNK)))
