"""grant(): from proposals to recorded decisions and, where nobody has to look first, to paid rewards. The only way to pay.

Order: lock the players, load what the gates read, run the gates, reserve budgets, write decisions and events, issue if asked.
`docs/granting.md` tells it in prose.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
from django.contrib.auth import get_user_model
from django.db import connection, transaction

from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import to_minor
from rewards.granting import budgets as budget_book
from rewards.granting import gates
from rewards.granting.allocation import allocate, first_refusals
from rewards.granting.batch import RULE, GrantBatch, GrantResult
from rewards.granting.budgets import Budgets, load_budgets
from rewards.granting.columns import load_players, lock_players
from rewards.granting.gates import Work, reward_costs
from rewards.granting.history import load_history
from rewards.granting.issue import issue_decisions
from rewards.granting.rows import Rows, lay_out
from rewards.granting.settings import Thresholds, read_thresholds
from rewards.granting.states import check_path
from rewards.granting.store import new_ids, save_decisions
from rewards.granting.verdicts import Outcome

APPROVE_PERMISSION = "rewards.approve_decision"
_FOUR_PLACES = Decimal("0.0001")


class KeyConflict(ValueError):
    """An idempotency key that stands for a grant with other content."""


@dataclass
class Checked:
    """Rows with the verdicts of all gates."""

    rows: Rows
    outcomes: list[Outcome]
    refused_by: npt.NDArray[np.object_]
    status: npt.NDArray[np.object_]
    approvals: npt.NDArray[np.int64]
    accounts: list[list[int]]
    costs: list[Decimal]

    def verdicts(self) -> list[str]:
        """The verdicts of each row as a JSON list, in gate order."""
        columns = [outcome.render() for outcome in self.outcomes]
        return [f"[{','.join(row)}]" for row in zip(*columns, strict=True)]


def grant(batch: GrantBatch, *, thresholds: Thresholds | None = None) -> GrantResult:
    """Check every proposal by every gate, record the verdicts, reserve budgets, and issue what needs no approval if asked to.

    One transaction (part of the caller's, when there is one). Safe to repeat: a proposal with an issue key that was decided before
    is left as it is and counted as a duplicate; only a refusal by the gates is looked at again.
    Raises ValueError for a malformed batch, LookupError for an unknown player, KeyConflict for a key used with other content.
    """
    require_utc(batch.at, "at")
    players = sorted({int(player) for proposals in batch.proposals for player in proposals.player_ids})
    if not players:
        return GrantResult()
    with transaction.atomic():
        lock_players(players)
        columns = load_players(players, batch.at)
        rows = lay_out(batch, columns)
        rows, duplicates, known = _without_decided(batch, rows)
        result = GrantResult(proposed=len(rows) + duplicates, duplicates=duplicates, decision_ids=known)
        if not len(rows):
            return result
        history = load_history(rows, batch.at, without=rows.decision[rows.decision > 0].tolist())
        work = Work(batch, rows, columns, thresholds or read_thresholds(), history, approver_ids())
        reserved = load_budgets(rows, batch.at, lock=True)
        checked = run_gates(work, reserved)
        budget_book.reserve(reserved, batch.at)
        ids = _save(batch, checked)
        _count(result, checked, ids)
        if batch.issue_now:
            to_issue = [one for one, status in zip(ids, checked.status, strict=True) if status == "AUTO_APPROVED"]
            result.issued = issue_decisions(to_issue, at=batch.at).issued
    return result


def run_gates(work: Work, reserved: Budgets) -> Checked:
    """All gates in their order. Nothing is written; `reserved` remembers what would be taken of the budgets."""
    outcomes = [gates.eligibility(work), gates.protection(work), gates.jurisdiction(work), gates.abuse(work), gates.profit(work)]
    approval, approvals = gates.approval(work)
    outcomes.append(approval)
    refused = np.logical_or.reduce([outcome.refused for outcome in outcomes])
    allocation = allocate(work, refused, reserved)
    outcomes += allocation.outcomes
    refused_by = first_refusals(outcomes)
    status = np.where(refused_by != "", "REFUSED", np.where(approvals == 0, "AUTO_APPROVED", "PENDING")).astype(object)
    for one in set(status):
        check_path("PROPOSED", "CHECKED", one)
    return Checked(work.rows, outcomes, refused_by, status, approvals, allocation.accounts, reward_costs(work))


def approver_ids() -> frozenset[int]:
    """Active users who may approve rewards."""
    return frozenset(get_user_model().objects.with_perm(APPROVE_PERMISSION).values_list("pk", flat=True))


def _without_decided(batch: GrantBatch, rows: Rows) -> tuple[Rows, int, list[int]]:
    """The rows without those that were decided before; a row whose decision was refused takes over its id.

    Returns (rows, duplicates, ids of the decisions that the duplicates met).
    """
    found = decided_before(batch, rows)
    keep = np.ones(len(rows), dtype=bool)
    met: list[int] = []
    for row, (decision, status) in found.items():
        if status == "REFUSED" and batch.source == RULE:
            rows.decision[row] = decision
        else:
            keep[row] = False
            met.append(decision)
    return rows.take(keep), int((~keep).sum()), met


def decided_before(batch: GrantBatch, rows: Rows) -> dict[int, tuple[int, str]]:
    """Row -> (decision, status) of the decision that has the row's issue key. Raises KeyConflict for a key with other content."""
    return _decided_by_period(rows) if batch.source == RULE else _decided_by_key(batch, rows)


def _decided_by_period(rows: Rows) -> dict[int, tuple[int, str]]:
    versions = {origin.proposals.version.pk: origin.period for origin in rows.origins if origin.proposals.version}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.player_id, d.rule_version_id, d.id, d.status FROM rewards_rewarddecision d "
            "JOIN unnest(%s::bigint[], %s::text[]) AS asked(version, period) "
            "ON d.rule_version_id = asked.version AND d.period = asked.period WHERE d.player_id = ANY(%s)",
            [list(versions), list(versions.values()), np.unique(rows.player_id).tolist()],
        )
        known = {(player, version): (decision, status) for player, version, decision, status in cursor.fetchall()}
    version_of = rows.each(lambda origin: origin.proposals.version.pk)
    keys = zip(rows.player_id.tolist(), version_of, strict=True)
    return {row: known[key] for row, key in enumerate(keys) if key in known}


