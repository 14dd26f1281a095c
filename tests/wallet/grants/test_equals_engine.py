"""What the statements do to many grants is what the engine does to one."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import NOW, PlayerFactory, UserFactory
from tests.wallet.activity.scenes import send
from tests.wallet.factories import a_source, a_template, assert_books_balance, bonus, offer
from tests.wallet.grants.test_vectors import _play_to
from wallet.bonus import engine
from wallet.bonus.states import FINAL, Status
from wallet.bonus.terms import Terms
from wallet.bonus.values import Grant, Wallet
from wallet.grants import closing, offers, queue
from wallet.grants.templates import current_version, terms_of
from wallet.models import Account, BonusGrant, Entry, GrantMovement, PayoutInstruction

pytestmark = pytest.mark.django_db
AT = NOW + timedelta(hours=1)
ENDS = [Status.COMPLETED, Status.EXPIRED, Status.LOST, Status.FORFEITED, Status.VOIDED, Status.REVERSED]

_grants = st.tuples(
    st.integers(1, 3000),  # principal
    st.integers(0, 60_000),  # what play has left of it
    st.integers(0, 5000),  # locked winnings
    st.booleans(),  # sticky
    st.none() | st.decimals(min_value=0, max_value=12, places=2),  # cash-out cap
)
_waiting = st.lists(
    st.tuples(
        st.integers(1, 900),
        st.sampled_from(["10", "0"]),
        st.sampled_from(["0.01", "5"]),
        st.integers(-1, 1),
        st.sampled_from(["rewards", "game"]),
    ),
    max_size=3,
)


class _Undo(Exception):
    pass


def _as_the_engine_sees(player):
    wallet = Wallet(player.pk)
    for stored in BonusGrant.objects.filter(player=player):
        wallet.grants[stored.pk] = Grant(
            grant_id=stored.pk,
            required=stored.wagering_required,
            house=stored.events.earliest("id").detail["house"],
            status=Status(stored.status),
            terms=Terms.from_json(stored.terms),
            **{
                name: getattr(stored, name)
                for name in (
                    "product", "currency", "principal", "balance", "locked", "deposit", "wagered", "penalties", "spins_left", "open_bets",
                    "released", "kept", "activated_at", "expires_at", "queue_order",
                )
            },
        )  # fmt: skip
    return wallet


def _in_words(entries):
    return [
        (entry.amount, entry.house, entry.source_sub, sorted(entry.movements.values_list("grant_id", "pocket", "amount")))
        for entry in entries
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grant=_grants, waiting=_waiting, end=st.sampled_from(ENDS))
def test_end__any_grant_and_queue_behind_it__postings_pay_outs_and_states_are_the_engines(grant, waiting, end):
    principal, left, locked, sticky, cap = grant
    try:
        with transaction.atomic():
            player = PlayerFactory()
            first = offer(player.pk, a_template(multiple=Decimal(1), sticky=sticky, cash_out_cap=cap), amount=Decimal(principal).scaleb(-2))
            for amount, multiple, min_bet, place, house in waiting:
                template = a_template(multiple=Decimal(multiple), min_bet=Decimal(min_bet))
                version = current_version(template.code)
                draft = offers.Draft(player.pk, "EUR", terms_of(version, "EUR"), amount, a_source(), NOW, house=house, version=version)
                queued = offers.make(draft, same=lambda _: True)
                BonusGrant.objects.filter(pk=queued.pk).update(queue_order=place)
            if (left, locked) != (principal, 0):
                _play_to(first, left, locked=locked)
            wallet = _as_the_engine_sees(player)
            outcome = engine.close(wallet, first.pk, end, "trial", at=AT)
            before = Entry.objects.order_by("-id").values_list("id", flat=True).first()

            queue.end([first.pk], closing.Closing(end, "trial"), at=AT)

            posted = Entry.objects.filter(id__gt=before).order_by("seq")
            asked = [
                (one.amount, one.house, one.sub, sorted((move.grant_id, move.pocket, move.amount) for move in one.movements))
                for one in outcome.postings
            ]
            assert _in_words(posted) == asked
            paid = PayoutInstruction.objects.order_by("id").values_list("grant_id", "amount", "key")
            assert list(paid) == [(one.grant_id, one.amount, f"grant-{one.grant_id}-{one.sub}") for one in outcome.payouts]
            for stored in BonusGrant.objects.filter(player=player):
                copy = wallet.grants[stored.pk]
                assert (stored.status, stored.balance, stored.locked, stored.released, stored.kept, stored.wagering_required) == (
                    copy.status, copy.balance, copy.locked, copy.released, copy.kept, copy.required,
                )  # fmt: skip
                assert (stored.expires_at, stored.activated_at if copy.status not in FINAL else None) == (
                    copy.expires_at, copy.activated_at if copy.status not in FINAL else None,
                )  # fmt: skip
            events = first.events.model.objects.filter(grant__player=player, occurred_at=AT).order_by("id")
            assert [(one.grant_id, one.from_status, one.to_status, one.cause) for one in events] == [
                (one.grant_id, one.before, one.after, one.cause) for one in outcome.transitions
            ]
            assert [one.detail for one in events] == [one.detail for one in outcome.transitions]
            assert not GrantMovement.objects.filter(entry__isnull=True).exists()
            assert_books_balance()
            raise _Undo
    except _Undo:
        pass


@pytest.mark.parametrize("given_by_staff", [False, True])
def test_start__of_a_queued_grant__a_bet_and_a_decision_write_the_same(given_by_staff):
    """The bet goes through the engine and its writing statement, the decision through the statements of the queue."""
    actor = UserFactory() if given_by_staff else None
    written = []
    for by_bet in (True, False):
        player = PlayerFactory()
        first = bonus(player.pk, "10.00", "5")
        queued = bonus(player.pk, "25.00", "40", house="game", reason="won the race", actor=actor)
        assert queued.status == "QUEUED"
        if by_bet:
            send(player.pk, "BET", "5", occurred_at=AT, received_at=AT, ends_round=True)
        else:
            queue.end([first.pk], closing.COMPLETED, at=AT)
        queued.refresh_from_db()
        account = Account.objects.get(player=player, unit="BONUS")
        credit = Entry.objects.filter(account=account, source_ref=queued.source_ref).values(
            "house", "reason", "actor_id", "amount", "seq", "balance_after", "source_type", "source_sub", "occurred_at"
        )
        begun = queued.events.values("from_status", "to_status", "cause", "detail", "actor_id", "occurred_at").latest("id")
        written.append((credit.get(), begun, queued.status, queued.balance, queued.expires_at, account.earned_total))
    assert written[0] == written[1]
    credit = written[0][0]
    assert (credit["house"], credit["reason"], credit["actor_id"]) == ("game", "won the race", actor.pk if actor else None)
    assert_books_balance()
