"""The numbered examples of the specification (section 1) that concern the life of a grant, on the real database."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_template, assert_books_balance, bet, offer, statuses
from wallet import ledger, services
from wallet.models import BonusGrant, Entry, GrantMovement, PayoutInstruction
from wallet.services import Source

pytestmark = pytest.mark.django_db


@pytest.fixture
def player():
    return PlayerFactory()


def test_vector_4__deposit_50_and_bonus_25_at_30_times_the_bonus__750(player):
    template = a_template("half", match_percent=Decimal(50), multiple=Decimal(30), needs_claim=True)
    offered = offer(player.pk, template)
    assert (offered.status, offered.principal, offered.balance) == ("OFFERED", 0, 0)
    grant = services.claim_grant(offered.pk, at=NOW + timedelta(hours=1), deposit=Decimal(50), deposit_ref="D1")
    assert (grant.status, grant.principal, grant.balance, grant.deposit) == ("ACTIVE", 2500, 2500, 5000)
    assert grant.wagering_required == Decimal(750)
    assert grant.expires_at == NOW + timedelta(hours=1, days=7)
    assert statuses(grant) == [("", "OFFERED"), ("OFFERED", "ACTIVE")]
    assert_books_balance()


def test_vector_5__100_and_100_at_40_times_bonus_and_deposit__8000(player):
    template = a_template("full", match_percent=Decimal(100), multiple=Decimal(40), base="bonus_deposit")
    grant = offer(player.pk, template, deposit=Decimal(100), deposit_ref="D1")
    assert (grant.status, grant.principal, grant.wagering_required) == ("ACTIVE", 10000, Decimal(8000))
    assert_books_balance()


def _play_to(grant, minor, *, locked=0):
    """Let play have left this much on the grant, by entries of its own."""
    moves = [("locked", locked), ("balance", minor - grant.balance)]
    together = sum(amount for _, amount in moves) != 0  # an entry that moves nothing in sum cannot be: then one each
    for number, parts in enumerate([moves] if together else [moves[:1], moves[1:]]):
        amount = sum(part for _, part in parts)
        posting = ledger.Posting(grant.player_id, "BONUS", "EUR", amount, "win", Source("test", f"play-{grant.pk}-{number}"), NOW)
        entry, _ = ledger.post(posting)
        for pocket, part in parts:
            if part:
                GrantMovement.objects.create(grant=grant, entry=entry, pocket=pocket, amount=part)
    BonusGrant.objects.filter(pk=grant.pk).update(balance=minor, locked=locked)


@pytest.mark.parametrize("locked", [0, 5000])
def test_vector_9__sticky_100_with_300_at_the_end__pays_200(player, locked):
    grant = offer(player.pk, a_template("sticky", sticky=True, multiple=Decimal(1), amount=Decimal(100), count_mode="all_funds"))
    _play_to(grant, 30000 - locked, locked=locked)
    bet(player.pk, "100")
    grant.refresh_from_db()
    assert (grant.status, grant.released, grant.kept, grant.balance, grant.locked) == ("COMPLETED", 20000, 10000, 0, 0)
    taken = Entry.objects.filter(source_type="wallet.grant").order_by("seq").values_list("house", "amount", "source_sub")
    assert list(taken) == [("payout", -20000, "complete"), ("breakage", -10000, "breakage")]
    payout = PayoutInstruction.objects.get()
    assert (payout.key, payout.amount, payout.status) == (f"grant-{grant.pk}-complete", 20000, "PENDING")
    assert_books_balance()


def test_vector_10__bonus_100_cap_10_balance_1350__releases_1000_keeps_350(player):
    grant = offer(
        player.pk, a_template("capped", cash_out_cap=Decimal(10), multiple=Decimal(1), amount=Decimal(100), count_mode="all_funds")
    )
    _play_to(grant, 135000)
    bet(player.pk, "100")
    grant.refresh_from_db()
    assert (grant.status, grant.released, grant.kept) == ("COMPLETED", 100000, 35000)
    assert PayoutInstruction.objects.get().amount == 100000
    assert_books_balance()


def test_vector_14__two_claims__second_is_queued_and_begins_when_the_first_ends(player):
    first = offer(player.pk, a_template("one", needs_claim=True), amount=Decimal(10))
    second = offer(player.pk, a_template("two", needs_claim=True), amount=Decimal(20))
    at = NOW + timedelta(hours=1)
    assert services.claim_grant(first.pk, at=at).status == "ACTIVE"
    queued = services.claim_grant(second.pk, at=at)
    assert (queued.status, queued.balance, queued.expires_at) == ("QUEUED", 0, at + timedelta(days=30))
    later = NOW + timedelta(hours=5)
    services.surrender_grant(first.pk, at=later, reason="rather the other")
    queued.refresh_from_db()
    assert (queued.status, queued.balance, queued.activated_at) == ("ACTIVE", 2000, later)
    assert queued.expires_at == later + timedelta(days=7)
    assert statuses(queued) == [("", "OFFERED"), ("OFFERED", "QUEUED"), ("QUEUED", "ACTIVE")]
    entry = Entry.objects.get(amount=2000)
    assert (entry.source_type, entry.source_ref, entry.house) == (queued.source_type, queued.source_ref, "rewards")
    assert_books_balance()
