"""Paying approved decisions: wallet credits, budgets and statuses in one transaction a chunk.

Safe to run by any number of workers at once (each locks the decisions it takes and skips what others hold), to repeat, and to kill
at any moment: what was not committed is still approved. The wallet's permanent source (reward, decision id) is the second guard.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DatabaseError, OperationalError, connection, transaction

from loyalty_site.common.money import exponent
from loyalty_site.common.sql import id_array
from players.selectors import barred_players
from rewards.granting import budgets
from rewards.granting.states import TO_ISSUE, check_path
from rewards.models import RewardDecision
from rewards.tiers.settlement import settle_players
from wallet.services import WalletError, create_credit_stage, post_credit_stage

logger = logging.getLogger(__name__)

CHUNK = 5_000
WALLET_SOURCE = "reward"
HOUSE = "rewards"

_CLAIM = """
SELECT id, player_id FROM rewards_rewarddecision WHERE {where} AND status = ANY(%(statuses)s)
ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

_FILL = f"""
INSERT INTO wallet_credit_stage (line_no, player_id, unit, currency, amount_minor, source_type, source_ref, source_sub, reason,
    wagering_required, expires_at, max_bet_minor, eligible_games, template_code, wagering_multiple)
SELECT d.id, d.player_id, d.unit, d.currency, d.amount_minor, '{WALLET_SOURCE}', d.id::text, '',
    left(COALESCE(NULLIF(d.reason, ''), r.name, d.source), 500),
    CASE WHEN d.unit = 'BONUS' THEN d.wagering_required END,
    CASE WHEN d.unit = 'BONUS' THEN %(at)s::timestamptz + d.expiry_hours * interval '1 hour' END,
    d.max_bet_minor, d.eligible_games, NULLIF(d.bonus_template, ''),
    CASE WHEN d.bonus_template <> '' THEN round(d.wagering_required * unit.minor / d.amount_minor, 2) END
FROM rewards_rewarddecision d LEFT JOIN rewards_rewardrule r ON r.id = d.rule_id
LEFT JOIN unnest(%(currencies)s::text[], %(minors)s::bigint[]) AS unit(currency, minor) ON unit.currency = d.currency
WHERE d.id = ANY(%(ids)s::bigint[])
"""
# of a bonus of a template, the multiple after penalties: the wallet takes it where it is above the template's own
_CURRENCIES = "SELECT DISTINCT currency FROM rewards_rewarddecision WHERE id = ANY(%s::bigint[]) AND bonus_template <> ''"

_MARK = """
UPDATE rewards_rewarddecision SET status = %(to)s, issued_at = CASE WHEN %(to)s = 'ISSUED' THEN %(at)s::timestamptz END, error = %(note)s
WHERE id = ANY(%(ids)s::bigint[])
"""

_REFUSE = """
UPDATE rewards_rewarddecision SET status = 'REFUSED', refused_by = 'protection', decided_at = %(at)s, budget_ids = '{}',
    verdicts = verdicts || %(verdict)s::jsonb
WHERE id = ANY(%(ids)s::bigint[])
"""

_EVENTS = """
INSERT INTO rewards_decisionevent (decision_id, occurred_at, from_status, to_status, cause, note, detail)
SELECT id, %(at)s, status, %(to)s, %(cause)s, %(note)s, jsonb_build_object('path', jsonb_build_array(status, 'ISSUING', %(to)s::text))
FROM rewards_rewarddecision WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id
"""


@dataclass
class IssueResult:
    issued: int = 0
    failed: int = 0
    refused: int = 0

    def __add__(self, other: "IssueResult") -> "IssueResult":
        return IssueResult(self.issued + other.issued, self.failed + other.failed, self.refused + other.refused)


def issue_decisions(decision_ids: Sequence[int], *, at: datetime, statuses: Sequence[str] = TO_ISSUE) -> IssueResult:
    """Pay the named decisions as far as they are in `statuses`. Chunks are transactions of their own, unless the caller has one."""
    ids = sorted(decision_ids)
    result = IssueResult()
    for start in range(0, len(ids), CHUNK):
        result += _issue_chunk(
            "id = ANY(%(wanted)s::bigint[])", {"wanted": id_array(ids[start : start + CHUNK])}, at=at, statuses=statuses
        )[1]
    return result


