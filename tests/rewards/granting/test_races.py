"""Races on the real database, each with a control that shows the damage when the guard is off."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import OperationalError, connection

from players.models import Player, PlayerMetrics, Protection
from rewards.granting import approval, budgets, issue, pipeline
from rewards.granting.approval import Answer, approve
from rewards.granting.issue import issue_decisions
from rewards.granting.pipeline import grant
from rewards.models import BudgetAccount, DecisionEvent, RewardDecision, RuleVersion
from tests.factories import NOW
from tests.rewards.granting.factories import THRESHOLDS, by_rule, make_approver, make_market, make_player, make_rule
from wallet.models import Account, BonusGrant, Entry
from wallet.services import reconcile

pytestmark = pytest.mark.django_db(transaction=True)

LATER = NOW + timedelta(hours=1)


def at_once(workers: int, work: Callable[[int], object]) -> list[object]:
    """Run `work(n)` in `workers` threads with connections of their own, started together."""
    barrier = Barrier(workers)

    def run(number: int) -> object:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = 0")
            barrier.wait(timeout=30)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, range(workers)))


def make_players(count: int) -> list[Player]:
    """Players who pass every gate, made in bulk."""
    market = make_market()
    fields = {"currency": "EUR", "jurisdiction": market, "segment": "WINNING", "created_at": NOW, "updated_at": NOW}
    players = Player.objects.bulk_create([Player(external_id=f"R{n:05d}", country="MT", **fields) for n in range(count)])
    figures = {"total_wagered": Decimal(100_000), "house_edge_contribution": Decimal(5_000), "last_activity_on": NOW.date()}
    PlayerMetrics.objects.bulk_create([PlayerMetrics(player=player, as_of=NOW, **figures) for player in players])
    Protection.objects.bulk_create([Protection(player=player, marketing_consent=True) for player in players])
    return players


def grant_one_by_one(version: RuleVersion, players: list[Player], workers: int) -> None:
    """Grant each player 1.00 in a transaction of its own, `workers` at a time."""

    def work(number: int) -> None:
        for player in players[number::workers]:
            grant(by_rule(version, [player], 100, issue_now=True), thresholds=THRESHOLDS)

    at_once(workers, work)


def paid() -> int:
    """What was given: credited, or promised behind another bonus of the player."""
    queued = BonusGrant.objects.filter(status="QUEUED").values_list("principal", flat=True)
    return sum(Entry.objects.values_list("amount", flat=True)) + sum(queued)


def test_budget__of_100_meets_1000_concurrent_grants__gives_exactly_100() -> None:
    players = make_players(1_000)
    version = make_rule(total_budget=Decimal(100))
    grant_one_by_one(version, players, workers=8)
    account = BudgetAccount.objects.get()
    assert (account.limit_minor, account.reserved_minor, account.spent_minor) == (10_000, 0, 10_000)
    assert Counter(RewardDecision.objects.values_list("status", "refused_by")) == {("ISSUED", ""): 100, ("REFUSED", "budget"): 900}
    assert paid() == 10_000
    assert reconcile(0, 2**62).ok


def test_budget__control__without_lock_and_guard_it_is_overspent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same grants, with the row lock, the guard of the update and the check constraint taken away."""
    players = make_players(64)
    version = make_rule(total_budget=Decimal(8))
    grant(by_rule(version, players[:1], 100, issue_now=True), thresholds=THRESHOLDS)
    meeting = Barrier(8, timeout=10)
    monkeypatch.setattr(budgets, "LOCK", "")
    monkeypatch.setattr(budgets, "_RESERVE", budgets._RESERVE.replace("AND reserved_minor + spent_minor + %(amount)s <= limit_minor", ""))
    read = budgets._read

    def read_together(ids: list[int], *, lock: bool) -> object:
        rows = read(ids, lock=lock)
        meeting.wait()
        return rows

    monkeypatch.setattr(budgets, "_read", read_together)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE rewards_budgetaccount DROP CONSTRAINT budget_never_overspent")
    try:
        grant_one_by_one(version, players[8:], workers=8)
        assert BudgetAccount.objects.get().spent_minor > 800
    finally:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE rewards_budgetaccount CASCADE")
            cursor.execute(
                "ALTER TABLE rewards_budgetaccount ADD CONSTRAINT budget_never_overspent "
                "CHECK (limit_minor >= reserved_minor + spent_minor)"
            )


def test_caps__one_player_from_eight_sides__never_above_the_cap() -> None:
    player = make_player(metrics={"total_wagered": Decimal(10**7), "house_edge_contribution": Decimal(5 * 10**5)})
    versions = [make_rule(f"rule{n}") for n in range(24)]

    def work(number: int) -> None:
        for version in versions[number::8]:
            grant(by_rule(version, [player], 9_000, issue_now=True), thresholds=THRESHOLDS)

    at_once(8, work)
    assert Counter(RewardDecision.objects.values_list("refused_by", flat=True)) == {"": 11, "caps": 13}
    assert paid() == 99_000


