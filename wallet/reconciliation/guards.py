"""Are the database's own guards in place? Triggers that keep rows as they were, constraints and unique indexes that were validated."""

from django.apps import apps
from django.db import connection, models

from .report import Difference, ReconcileReport

# rows of these tables are only ever inserted; wager events may get the parts they waited for, once
APPEND_ONLY = (
    "wallet_entry",
    "wallet_grantevent",
    "wallet_grantmovement",
    "wallet_lotuse",
    "wallet_wagercount",
    "wallet_wagerevent",
    "wallet_walletflag",
)

_TRIGGERS = """
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%s)
  AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal AND tgenabled IN ('O', 'A')
              AND tgname = relname || '_append_only')
"""
_CONSTRAINTS = """
SELECT conname::text FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND convalidated
UNION
SELECT index.relname::text FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
WHERE index.relnamespace = current_schema()::regnamespace AND indisunique AND indisvalid
"""


def check_guards(report: ReconcileReport) -> None:
    """Note in the report which guards are missing, switched off or never validated."""
    with connection.cursor() as cursor:
        cursor.execute(_TRIGGERS, [list(APPEND_ONLY)])
        guarded = {name for (name,) in cursor.fetchall()}
        cursor.execute(_CONSTRAINTS)
        valid = {name for (name,) in cursor.fetchall()}
    name = "rows that must not change are guarded by triggers"
    missing = [table for table in APPEND_ONLY if table not in guarded]
    report.note(name, "tables", len(APPEND_ONLY), [Difference(name, None, None, f"{table} has no working trigger") for table in missing])
    name = "all constraints are there and validated"
    declared = _declared()
    absent = sorted(declared - valid)
    found = [Difference(name, None, None, f"constraint {one} is missing or was never validated") for one in absent]
    report.note(name, "constraints", len(declared), found)


def _declared() -> set[str]:
    """Names of the constraints that the wallet's models declare."""
    kinds = (models.CheckConstraint, models.UniqueConstraint)
    return {
        constraint.name
        for model in apps.get_app_config("wallet").get_models()
        for constraint in model._meta.constraints
        if isinstance(constraint, kinds)
    }