def issue_range(lower_id: int, upper_id: int, *, at: datetime) -> IssueResult:
    """Pay every approved decision with `lower_id <= id < upper_id` that no other worker holds."""
    result = IssueResult()
    while True:
        claimed, part = _issue_chunk("id >= %(lower)s AND id < %(upper)s", {"lower": lower_id, "upper": upper_id}, at=at, statuses=TO_ISSUE)
        result += part
        if claimed < CHUNK:
            return result


def _issue_chunk(where: str, parameters: dict[str, Any], *, at: datetime, statuses: Sequence[str]) -> tuple[int, IssueResult]:
    for status in statuses:
        check_path(status, "ISSUING", "ISSUED")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM.format(where=where), {**parameters, "statuses": list(statuses), "limit": CHUNK})
            claimed = cursor.fetchall()
        if not claimed:
            return 0, IssueResult()
        stopped = _stopped_at_the_till(claimed, at)
        payable = [decision for decision, _ in claimed if decision not in stopped]
        result = _pay(payable, at) if payable else IssueResult()
        result.refused = len(stopped)
    return len(claimed), result


def _stopped_at_the_till(claimed: Sequence[tuple[int, int]], at: datetime) -> set[int]:
    """Refuse the claimed decisions of players who were excluded, flagged or closed since the gates looked; returns their ids."""
    barred = barred_players([player for _, player in claimed], at)
    stopped = sorted(decision for decision, player in claimed if player in barred)
    if stopped:
        reason = "excluded, flagged for harm or no longer active when the reward was to be paid"
        verdict = [{"name": "protection", "version": 1, "inputs": {"at_issue": True}, "result": "REFUSE", "reason": reason}]
        budgets.free(stopped, at)
        with connection.cursor() as cursor:
            cursor.execute(_EVENTS, {"ids": id_array(stopped), "at": at, "to": "REFUSED", "cause": "issue", "note": reason})
            cursor.execute(_REFUSE, {"ids": id_array(stopped), "at": at, "verdict": json.dumps(verdict)})
    return set(stopped)


def _pay(decisions: list[int], at: datetime) -> IssueResult:
    """Credit the decisions; one that cannot be posted is found by halving, marked with its error, and does not stop the others."""
    try:
        with transaction.atomic():
            _post(decisions, at)
        return IssueResult(issued=len(decisions))
    except OperationalError:  # deadlock, lock timeout, lost connection: the whole chunk is tried again later
        raise
    except (WalletError, DatabaseError) as error:
        if len(decisions) == 1:
            _mark(decisions, "ISSUE_FAILED", at, f"{type(error).__name__}: {error}"[:2000])
            logger.error("rewards.issue_failed decision=%s error=%s", decisions[0], type(error).__name__)
            return IssueResult(failed=1)
    half = len(decisions) // 2
    return _pay(decisions[:half], at) + _pay(decisions[half:], at)


def _post(decisions: list[int], at: datetime) -> None:
    budgets.spend(decisions, at)  # before the accounts: locks go decisions, budgets, accounts everywhere
    with connection.cursor() as cursor:
        create_credit_stage(cursor)
        cursor.execute(_CURRENCIES, [id_array(decisions)])
        currencies = [row[0] for row in cursor.fetchall()]
        minors = [10 ** exponent(currency) for currency in currencies]
        cursor.execute(_FILL, {"ids": id_array(decisions), "at": at, "currencies": currencies, "minors": minors})
        post_credit_stage(cursor, house=HOUSE, at=at)
    _mark(decisions, "ISSUED", at, "")
    _settle_tiers(decisions, at)


def _settle_tiers(decisions: list[int], at: datetime) -> None:
    """Loyalty points take players up at once: after the commit, because tiers lock players and accounts are held here.

    Should it fail, the points are paid all the same, and the night's pass takes the players up.
    """
    points = RewardDecision.objects.filter(pk__in=decisions, unit="LP").values_list("player_id", flat=True)
    if players := sorted(set(points)):
        transaction.on_commit(lambda: settle_players(players, at), robust=True)


def _mark(decisions: list[int], status: str, at: datetime, note: str) -> None:
    parameters: dict[str, Any] = {"ids": id_array(decisions), "at": at, "to": status, "cause": "issue", "note": note}
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, parameters)
        cursor.execute(_MARK, parameters)