def unlocked_together(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """Take the lock on the players away, and let all workers read what a player already has before any of them writes."""
    meeting = Barrier(workers, timeout=20)
    read = pipeline.load_history

    def read_together(*args: Any, **kwargs: Any) -> Any:
        found = read(*args, **kwargs)
        meeting.wait()
        return found

    monkeypatch.setattr(pipeline, "lock_players", lambda *_: None)
    monkeypatch.setattr(pipeline, "load_history", read_together)


def test_caps__control__without_the_players_lock_they_are_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    player = make_player(metrics={"total_wagered": Decimal(10**7), "house_edge_contribution": Decimal(5 * 10**5)})
    versions = [make_rule(f"rule{n}") for n in range(16)]
    unlocked_together(monkeypatch, workers=8)

    def work(number: int) -> None:
        for version in versions[number::8]:
            grant(by_rule(version, [player], 9_000, issue_now=True), thresholds=THRESHOLDS)

    at_once(8, work)
    assert paid() == 16 * 9_000  # above the cap of 1,000.00 a day


def waiting_decision() -> RewardDecision:
    player = make_player(metrics={"total_wagered": Decimal(10**7), "house_edge_contribution": Decimal(5 * 10**5)})
    grant(by_rule(make_rule(total_budget=Decimal(10_000)), [player], 10_000), thresholds=THRESHOLDS)
    return RewardDecision.objects.get()


def approve_at_once(decision: RewardDecision, *, issue: bool) -> list[str]:
    approvers = [make_approver() for _ in range(2)]

    def work(number: int) -> str:
        answers: list[Answer] = approve([decision.pk], approvers[number], LATER, thresholds=THRESHOLDS)
        if issue:
            issue_decisions([decision.pk], at=LATER)
        return answers[0].outcome

    return sorted(str(one) for one in at_once(2, work))


def test_approval__two_at_once__exactly_one_counts() -> None:
    make_approver()
    decision = waiting_decision()
    assert approve_at_once(decision, issue=True) == ["APPROVED", "NOT_ALLOWED"]
    assert DecisionEvent.objects.filter(to_status="APPROVED").count() == 1
    account = BudgetAccount.objects.get()
    assert (account.reserved_minor, account.spent_minor, paid()) == (0, 10_000, 10_000)


def test_approval__control__without_the_locks_both_count(monkeypatch: pytest.MonkeyPatch) -> None:
    make_approver()
    decision = waiting_decision()
    meeting = Barrier(2, timeout=10)

    def read_without_lock(decision_ids: list[int]) -> list[RewardDecision]:
        found = list(RewardDecision.objects.select_related("rule_version__rule", "player").filter(pk__in=decision_ids))
        meeting.wait()
        return found

    monkeypatch.setattr(approval, "_lock", read_without_lock)
    monkeypatch.setattr(budgets, "free", lambda *_: None)
    assert approve_at_once(decision, issue=False) == ["APPROVED", "APPROVED"]
    assert DecisionEvent.objects.filter(to_status="APPROVED").count() == 2


def test_issue__eight_workers_on_the_same_chunk__pays_each_once() -> None:
    players = make_players(400)
    version = make_rule(total_budget=Decimal(10_000))
    ids = grant(by_rule(version, players, 250), thresholds=THRESHOLDS).decision_ids
    issued = at_once(8, lambda _: issue_decisions(ids, at=NOW).issued)
    assert sum(int(str(one)) for one in issued) == 400
    assert Entry.objects.count() == 400
    assert set(Account.objects.values_list("balance", flat=True)) == {250}
    assert set(RewardDecision.objects.values_list("status", flat=True)) == {"ISSUED"}
    assert DecisionEvent.objects.filter(to_status="ISSUED").count() == 400
    account = BudgetAccount.objects.get()
    assert (account.reserved_minor, account.spent_minor) == (0, 100_000)
    assert reconcile(0, 2**62).ok


def test_issue__control__without_the_claim_both_workers_take_the_same_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = grant(by_rule(make_rule(), make_players(20), 250), thresholds=THRESHOLDS).decision_ids
    meeting = Barrier(2, timeout=20)
    look = issue._stopped_at_the_till

    def look_together(*args: Any) -> Any:
        meeting.wait()
        return look(*args)

    monkeypatch.setattr(issue, "_CLAIM", issue._CLAIM.replace("FOR UPDATE SKIP LOCKED", ""))
    monkeypatch.setattr(issue, "_stopped_at_the_till", look_together)
    issued = at_once(2, lambda _: issue_decisions(ids, at=NOW).issued)
    assert issued == [20, 20]  # each believes it paid everybody ...
    assert DecisionEvent.objects.filter(to_status="ISSUED").count() == 40
    assert paid() == 5_000  # ... and only the wallet's permanent source kept the money right


def test_grant__same_batch_from_eight_sides__is_decided_and_paid_once() -> None:
    players, version = make_players(50), make_rule()

    def work(_: int) -> int:
        for _attempt in range(5):
            try:
                return grant(by_rule(version, players, 100, issue_now=True), thresholds=THRESHOLDS).issued
            except OperationalError:
                continue
        raise AssertionError("no attempt went through")

    assert sum(int(str(one)) for one in at_once(8, work)) == 50
    assert (RewardDecision.objects.count(), Entry.objects.count(), paid()) == (50, 50, 5_000)


def test_grant__control__without_lock_and_key_the_batch_is_decided_again(monkeypatch: pytest.MonkeyPatch) -> None:
    players, version = make_players(10), make_rule()
    unlocked_together(monkeypatch, workers=4)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE rewards_rewarddecision DROP CONSTRAINT decision_once_per_period")
    try:
        at_once(4, lambda _: grant(by_rule(version, players, 100), thresholds=THRESHOLDS))
        assert RewardDecision.objects.count() == 40
    finally:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE rewards_rewarddecision CASCADE")
            cursor.execute(
                "ALTER TABLE rewards_rewarddecision ADD CONSTRAINT decision_once_per_period UNIQUE (rule_version_id, player_id, period)"
            )
