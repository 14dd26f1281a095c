"""A run for one player and a run for all give the same rewards; jobs, imports and failures on the way."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection

from loyalty_site.common.jobs import create_run, execute
from loyalty_site.common.models import AuditEvent
from players.models import ImportJob, Payment, Player
from rewards import services
from rewards.granting import issue as till
from rewards.granting.pipeline import grant
from rewards.imports import refuse_undo, reward_after_import
from rewards.models import RewardDecision
from tests.factories import NOW
from tests.rewards.granting.factories import THRESHOLDS, by_rule, make_approver, make_player, make_rule, make_staff
from wallet.models import BonusGrant, Entry
from wallet.services import WalletError

pytestmark = pytest.mark.django_db


def a_small_operator() -> list[Player]:
    """Players of several sorts and rules that overlap: formulas, a stacking group, a per-player budget, two currencies."""
    make_approver()
    make_rule("cashback", priority=5, stacking_group="loss", config={"formula": "net_loss * 0.10", "max_amount": 60})
    make_rule(
        "comfort", priority=9, stacking_group="loss", conditions={"segment": "LOSING", "net_loss_min": 100}, config={"formula": "12.5"}
    )
    make_rule("points", config={"type": "LOYALTY_POINTS", "formula": "total_wagered / 1000", "wagering_requirement": 0})
    make_rule("dollars", config={"formula": "7", "currency": "USD"}, player_budget=Decimal(10))
    players = []
    for number in range(24):
        loss = Decimal(number * 40)
        players.append(
            make_player(
                segment="LOSING" if number % 3 else "WINNING",
                currency="USD" if number % 4 == 0 else "EUR",
                status="SUSPENDED" if number == 7 else "ACTIVE",
                protection={"harm_flag": number == 5, "marketing_consent": number != 9},
                metrics={"net_loss": loss, "net_pnl": -loss},
            )
        )
    return players


def outcomes() -> list[tuple]:
    fields = (
        "player_id",
        "rule__rule_id",
        "period",
        "unit",
        "currency",
        "amount_minor",
        "wagering_required",
        "status",
        "refused_by",
        "facts",
    )
    rows = RewardDecision.objects.values_list(*fields)
    return sorted((*row[:-1], str(sorted(row[-1].items()))) for row in rows)


def test_evaluate__all_at_once__and__one_by_one__give_the_same() -> None:
    players = a_small_operator()
    ids = sorted(player.pk for player in players)
    services.evaluate_players(ids[0], ids[-1] + 1, NOW)
    together = outcomes()
    forget_decisions()
    for player in reversed(ids):
        services.evaluate_for([player], NOW)
    assert outcomes() == together
    assert {row[7] for row in together} == {"AUTO_APPROVED", "REFUSED"}
    assert len(together) > 60


def forget_decisions() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("TRUNCATE rewards_decisionevent, rewards_rewarddecision, rewards_budgetaccount")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def test_evaluate__again__changes_nothing() -> None:
    players = a_small_operator()
    ids = [player.pk for player in players]
    services.evaluate_for(ids, NOW, issue_now=True)
    first, entries = outcomes(), Entry.objects.count()
    services.evaluate_for(ids, NOW, issue_now=True)
    assert (outcomes(), Entry.objects.count()) == (first, entries)


def test_evaluate__broken_rule__is_named() -> None:
    make_rule("broken", config={"formula": "net_los * 2"})
    with pytest.raises(services.BrokenRule, match="rule broken, version 1"):
        services.evaluate_for([make_player().pk], NOW)


def test_jobs__evaluate_then_issue__pay_what_was_approved() -> None:
    players = a_small_operator()
    services.evaluate_players(players[0].pk, players[-1].pk + 1, NOW, run_id=1)
    approved = RewardDecision.objects.filter(status="AUTO_APPROVED").count()
    run = execute(create_run("rewards.issue", as_of=NOW))
    assert (run.status, run.result["issued"]) == ("SUCCEEDED", approved)
    queued = BonusGrant.objects.filter(status="QUEUED").count()  # behind another bonus of the player: credited when its turn comes
    assert queued > 0
    assert RewardDecision.objects.filter(status="ISSUED").count() == Entry.objects.count() + queued == approved


def test_issue__one_that_cannot_be_posted__fails_alone_and_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    players, version = [make_player() for _ in range(9)], make_rule(total_budget=Decimal(1000))
    ids = grant(by_rule(version, players), thresholds=THRESHOLDS).decision_ids
    bad, post = ids[4], till._post

    def post_all_but_one(decisions: list[int], at) -> None:
        if bad in decisions:
            raise WalletError("the account is closed")
        post(decisions, at)

    monkeypatch.setattr(till, "_post", post_all_but_one)
    result = services.issue(ids, NOW)
    assert (result.issued, result.failed) == (8, 1)
    failed = RewardDecision.objects.get(status="ISSUE_FAILED")
    assert (failed.pk, failed.error) == (bad, "WalletError: the account is closed")
    account = version.rule.budgets.get()
    assert (account.reserved_minor, account.spent_minor) == (1000, 8000)
    monkeypatch.setattr(till, "_post", post)
    assert services.retry_issue([bad], make_approver(), NOW).issued == 1
    assert Entry.objects.count() == 9


def test_jobs__run_for_one_player__issue_and_lapse_his_rewards_and_no_others() -> None:
    make_approver()
    make_rule(config={"formula": "10"})
    mine, other = make_player(), make_player()
    issue_for_nobody = create_run("rewards.issue", as_of=NOW, parameters={"ids": [mine.pk]})
    assert execute(issue_for_nobody).result.get("issued", 0) == 0
    services.evaluate_for([mine.pk, other.pk], NOW)
    done = execute(create_run("rewards.issue", as_of=NOW, parameters={"ids": [mine.pk]}))
    assert done.result["issued"] == 1
    assert dict(RewardDecision.objects.values_list("player_id", "status")) == {mine.pk: "ISSUED", other.pk: "AUTO_APPROVED"}
    RewardDecision.objects.filter(player=other).update(status="PENDING")
    later = NOW + timedelta(days=60)
    assert execute(create_run("rewards.lapse", as_of=later, parameters={"ids": [mine.pk]})).result.get("lapsed", 0) == 0
    assert execute(create_run("rewards.lapse", as_of=later, parameters={"ids": [other.pk]})).result["lapsed"] == 1


def test_import__rewards_paid_on_it__forbid_its_undo() -> None:
    make_rule()
    player = make_player()
    job = ImportJob.objects.create(kind="PAYMENTS", status="DONE", file_name="p.csv", created_at=NOW, applied_at=NOW)
    Payment.objects.create(player=player, external_id="1", kind="DEPOSIT", amount=5, occurred_at=NOW, import_job=job)
    assert refuse_undo(job) == []
    figures = reward_after_import(job, [player.pk], NOW + timedelta(seconds=1))
    assert (figures["rewards_issued"], figures["rewards_proposed"]) == (1, 1)
    assert RewardDecision.objects.get().import_job_id == job.pk
    assert refuse_undo(job) == ["1 rewards proposed for its players since then are issued; revoke or reject them first."]


@pytest.fixture
def hand() -> Callable[..., RewardDecision]:
    def give(player: Player, **changes) -> RewardDecision:
        asked = {"unit": "LP", "amount": Decimal("12.50"), "reason": "birthday", "key": "b-1", "at": NOW, **changes}
        return services.grant_by_hand(player_id=player.pk, **asked)

    return give


def test_by_hand__person_with_permission__pays_and_audits(hand) -> None:
    actor, player = make_staff("grant_manual"), make_player()
    decision = hand(player, actor=actor)
    assert (decision.status, decision.amount, decision.maker) == ("ISSUED", Decimal("12.50"), actor)
    assert hand(player, actor=actor).pk == decision.pk
    assert AuditEvent.objects.filter(action="rewards.decision_proposed").count() == 1
    assert Entry.objects.count() == 1


def test_by_hand__person_without_permission__is_refused_and_writes_nothing(hand) -> None:
    with pytest.raises(PermissionDenied):
        hand(make_player(), actor=make_approver())
    assert not RewardDecision.objects.exists()
