"""Amounts in another currency than the player's: refused, in deposits, plays and bonuses; and the currency of players nobody knows yet."""

from decimal import Decimal
from typing import Any

import pytest

from players.feeds.pull import pull_all
from players.models import FeedRefusal, FeedState, GamePlay, ImportMapping, Payment, Player, QuarantinedRow
from tests.factories import PlayerFactory
from wallet.models import BonusGrant

from .conftest import AT, bonus, deposit, player, serving

pytestmark = pytest.mark.django_db(transaction=True)
AFTER = "2026-03-05T10:00:00Z"


def _pull(start: Any, **data: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """{resource: (rows, refused)}"""
    _, client = start(serving(data))
    done = pull_all(AT, client)
    assert [one.error for one in done] == [""] * 4
    return {one.resource: (one.rows, one.rejected) for one in done}


def test_deposit__of_another_currency__is_refused_with_its_reason_and_the_rest_comes_in(start: Any) -> None:
    foreign = {"player_id": "P1", "transaction_id": "X", "amount": "10.10", "currency": "USD", "created_at": AFTER}
    own = {**foreign, "transaction_id": "Y", "currency": "eur"}
    unsaid = {name: cell for name, cell in own.items() if name != "currency"} | {"transaction_id": "Z"}
    done = _pull(start, players=[player("P1")], deposits=[foreign, own, unsaid])
    assert done["deposits"] == (3, 1)
    assert list(Payment.objects.order_by("external_id").values_list("external_id", "amount")) == [
        ("Y", Decimal("10.1000")),
        ("Z", Decimal("10.1000")),
    ]
    row = QuarantinedRow.objects.get()
    assert (row.column, row.value, row.code, row.status, row.raw["transaction_id"]) == ("currency", "USD", "other_currency", "OPEN", "X")
    assert row.reason == "USD, but the player's currency is EUR: nothing is converted, so the amounts of the row are not taken."
    assert Player.objects.get().currency == "EUR"


def test_deposit__refused_and_sent_again__is_kept_once(start: Any) -> None:
    PlayerFactory(external_id="P-1", currency="EUR")
    rows = [{**deposit(1, AFTER), "currency": "USD"}]
    assert _pull(start, deposits=rows)["deposits"] == (1, 1)
    FeedState.objects.update(cursor_at=None)
    assert _pull(start, deposits=rows)["deposits"] == (1, 0)
    assert QuarantinedRow.objects.count() == 1


def test_deposit__nested_currency_code__is_read(start: Any) -> None:
    nested = {**deposit(1, AFTER), "currency": {"code": "USD", "sign": "$"}}
    assert _pull(start, players=[player("P-1")], deposits=[nested])["deposits"] == (1, 1)
    assert not Payment.objects.exists()


def test_deposit__by_a_saved_mapping__is_refused_unless_the_mapping_says_that_no_column_is_meant(start: Any) -> None:
    columns: dict[str, Any] = {
        "player_external_id": "user_id", "external_id": "id", "amount": "amount", "occurred_at": "created_at",
        "kind": {"constant": "DEPOSIT"},
    }  # fmt: skip
    saved = ImportMapping.objects.create(name="api deposits", kind="PAYMENTS", columns=columns, created_at=AT)
    rows = [{**deposit(1, AFTER), "currency": "USD"}]
    assert _pull(start, players=[player("P-1")], deposits=rows)["deposits"] == (1, 1)
    assert not Payment.objects.exists()
    saved.columns = {**columns, "currency": ""}
    saved.save()
    FeedState.objects.update(cursor_at=None)
    assert _pull(start, deposits=rows)["deposits"] == (1, 0)
    assert Payment.objects.get().amount == Decimal("10.0000")


def test_deposit__of_a_player_nobody_knows__makes_the_player_with_its_currency_which_a_profile_does_not_change(start: Any) -> None:
    rows = [
        {**deposit(1, AFTER, "New-USD"), "currency": "USD"},
        deposit(2, AFTER, "New-USD"),
        deposit(3, AFTER, "New-unsaid"),
        {**deposit(4, AFTER, "New-two"), "currency": "USD"},
        {**deposit(5, AFTER, "New-two"), "currency": "SEK"},
    ]
    assert _pull(start, deposits=rows)["deposits"] == (5, 2)
    made = Player.objects.order_by("external_id").values_list("external_id", "currency", "registered_at", "country")
    assert list(made) == [("New-USD", "USD", None, ""), ("New-unsaid", "EUR", None, "")]
    assert sorted(Payment.objects.values_list("external_id", flat=True)) == ["1", "2", "3"]
    assert set(QuarantinedRow.objects.values_list("value", "code", "reason")) == {
        (
            said,
            "several_currencies",
            "The rows name several currencies (SEK, USD) for a player who is not known yet, so none is known to be right.",
        )
        for said in ("SEK", "USD")
    }

    profiles = [{**player(name), "currency": "SEK"} for name in ("New-USD", "New-unsaid")]
    FeedState.objects.update(cursor_at=None)
    assert _pull(start, players=profiles)["players"] == (2, 1)
    # the currency that was named stays; the one that was assumed is corrected
    assert dict(Player.objects.values_list("external_id", "currency")) == {"New-USD": "USD", "New-unsaid": "SEK"}
    assert QuarantinedRow.objects.get(code="currency_fixed").raw["user_id"] == "New-USD"


def test_play__of_another_currency__is_refused_and_of_a_new_player_makes_its_currency(start: Any) -> None:
    play = {"user_id": "P-1", "id": 1, "game": "Reel", "stake": "1.00", "payout": "0.50", "timestamp": AFTER, "currency": "USD"}
    rows = [play, {**play, "id": 2, "currency": "EUR"}, {**play, "id": 3, "user_id": "New"}]
    assert _pull(start, players=[player("P-1")], logs=rows)["logs"] == (3, 1)
    assert sorted(GamePlay.objects.values_list("external_id", "player__currency")) == [("2", "EUR"), ("3", "USD")]
    assert QuarantinedRow.objects.get().raw["id"] == "1"


def test_bonus__of_another_currency__is_refused_with_the_same_reason(start: Any) -> None:
    rows = [{**bonus("B-1"), "currency": "USD"}, {**bonus("B-2"), "bonus_currency": "eur"}, {**bonus("B-3"), "currency_code": "SEK"}]
    assert _pull(start, players=[player("P-1")], bonuses=rows)["bonuses"] == (3, 2)
    assert list(BonusGrant.objects.values_list("currency", "principal")) == [("EUR", 1000)]
    refused = FeedRefusal.objects.order_by("id")
    assert [row.field for row in refused] == ["currency", "currency"]
    assert [row.reason.partition(":")[0] for row in refused] == [
        "USD, but the player's currency is EUR",
        "SEK, but the player's currency is EUR",
    ]
