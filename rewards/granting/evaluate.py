"""Rules into proposals: every active rule over the columns of a range of players, then `grant`."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from django.db.models import Q

from rewards.facts import load_facts
from rewards.granting.batch import GrantBatch, GrantResult, Proposals, terms_of
from rewards.granting.pipeline import grant
from rewards.granting.verdicts import plain
from rewards.models import RewardRule, RuleVersion
from rewards.rules.engine import CompiledRule, compile_rule, evaluate
from rewards.rules.formula import fact_names
from rewards.rules.problems import RuleError
from rewards.rules.table import FactTable


class BrokenRule(RuntimeError):
    """An active rule that no longer compiles: nothing is evaluated until staff mend it or switch it off."""


@lru_cache(maxsize=256)
def _compile(conditions: str, reward_config: str) -> CompiledRule:
    return compile_rule(json.loads(conditions), json.loads(reward_config))


def compiled(version: RuleVersion) -> CompiledRule:
    """The compiled contents of a version. Raises BrokenRule naming the rule and the problem."""
    try:
        return _compile(json.dumps(version.conditions, sort_keys=True), json.dumps(version.reward_config, sort_keys=True))
    except RuleError as error:
        raise BrokenRule(f"rule {version.rule.rule_id}, version {version.number}: {error}; mend it or switch it off") from error


def active_versions(as_of: datetime) -> list[RuleVersion]:
    """Current versions of the rules in force at `as_of`, highest priority first."""
    rules = (
        RewardRule.objects.filter(is_active=True, current_version__isnull=False)
        .filter(Q(valid_from__isnull=True) | Q(valid_from__lte=as_of), Q(valid_to__isnull=True) | Q(valid_to__gt=as_of))
        .select_related("current_version")
        .order_by("-priority", "pk")
    )
    versions = []
    for rule in rules:
        version = rule.current_version
        assert version is not None
        version.rule = rule
        versions.append(version)
    return versions


def propose(version: RuleVersion, rule: CompiledRule, facts: FactTable) -> Proposals | None:
    """Who gets how much from one rule, with the inputs of the formula; None when nobody does."""
    found = evaluate(rule, facts)
    if not len(found.player_ids):
        return None
    try:
        terms = terms_of(version)
    except ValueError as error:
        raise BrokenRule(f"rule {version.rule.rule_id}, version {version.number}: {error}; mend it or switch it off") from error
    inputs = sorted(fact_names(rule.amount))
    positions = np.searchsorted(facts.player_ids, found.player_ids).tolist()
    return Proposals(
        terms=terms,
        player_ids=found.player_ids.tolist(),
        minor=found.minor.tolist(),
        version=version,
        facts=[{name: plain(facts.value(name, row)) for name in inputs} for row in positions],
        currency=rule.reward.currency,
    )


def evaluate_range(
    as_of: datetime,
    *,
    lower_id: int | None = None,
    upper_id: int | None = None,
    player_ids: Sequence[int] | None = None,
    run_id: int | None = None,
    import_job_id: int | None = None,
    issue_now: bool = False,
) -> GrantResult:
    """Evaluate all active rules for the players of a range, or for the named ones, and grant what they propose."""
    rules = [(version, compiled(version)) for version in active_versions(as_of)]
    if not rules:
        return GrantResult()
    names = frozenset().union(*(rule.fact_names for _, rule in rules))
    facts = load_facts(names, as_of, lower_id=lower_id, upper_id=upper_id, player_ids=player_ids)
    proposed = [propose(version, rule, facts) for version, rule in rules]
    proposals = tuple(one for one in proposed if one is not None)
    batch = GrantBatch(proposals, as_of, run_id=run_id, import_job_id=import_job_id, issue_now=issue_now)
    return grant(batch)


def figures(result: GrantResult) -> dict[str, Any]:
    """A grant's outcome as the numbers that a job run sums up."""
    return {
        "rows": result.proposed,
        "proposed": result.proposed,
        "duplicates": result.duplicates,
        "refused": result.refused,
        "auto_approved": result.auto_approved,
        "pending": result.pending,
        "issued": result.issued,
        **{f"refused_by_{gate}": count for gate, count in sorted(result.refused_by.items())},
    }
