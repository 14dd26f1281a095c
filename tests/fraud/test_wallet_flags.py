"""Flags of the wallet become evidence of reviews, each once."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from fraud.evidence import describe_flag
from fraud.models import AbuseProfile, FlagEvidence, ReviewFlag
from fraud.reviews import close_review, flag_for_review
from fraud.wallet_flags import reason, take_up_flags
from loyalty_site.common.jobs import create_run, execute
from loyalty_site.common.models import AuditEvent
from players.models import Player
from tests.factories import NOW, PlayerFactory, UserFactory
from tests.wallet.test_payouts import instruction
from wallet.models import WalletFlag

pytestmark = pytest.mark.django_db
ALL = (0, 2**62)


def flagged(player: Player, ref: str, kind: str = "OVER_MAX_BET", **fields: Any) -> WalletFlag:
    values = {"detail": {"activity_id": ref, "stake": "2500", "max_bet": "1000"}, "occurred_at": NOW} | fields
    return WalletFlag.objects.create(player=player, kind=kind, source_ref=ref, **values)


def test_take_up_flags__new_flags__open_one_review_a_player_with_their_count() -> None:
    first, second = PlayerFactory(), PlayerFactory()
    AbuseProfile.objects.create(player=first, score="42.5", scored_at=NOW)
    for ref in ("bet-1", "bet-2"):
        flagged(first, ref)
    flagged(first, "win-1", "CASH_DEBT", detail={"amount": "900"})
    flagged(second, "bet-1")

    assert take_up_flags(*ALL, NOW) == {"rows": 4, "reviews": 2}
    review = ReviewFlag.objects.get(player=first)
    assert review.reason == "The wallet flagged: 2 stakes above the largest bet of a bonus, 1 rollback that left the cash negative."
    assert (review.status, review.flagged_by, float(review.score_at_flag), review.flagged_at) == ("OPEN", None, 42.5, NOW)
    assert review.wallet_evidence.count() == 3
    events = AuditEvent.objects.filter(action="fraud.review_opened")
    assert {event.subject_id for event in events} == {str(pk) for pk in ReviewFlag.objects.values_list("pk", flat=True)}


def test_take_up_flags__run_again__takes_nothing_twice() -> None:
    flagged(PlayerFactory(), "bet-1")
    take_up_flags(*ALL, NOW)
    assert take_up_flags(*ALL, NOW + timedelta(hours=1)) == {"rows": 0, "reviews": 0}
    assert (ReviewFlag.objects.count(), FlagEvidence.objects.count()) == (1, 1)


def test_take_up_flags__review_is_open_already__adds_to_it() -> None:
    player = PlayerFactory()
    review = flag_for_review(player.pk, "looks odd", None, NOW)
    flagged(player, "bet-1")
    assert take_up_flags(*ALL, NOW) == {"rows": 1, "reviews": 0}
    assert FlagEvidence.objects.get().review == review


def test_take_up_flags__review_was_closed__a_new_flag_opens_the_next() -> None:
    player = PlayerFactory()
    flagged(player, "bet-1")
    take_up_flags(*ALL, NOW)
    close_review(ReviewFlag.objects.get(), "INCONCLUSIVE", "nothing to it", UserFactory(), NOW)
    assert take_up_flags(*ALL, NOW)["reviews"] == 0
    flagged(player, "bet-2")
    assert take_up_flags(*ALL, NOW) == {"rows": 1, "reviews": 1}
    assert list(ReviewFlag.objects.order_by("id").values_list("wallet_evidence__flag__source_ref", flat=True)) == ["bet-1", "bet-2"]


def test_take_up_flags__other_players_and_later_flags__are_left() -> None:
    inside, outside = PlayerFactory(), PlayerFactory()
    flagged(inside, "later", occurred_at=NOW + timedelta(hours=1))
    flagged(outside, "bet-1")
    assert take_up_flags(inside.pk, inside.pk + 1, NOW)["rows"] == 0
    assert take_up_flags(inside.pk, inside.pk + 1, NOW + timedelta(hours=1))["rows"] == 1


def test_take_up_flags__number_of_statements__does_not_grow_with_the_flags(django_assert_num_queries: Any) -> None:
    for _ in range(30):
        flagged(PlayerFactory(), "bet-1")
    with django_assert_num_queries(7):  # savepoint, lock, count, two inserts, take, release
        take_up_flags(*ALL, NOW)


@pytest.mark.django_db(transaction=True)
def test_take_up_flags__two_workers_at_once__each_flag_once() -> None:
    for _ in range(50):
        flagged(PlayerFactory(), "bet-1")
    start, results = threading.Barrier(2), list[Any]()

    def work() -> None:
        try:
            start.wait()
            results.append(take_up_flags(*ALL, NOW))
        except Exception as error:  # noqa: BLE001 - seen by the assertion
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result["rows"] for result in results) == 50
    assert (ReviewFlag.objects.count(), FlagEvidence.objects.count()) == (50, 50)


def test_job__hourly_stage__takes_up_what_is_new() -> None:
    flagged(PlayerFactory(), "bet-1")
    run = execute(create_run("fraud.wallet_flags", as_of=NOW))
    assert (run.status, run.result) == ("SUCCEEDED", {"rows": 1, "reviews": 1})


def test_reason__large_numbers__are_readable() -> None:
    assert reason({"POINTS_DEBT": 1200}) == "The wallet flagged: 1,200 reversals of points that were spent already."


def test_describe_flag__each_kind__is_a_sentence() -> None:
    grant = instruction(PlayerFactory()).grant
    described = {
        kind: describe_flag(flagged(grant.player, "win-7", kind, grant=grant if kind != "POINTS_DEBT" else None, detail=detail))
        for kind, detail in {
            "OVER_MAX_BET": {"activity_id": "bet-1", "stake": "2500", "max_bet": "1000"},
            "BONUS_DEBT": {"amount": "400"},
            "CASH_DEBT": {"amount": "900"},
            "POINTS_DEBT": {"unit": "LP", "owed": "20.00 LP"},
        }.items()
    }
    assert described == {
        "OVER_MAX_BET": "Staked 25.00 EUR where the bonus allows 10.00 EUR a bet (bet bet-1).",
        "BONUS_DEBT": "4.00 EUR of a bonus were to be taken back and were not there any more (win-7).",
        "CASH_DEBT": "A rolled back win left the cash 9.00 EUR below zero (win-7).",
        "POINTS_DEBT": "20.00 LP were reversed after they had been spent; the next earnings pay them (win-7).",
    }


def test_describe_flag__detail_is_not_there__says_no_figure() -> None:
    assert describe_flag(flagged(PlayerFactory(), "x", detail={})) == "Staked an amount where the bonus allows an amount a bet (x)."


def test_review_page__taken_flags__are_shown_in_words(client: Client) -> None:
    grant = instruction(PlayerFactory()).grant
    flagged(grant.player, "bet-1", grant=grant)
    take_up_flags(*ALL, NOW)
    client.force_login(UserFactory(is_superuser=True))
    page = client.get(f"/admin/fraud/reviewflag/{ReviewFlag.objects.get().pk}/change/").content.decode()
    assert "Staked 25.00 EUR where the bonus allows 10.00 EUR a bet" in page
    assert f"/admin/wallet/bonusgrant/{grant.pk}/change/" in page
