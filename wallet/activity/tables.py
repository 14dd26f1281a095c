"""Contribution tables as the engine wants them, kept per process.

The version of the tables changes in the transaction that edits them (triggers, migration 0003). It is read with the grants under the
wallet's lock; what a process keeps is used only for the very same version. The content is read after the version, so it can only be
newer than its label, and then the next reader reads again.
"""

from collections.abc import Iterable
from typing import Any

from wallet.bonus.weights import Rule, Table

from .sql import numbers, run

_TABLES_SQL = "SELECT id, edge_reference FROM wallet_contributiontable WHERE id = ANY((SELECT $1::bigint[])::bigint[])"
_RULES_SQL = """
SELECT table_id, id, scope, key, method, weight, valid_from, valid_to FROM wallet_contributionrule
WHERE table_id = ANY((SELECT $1::bigint[])::bigint[]) ORDER BY id
"""

# (version, tables by id): one name, so that threads see both or neither
_kept: tuple[Any, dict[int, Table]] = (None, {})


def tables_of(table_ids: Iterable[int], version: Any) -> dict[int, Table]:
    """The contribution tables with these ids, as they are in `version` or later."""
    global _kept
    wanted = set(table_ids)
    if not wanted:
        return {}
    kept_version, kept = _kept
    if kept_version != version:
        kept = {}
    if missing := wanted - kept.keys():
        kept = kept | _read(missing)
        _kept = version, kept
    return {table_id: kept[table_id] for table_id in wanted}


def _read(table_ids: set[int]) -> dict[int, Table]:
    asked = [numbers(table_ids)]
    rules: dict[int, list[Rule]] = {}
    for table_id, *fields in run(_RULES_SQL, asked):
        rules.setdefault(table_id, []).append(Rule(*fields))
    return {table_id: Table(table_id, edge, rules.get(table_id, [])) for table_id, edge in run(_TABLES_SQL, asked)}
