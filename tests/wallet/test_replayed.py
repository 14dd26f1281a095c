"""Replaying the log of a wallet from nothing gives the wallet; a log or a stored grant that was tampered with does not."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wallet.bonus.play import NOW, Play, grant, queued, table
from tests.wallet.bonus.test_invariants import TERMS, activities
from wallet.bonus import engine
from wallet.bonus.states import Status
from wallet.bonus.values import Activity, Outcome
from wallet.reconciliation.replayed import Counted, Log, Moved, Report, StatusChange, rebuild

REQUIRED = Decimal(12)
CONTRIBUTION = table(("category", "roulette", "0.1"), ("category", "dice", "excluded"))


class Logged:
    """A wallet that is played on, and the log that it leaves."""

    def __init__(self, **terms: Any) -> None:
        shared = {"requirement": REQUIRED, **terms}
        self.play = Play(
            grant(1, bonus=300, required=str(REQUIRED), wagering_seconds=7 * 86400, **shared),
            queued(2, bonus=500, required=str(REQUIRED), wagering_seconds=7 * 86400, **shared),
            contribution=CONTRIBUTION,
        )
        first = self.play.grant(1)
        first.expires_at = first.activated_at + timedelta(days=7)
        self.numbers = 0
        self.log = Log(7)
        details = {"expires_at": first.expires_at.isoformat(), "principal": "300"}
        self.log.statuses = [
            StatusChange(self.number(), 1, None, Status.ACTIVE, first.activated_at, details),
            StatusChange(self.number(), 2, None, Status.QUEUED, first.activated_at),
        ]

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def report(self, activity: Activity) -> None:
        try:
            outcome = engine.apply(self.play.wallet, activity, self.play.tables)
        except (engine.Conflict, engine.InvalidActivity, engine.StakeNotCovered):
            return
        if not outcome.repeated:
            self.log.activity.append(Report(self.number(), activity))
            self.note(outcome)

    def note(self, outcome: Outcome) -> None:
        self.log.statuses += [StatusChange(self.number(), one.grant_id, one.before, one.after, one.at) for one in outcome.transitions]
        self.log.counts += [Counted(one.bet, one.grant_id, one.verdict, one.counted, one.penalty) for one in outcome.counts]

    def bet(self, name: str, amount: int, minute: int, **fields: Any) -> None:
        at = NOW + timedelta(minutes=minute)
        values = {"round_id": name, "currency": "EUR", "occurred_at": at, "received_at": at, "cash_before": 0, "ends_round": True, **fields}
        self.report(Activity("platform", name, "BET", 7, amount=amount, **values))

    def stored(self) -> Log:
        self.log.grants = deepcopy(self.play.wallet.grants)
        return self.log

    def differences(self) -> list[str]:
        return [text for _, text in rebuild(self.stored(), self.play.tables)]


@given(st.fixed_dictionaries(TERMS | {"multiple": st.just(Decimal(0))}), activities())
@settings(max_examples=300)
def test_rebuild__any_reports__gives_the_wallet(terms: dict[str, Any], reports: list[Activity]) -> None:
    logged = Logged(**terms)
    for report in reports:
        logged.report(report)
    assert logged.differences() == []


def played() -> Logged:
    """300 cents: one bet counted; then something was spent, and another bet lost it all, which let the next grant begin."""
    logged = Logged()
    logged.bet("b1", 100, 1)
    logged.play.grant(1).balance -= 50
    logged.log.moved.append(Moved(4, NOW + timedelta(minutes=2), "redemption", "EUR", 1, "balance", -50))
    logged.bet("b2", 150, 3)
    logged.bet("b3", 200, 4)
    return logged


def test_rebuild__spent_lost_and_next_begun__gives_the_wallet() -> None:
    logged = played()
    assert [logged.play.grant(number).status for number in (1, 2)] == ["LOST", "WAGERING"]
    assert logged.differences() == []


def test_rebuild__ended_from_outside__the_log_decides() -> None:
    logged = Logged()
    logged.bet("b1", 100, 1)
    logged.play.wallet.may_start = False
    logged.note(engine.close(logged.play.wallet, 1, Status.FORFEITED, "withdrawn", at=NOW + timedelta(minutes=2)))
    logged.play.wallet.may_start = True
    logged.note(engine.activate_next(logged.play.wallet, "casino", at=NOW + timedelta(minutes=9)))
    logged.bet("b2", 100, 10)
    assert logged.differences() == []


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("balance", 301, "grant 2: balance is 301, the log says 300"),
        ("locked", 1, "grant 2: locked is 1, the log says 0"),
        ("wagered", Decimal(3), "grant 2: wagered is 3, the log says 2"),
        ("required", Decimal(13), "grant 2: required is 13, the log says 12"),
        ("penalties", Decimal(1), "grant 2: penalties is 1, the log says 0"),
        ("status", Status.PAUSED, "grant 2: status is PAUSED, the log says WAGERING"),
        ("released", 5, "grant 2: released is 5, the log says 0"),
        ("open_bets", 1, "grant 2: open_bets is 1, the log says 0"),
        ("spins_left", 3, "grant 2: spins_left is 3, the log says 0"),
        ("expires_at", NOW, "grant 2: expires_at is"),
    ],
)
def test_rebuild__stored_grant_changed__is_named(name: str, value: Any, text: str) -> None:
    logged = played()
    log = logged.stored()
    setattr(log.grants[2], name, value)
    assert any(text in difference for _, difference in rebuild(log, {})), rebuild(log, {})


def drop_bet(log: Log) -> None:
    del log.activity[0]


def larger_bet(log: Log) -> None:
    log.activity[0] = replace(log.activity[0], activity=replace(log.activity[0].activity, amount=120))


def drop_status(log: Log) -> None:
    log.statuses = [one for one in log.statuses if one.after != Status.LOST]


def drop_start(log: Log) -> None:
    log.statuses = [one for one in log.statuses if (one.before, one.after) != (Status.QUEUED, Status.ACTIVE)]


def drop_count(log: Log) -> None:
    del log.counts[0]


def other_verdict(log: Log) -> None:
    log.counts[0] = replace(log.counts[0], verdict="GAME_EXCLUDED")


def drop_spending(log: Log) -> None:
    log.moved.clear()


def foreign_start(log: Log) -> None:
    log.statuses.append(StatusChange(99, 1, Status.LOST, Status.ACTIVE, NOW))


def twice(log: Log) -> None:
    log.activity.append(replace(log.activity[0], number=98))


@pytest.mark.parametrize(
    "tamper", [drop_bet, larger_bet, drop_status, drop_start, drop_count, other_verdict, drop_spending, foreign_start, twice]
)
def test_rebuild__log_tampered_with__is_found(tamper: Any) -> None:
    log = played().stored()
    assert rebuild(log, {}) == []
    tamper(log)
    assert rebuild(log, {}) != []


def test_rebuild__no_log__says_so() -> None:
    log = Log(7, grants=deepcopy(played().play.wallet.grants))
    assert [text for _, text in rebuild(log, {})] == ["grant 1 is not in the log", "grant 2 is not in the log"]
