"""Scheduled work of the wallet. Thin: each job names its ranges and calls one service."""

from typing import Any

from loyalty_site.common.jobs import Job, Scope, id_ranges, register

from . import services

_CHUNK = 5000
_WITH_OPEN_GRANTS = (
    "(SELECT DISTINCT player_id AS id FROM wallet_bonusgrant WHERE status IN ('ACTIVE', 'WAGERING', 'PAUSED')) AS players_with_open_grants"
)
_WITH_ACCOUNTS = "(SELECT DISTINCT player_id AS id FROM wallet_account) AS players_with_accounts"


def _expire(scope: Scope) -> dict[str, Any]:
    expired = services.expire_bonuses(at=scope.as_of, lower_id=scope.lower_id, upper_id=scope.upper_id, chunk_size=_CHUNK)
    return {"rows": expired}


def _reconcile(scope: Scope) -> dict[str, Any]:
    report = services.reconcile(scope.lower_id, scope.upper_id)
    services.require_balanced(report)
    return {"rows": report.entries, "accounts": report.accounts, "grants": report.grants}


register(Job("wallet.expire_bonuses", "Expire bonuses", _expire, id_ranges(_WITH_OPEN_GRANTS, chunk_size=_CHUNK)))
register(Job("wallet.reconcile", "Reconcile the wallet", _reconcile, id_ranges(_WITH_ACCOUNTS, chunk_size=_CHUNK)))
