"""What the gates would say: a dry run that writes nothing and reserves nothing."""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from loyalty_site.common.money import from_minor
from rewards.facts import load_facts
from rewards.granting.batch import GrantBatch
from rewards.granting.budgets import load_budgets
from rewards.granting.columns import load_players
from rewards.granting.evaluate import compiled, propose
from rewards.granting.gates import Work
from rewards.granting.history import load_history
from rewards.granting.pipeline import approver_ids, decided_before, run_gates
from rewards.granting.rows import lay_out
from rewards.granting.settings import read_thresholds
from rewards.models import RuleVersion


@dataclass(frozen=True)
class Preview:
    """The reward a rule would propose for one player, and each gate's verdict. `status` is "" when the rule proposes nothing."""

    proposed: Decimal | None
    amount: Decimal | None
    unit: str
    currency: str
    wagering_required: Decimal
    status: str
    refused_by: str
    verdicts: list[dict[str, Any]]
    decided_before: int | None
    """Id of the decision that already stands for this version, player and period, if any."""


def preview_gates(version: RuleVersion, player_id: int, as_of: datetime) -> Preview:
    """Evaluate one version (also a draft that is not switched on) for one player and run all gates, writing nothing.

    Raises LookupError for an unknown player, BrokenRule when the version does not compile.
    """
    rule = compiled(version)
    columns = load_players([player_id], as_of)
    proposals = propose(version, rule, load_facts(rule.fact_names, as_of, player_ids=[player_id]))
    if proposals is None:
        return Preview(None, None, "", "", Decimal(0), "", "", [], None)
    batch = GrantBatch((proposals,), as_of)
    rows = lay_out(batch, columns)
    found = decided_before(batch, rows)
    known = found[0][0] if found else None
    with transaction.atomic():
        history = load_history(rows, as_of, without=[known] if known else [])
        work = Work(batch, rows, columns, read_thresholds(), history, approver_ids(), assume_active=True)
        checked = run_gates(work, load_budgets(rows, as_of, lock=False))
    unit = rows.money_unit(0)
    amount = from_minor(int(rows.amount[0]), unit)
    return Preview(
        proposed=from_minor(int(rows.proposed[0]), unit),
        amount=amount,
        unit=str(rows.unit[0]),
        currency=str(rows.currency[0]),
        wagering_required=rows.multiple[0] * amount,
        status=str(checked.status[0]),
        refused_by=str(checked.refused_by[0]),
        verdicts=json.loads(checked.verdicts()[0]),
        decided_before=known,
    )
