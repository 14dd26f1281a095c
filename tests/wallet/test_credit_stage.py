"""The bulk door: same outcome as one by one, duplicates skipped, bad lines named, nothing half-posted."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_template, assert_books_balance, balance_of, line, points, post_lines
from wallet import services
from wallet.bonus.terms import Terms
from wallet.models import Account, BonusGrant, Entry, GrantEvent, PayoutInstruction
from wallet.postings import plain_terms
from wallet.services import CreditStageError, IdempotencyConflict, Source

pytestmark = pytest.mark.django_db


@pytest.fixture
def players():
    return [PlayerFactory() for _ in range(3)]


def test_post_credit_stage__several_lines_of_one_account__consecutive_seq_and_balance(players):
    one, two, _ = players
    points(one.pk, "1")
    result = post_lines([line(1, one.pk, 500), line(2, two.pk, 40), line(3, one.pk, 25)])

    assert (result.posted, result.duplicates, result.by_unit) == (3, 0, {"LP": Decimal("5.65")})
    chain = Entry.objects.filter(account__player=one).order_by("seq").values_list("seq", "amount", "balance_after")
    assert list(chain) == [(1, 100, 100), (2, 500, 600), (3, 25, 625)]
    account = Account.objects.get(player=one)
    assert (account.balance, account.version, account.earned_total) == (625, 3, 625)
    assert_books_balance()


def test_post_credit_stage__points_earned_by_play__counts_as_earned_and_manual_does_not(players):
    post_lines([line(1, players[0].pk, 500)], house="game")
    post_lines([line(1, players[0].pk, 300)], house="manual")
    account = Account.objects.get(player=players[0])
    assert (account.balance, account.earned_total) == (800, 500)
    assert_books_balance()


def test_post_credit_stage__same_lines_again__all_are_duplicates(players):
    lines = [line(n, player.pk, 100 * n, unit=unit, ref=f"r{n}{unit}") for n, player in enumerate(players, 1) for unit in ("RP", "BONUS")]
    first = post_lines(lines)
    again = post_lines(lines)

    assert (first.posted, first.duplicates) == (6, 0)
    assert first.by_unit == {"BONUS EUR": Decimal("6.00"), "RP": Decimal("6.00")}
    assert (again.posted, again.duplicates, again.by_unit) == (0, 6, {})
    assert BonusGrant.objects.count() == 3
    assert_books_balance()


def test_post_credit_stage__partly_posted_batch__posts_the_rest(players):
    lines = [line(n, player.pk, 100, ref=f"r{n}") for n, player in enumerate(players, 1)]
    post_lines(lines[:2])
    result = post_lines(lines)
    assert (result.posted, result.duplicates) == (1, 2)


def test_post_credit_stage__line_twice_in_one_stage__posts_once(players):
    result = post_lines([line(1, players[0].pk, 100, ref="same"), line(2, players[0].pk, 100, ref="same")])
    assert (result.posted, result.duplicates) == (1, 1)
    assert balance_of(players[0].pk) == 100


def test_post_credit_stage__source_of_another_content__refuses_the_batch(players):
    services.add_points(player_id=players[0].pk, unit="LP", amount=Decimal(1), source=Source("batch", "taken"), at=NOW)
    with pytest.raises(IdempotencyConflict, match="line 2: source batch:taken stands for a posting with other content"):
        post_lines([line(1, players[1].pk, 100), line(2, players[0].pk, 101, ref="taken")])
    assert balance_of(players[1].pk) == 0
    assert balance_of(players[0].pk) == 100


def test_post_credit_stage__one_source_for_two_players_in_a_stage__refuses_the_batch(players):
    with pytest.raises(IdempotencyConflict, match="line 2: source batch:same stands"):
        post_lines([line(1, players[0].pk, 100, ref="same"), line(2, players[1].pk, 100, ref="same")])
    assert not Entry.objects.exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"player_id": None}, "line 7: player_id is empty"),
        ({"player_id": 999999}, "line 7: there is no player with id 999999"),
        ({"unit": "XP"}, "line 7: unit XP is unknown; use LP, RP, BONUS or TICKET"),
        ({"currency": "EUR"}, "line 7: LP has no currency; leave it empty"),
        ({"unit": "BONUS", "currency": "eur"}, "line 7: bonus money needs an ISO 4217 currency"),
        ({"amount_minor": 0}, "line 7: amount_minor must be positive, not 0"),
        ({"amount_minor": -5}, "line 7: amount_minor must be positive, not -5"),
        ({"amount_minor": None}, "line 7: amount_minor is empty"),
        ({"amount_minor": 10**16}, "line 7: amount_minor is larger than any posting may be"),
        ({"source_ref": ""}, "line 7: source_type and source_ref must be given"),
        ({"source_ref": "x" * 129}, "line 7: source is too long"),
        ({"reason": "x" * 501}, "line 7: reason is longer than 500 characters"),
        (
            {"unit": "BONUS", "currency": "EUR", "wagering_required": None},
            "line 7: wagering_required of a bonus must be a number from 0 on",
        ),
        ({"unit": "BONUS", "currency": "EUR", "wagering_required": Decimal(-1)}, "line 7: wagering_required of a bonus must be a number"),
        ({"unit": "BONUS", "currency": "EUR", "wagering_required": Decimal("0.1234567")}, "more than six decimal places"),
        ({"unit": "BONUS", "currency": "EUR", "wagering_required": 1, "expires_at": NOW}, "line 7: expires_at must lie after the posting"),
    ],
)
def test_post_credit_stage__line_that_cannot_be_posted__is_named_and_nothing_moves(players, fields, message):
    bad = line(7, players[0].pk, 100) | fields
    with pytest.raises(CreditStageError, match=message):
        post_lines([line(1, players[1].pk, 100), bad])
    assert not Entry.objects.exists()
    assert not Account.objects.exists()


def test_post_credit_stage__unknown_house__is_refused(players):
    with pytest.raises(CreditStageError, match="house code 'gift' is unknown"):
        post_lines([line(1, players[0].pk, 100)], house="gift")


def test_post_credit_stage__bonus_line__makes_the_grant_with_its_terms(players):
    expires = NOW + timedelta(hours=48)
    post_lines(
        [
            line(
                1, players[0].pk, 5000, unit="BONUS", ref="d1", currency="SEK", wagering_required=Decimal(500), expires_at=expires,
                max_bet_minor=1000, eligible_games='["slots", "roulette"]',
            )
        ]
    )  # fmt: skip
    grant = BonusGrant.objects.get()
    assert (grant.player_id, grant.currency, grant.principal, grant.balance) == (players[0].pk, "SEK", 5000, 5000)
    assert (grant.wagering_required, grant.wagered, grant.terms["max_bet"]) == (Decimal(500), Decimal(0), 1000)
    assert (grant.terms["eligible_games"], grant.status, grant.expires_at) == (["slots", "roulette"], "ACTIVE", expires)
    assert Terms.from_json(grant.terms) == plain_terms(Decimal(500), 1000, ["slots", "roulette"], timedelta(hours=48))
    assert (grant.source_type, grant.source_ref) == ("batch", "d1")
    event = GrantEvent.objects.get()
    assert (event.from_status, event.to_status, event.cause, event.entry) == ("", "ACTIVE", "credited by batch d1", Entry.objects.get())
    assert_books_balance()


def test_post_credit_stage__bonus_without_wagering__is_released_at_once(players):
    post_lines([line(1, players[0].pk, 700, unit="BONUS", wagering_required=Decimal(0))])
    grant = BonusGrant.objects.get()
    assert (grant.status, grant.balance, grant.closed_at) == ("COMPLETED", 0, NOW)
    assert list(Entry.objects.order_by("seq").values_list("amount", "house")) == [(700, "rewards"), (-700, "payout")]
    assert_books_balance()


def test_post_credit_stage__twice_in_one_transaction__second_stage_starts_empty(players):
    with transaction.atomic():
        assert post_lines([line(1, players[0].pk, 100)]).posted == 1
        second = post_lines([line(1, players[0].pk, 200)])
    assert (second.posted, second.duplicates) == (1, 0)
    assert balance_of(players[0].pk) == 300


def _state(*, in_order: bool):
    """Everything that must not depend on how lines were posted. A pay-out comes after the credits of its batch, so where grants complete
    at once the entries of an account are the same, but not their order."""
    accounts = list(
        Account.objects.order_by("player_id", "unit", "currency").values_list(
            "player_id", "unit", "currency", "balance", "version", "earned_total"
        )
    )
    chain = Entry.objects.order_by("account__player_id", "account__unit", "account__currency", "seq").values_list(
        "account__player_id", "account__unit", "account__currency", "amount", "source_ref", "source_sub", "house", "reason",
        *(["seq", "balance_after"] if in_order else []),
    )  # fmt: skip
    numbers = dict(BonusGrant.objects.values_list("pk", "source_ref"))
    entries = [(*row[:4], numbers[int(row[4])] if row[5] and row[1] == "BONUS" and row[3] < 0 else row[4], *row[5:]) for row in chain]
    grants = list(
        BonusGrant.objects.order_by("source_ref").values_list(
            "source_ref", "principal", "balance", "wagering_required", "terms", "status", "expires_at", "activated_at", "closed_at",
            "spins_left", "released", "kept", "product", "template_version", "queue_order",
        )
    )  # fmt: skip
    queue = [numbers[pk] for pk in BonusGrant.objects.filter(status="QUEUED").order_by("player", "id").values_list("pk", flat=True)]
    events = list(
        GrantEvent.objects.order_by("grant__source_ref", "id").values_list(
            "grant__source_ref", "from_status", "to_status", "cause", "detail", "entry__amount"
        )
    )
    payouts = sorted((numbers[grant], amount) for grant, amount in PayoutInstruction.objects.values_list("grant", "amount"))
    return accounts, entries if in_order else sorted(entries), grants, queue, events, payouts


def _post_alone(row):
    source = Source(row["source_type"], row["source_ref"])
    amount = Decimal(row["amount_minor"]).scaleb(0 if row["unit"] == "TICKET" else -2)
    if row["template_code"] is not None:
        services.offer_bonus(
            player_id=row["player_id"], template=row["template_code"], currency=row["currency"], amount=amount, source=source, at=NOW,
            reason=row["reason"],
        )  # fmt: skip
    elif row["unit"] == "BONUS":
        services.add_bonus(
            player_id=row["player_id"], currency=row["currency"], amount=amount, wagering_required=row["wagering_required"],
            expires_at=row["expires_at"], source=source, at=NOW, reason=row["reason"],
        )  # fmt: skip
    else:
        services.add_points(player_id=row["player_id"], unit=row["unit"], amount=amount, source=source, at=NOW, reason=row["reason"])


@pytest.fixture
def templates():
    """Every way in which a line of a template can begin."""
    return {
        "casino": a_template("casino", multiple=Decimal("12.5")).code,
        "sports": a_template("sports", products=["sports"]).code,
        "free": a_template("free", multiple=Decimal(0)).code,
        "claim": a_template("claim", needs_claim=True).code,
        "spins": a_template("spins", kind="free_spins", spins=20, spin_value=Decimal("0.10"), base="spin_winnings").code,
        "tiny": a_template("tiny", min_bet=Decimal(20)).code,
    }


_KINDS = st.sampled_from(
    ["LP", "RP", "TICKET", "BONUS", "BONUS", "no wagering", "SEK", "casino", "sports", "free", "claim", "spins", "tiny"]
)


def _line_of(number, player_id, kind, amount, templates):
    ref = f"p{number:02d}"
    if kind in ("LP", "RP", "TICKET", "BONUS"):
        return line(number, player_id, amount, unit=kind, ref=ref)
    if kind in templates:
        return line(
            number, player_id, amount, unit="BONUS", ref=ref, template_code=templates[kind], wagering_required=None, expires_at=None
        )
    terms = {"wagering_required": Decimal(0)} if kind == "no wagering" else {"currency": "SEK"}
    return line(number, player_id, amount, unit="BONUS", ref=ref, **terms)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), _KINDS, st.integers(1, 10**4)), min_size=1, max_size=14),
    before=st.lists(st.tuples(st.integers(0, 2), _KINDS), max_size=4),
    cuts=st.lists(st.integers(0, 14), max_size=3),
)
def test_post_credit_stage__any_batching_of_the_same_lines__equals_one_by_one(players, templates, rows, before, cuts):
    earlier = [_line_of(90 + n, players[who].pk, kind, 700, templates) for n, (who, kind) in enumerate(before)]
    lines = [_line_of(n, players[who].pk, kind, amount, templates) for n, (who, kind, amount) in enumerate(rows)]
    in_order = not {"no wagering", "free", "tiny"} & {kind for _, kind, *_ in [*rows, *before]}
    states = []
    bounds = sorted({0, *(min(cut, len(lines)) for cut in cuts), len(lines)})
    for way in ("single", "batches", "all again"):
        try:
            with transaction.atomic():
                for row in earlier:
                    _post_alone(row)
                if way == "single":
                    for row in lines:
                        _post_alone(row)
                else:
                    for start, stop in zip(bounds, bounds[1:], strict=False):
                        assert post_lines(lines[start:stop]).posted == stop - start
                if way == "all again":
                    for row in lines:
                        _post_alone(row)
                    assert post_lines(lines).duplicates == len(lines)
                assert_books_balance()
                states.append(_state(in_order=in_order))
                raise _Undo
        except _Undo:
            pass
    assert states[0] == states[1] == states[2]


class _Undo(Exception):
    """Takes a trial's rows back, so that the next one starts from nothing."""