def _decided_by_key(batch: GrantBatch, rows: Rows) -> dict[int, tuple[int, str]]:
    keys = [key_of(rows, row) for row in range(len(rows))]
    if len(set(keys)) != len(keys):
        raise KeyConflict("an idempotency key stands twice in the batch")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT idempotency_key, id, status, player_id, unit, currency, proposed_minor, bonus_template, "
            "CASE WHEN bonus_template = '' THEN wagering_multiple END, CASE WHEN bonus_template = '' THEN expiry_hours END "
            "FROM rewards_rewarddecision WHERE source = %s AND idempotency_key = ANY(%s)",
            [batch.source, keys],
        )
        known = {key: rest for key, *rest in cursor.fetchall()}
    found = {}
    for row, key in enumerate(keys):
        if key not in known:
            continue
        decision, status, *content = known[key]
        terms = rows.origins[rows.origin[row]].proposals.terms
        asked = [int(rows.player_id[row]), rows.unit[row], rows.currency[row], int(rows.proposed[row])]
        # what a template says may have changed since; its code is what was asked for
        conditions = [None, None] if terms.bonus_template else [terms.wagering_multiple, terms.expiry_hours]
        if content != [*asked, terms.bonus_template, *conditions]:
            raise KeyConflict(f"idempotency key {key!r} already stands for reward {decision} with other content; use a new key")
        found[row] = (decision, status)
    return found


def key_of(rows: Rows, row: int) -> str:
    keys = rows.origins[rows.origin[row]].proposals.keys
    return keys[rows.item[row]] if keys is not None else ""


def _save(batch: GrantBatch, checked: Checked) -> list[int]:
    rows = checked.rows
    fresh = rows.decision == 0
    rows.decision[fresh] = new_ids(int(fresh.sum()))
    save_decisions(
        _staged(batch, checked),
        at=batch.at,
        actor_id=batch.maker.pk if batch.maker else None,
        client_id=batch.maker_client.pk if batch.maker_client else None,
    )
    return rows.decision.tolist()


def wagering_required(rows: Rows, row: int) -> Decimal:
    """The multiple after penalties times the amount after penalties, in units of the currency."""
    return (rows.multiple[row] * rows.decimal(row, int(rows.amount[row]))).quantize(_FOUR_PLACES, rounding=ROUND_HALF_EVEN)


def _staged(batch: GrantBatch, checked: Checked) -> Iterator[tuple[Any, ...]]:
    rows = checked.rows
    games = [json.dumps(list(origin.proposals.terms.eligible_games)) for origin in rows.origins]
    for row, verdicts in enumerate(checked.verdicts()):
        origin = rows.origins[rows.origin[row]]
        proposals, terms, item = origin.proposals, origin.proposals.terms, int(rows.item[row])
        key = key_of(rows, row)
        status = str(checked.status[row])
        yield (
            int(rows.decision[row]),
            int(rows.player_id[row]),
            origin.rule.pk if origin.rule else None,
            proposals.version.pk if proposals.version else None,
            origin.period or f"key:{key}",
            origin.stacking_group,
            str(batch.source),
            key,
            str(rows.unit[row]),
            str(rows.currency[row]),
            int(rows.proposed[row]),
            int(rows.amount[row]),
            terms.wagering_multiple,
            wagering_required(rows, row),
            terms.expiry_hours,
            None if terms.max_bet is None else to_minor(terms.max_bet, rows.money_unit(row), "DOWN"),
            games[rows.origin[row]],
            terms.bonus_template,
            status,
            verdicts,
            str(checked.refused_by[row]),
            json.dumps(proposals.facts[item]) if proposals.facts is not None else "{}",
            checked.costs[row].quantize(_FOUR_PLACES),
            checked.accounts[row],
            batch.reason,
            batch.maker.pk if batch.maker else None,
            batch.maker_client.pk if batch.maker_client else None,
            int(checked.approvals[row]),
            batch.at,
            batch.at,
            None if status == "PENDING" else batch.at,
            batch.run_id,
            batch.import_job_id,
        )


def _count(result: GrantResult, checked: Checked, ids: list[int]) -> None:
    statuses = Counter(checked.status)
    result.refused, result.auto_approved, result.pending = statuses["REFUSED"], statuses["AUTO_APPROVED"], statuses["PENDING"]
    result.refused_by = dict(Counter(str(name) for name in checked.refused_by if name))
    result.decision_ids = result.decision_ids + ids
