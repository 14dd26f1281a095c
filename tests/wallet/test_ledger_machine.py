"""A state machine over the wallet: whatever happens in whatever order, the books balance, and a plain model of the points agrees.

Bonus money is mixed in, because bulk credits, reversals and the sweep carry both kinds. Its own life (queue, wagering, ends) has a machine
of its own in test_bonus_machine; here every bonus account must hold what its open grants hold.
"""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.db.models import F, Sum
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import assert_books_balance, line, post_lines
from tests.wallet.points.model import ModelLot, ModelWallet
from wallet import services
from wallet.models import OPEN_STATUSES, Account, BonusGrant, Entry
from wallet.services import CannotReverse, InsufficientFunds, Source

amounts = st.integers(1, 5000)
who = st.integers(0, 2)
point_units = st.sampled_from(["LP", "RP"])


class LedgerMachine(RuleBasedStateMachine):
    """Drives the services and, beside them, a model: the balances of points, and their lots."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.clock = NOW
        self.sources = 0
        self.balances: dict[tuple[int, str], int] = defaultdict(int)
        self.posted: list[tuple[str, dict]] = []
        self.points: dict[tuple[int, str], ModelWallet] = defaultdict(ModelWallet)
        self.spends: dict[int, list[tuple[ModelLot, int]]] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def source(self) -> Source:
        self.sources += 1
        return Source("machine", str(self.sources))

    @initialize()
    def players(self) -> None:
        self.ids = [PlayerFactory().pk for _ in range(3)]

    @rule(player=who, unit=point_units, minor=amounts)
    def credit(self, player: int, unit: str, minor: int) -> None:
        asked = {
            "player_id": self.ids[player],
            "unit": unit,
            "amount": Decimal(minor).scaleb(-2),
            "source": self.source(),
            "at": self.clock,
        }
        entry = services.add_points(**asked)
        self.posted.append((str(entry.pk), asked))
        self.keep(player, unit, minor, entry.pk)

    def keep(self, player: int, unit: str, minor: int, entry_id: int) -> None:
        self.points[player, unit].credit(minor, self.clock, None, entry_id)
        self.balances[player, unit] = self.points[player, unit].balance()

    @precondition(lambda self: self.posted)
    @rule(data=st.data())
    def repeat_an_old_credit(self, data: st.DataObject) -> None:
        entry_id, asked = data.draw(st.sampled_from(self.posted))
        assert str(services.add_points(**asked).pk) == entry_id

    @rule(player=who, unit=point_units, minor=amounts)
    def spend(self, player: int, unit: str, minor: int) -> None:
        asked = {"player_id": self.ids[player], "unit": unit, "currency": "", "amount": Decimal(minor).scaleb(-2)}
        if self.balances[player, unit] < minor:
            with pytest.raises(InsufficientFunds):
                services.spend(**asked, source=self.source(), at=self.clock, reason="spend")
        else:
            entry = services.spend(**asked, source=self.source(), at=self.clock, reason="spend")
            self.spends[entry.pk] = self.points[player, unit].take(minor)
            self.balances[player, unit] -= minor

    @rule(
        lines=st.lists(st.tuples(who, st.sampled_from(["LP", "RP", "BONUS"]), amounts), min_size=1, max_size=6), required=st.integers(0, 60)
    )
    def bulk(self, lines: list[tuple[int, str, int]], required: int) -> None:
        rows = []
        for number, (player, unit, minor) in enumerate(lines):
            fields = {"source_type": "machine", "ref": self.source().ref}
            if unit == "BONUS":
                fields |= {"wagering_required": Decimal(required), "expires_at": self.clock + timedelta(hours=1 + minor % 5)}
            rows.append(line(number, self.ids[player], minor, unit=unit, **fields))
        assert post_lines(rows, at=self.clock).posted == len(lines)
        assert post_lines(rows, at=self.clock).duplicates == len(lines)
        for row, (player, unit, minor) in zip(rows, lines, strict=True):
            if unit != "BONUS":
                self.keep(player, unit, minor, Entry.objects.get(source_ref=row["source_ref"], source_type="machine").pk)

    @rule(player=who, minor=amounts, required=st.integers(1, 60), hours=st.integers(1, 6))
    def give_bonus(self, player: int, minor: int, required: int, hours: int) -> None:
        services.add_bonus(
            player_id=self.ids[player], currency="EUR", amount=Decimal(minor).scaleb(-2), wagering_required=Decimal(required),
            expires_at=self.clock + timedelta(hours=hours), source=self.source(), at=self.clock,
        )  # fmt: skip

    @rule(player=who, minor=st.integers(0, 4000))
    def bet(self, player: int, minor: int) -> None:
        asked = {"stake": Decimal(minor).scaleb(-2), "game_code": "g", "game_category": "slots", "activity_id": self.source().ref}
        progress = services.record_wager(player_id=self.ids[player], at=self.clock, currency="EUR", **asked)
        again = services.record_wager(player_id=self.ids[player], at=self.clock, currency="EUR", **asked)
        assert (again.counted, again.counts) == (progress.counted, progress.counts)

    @rule(hours=st.integers(0, 3))
    def time_passes_and_the_sweep_runs(self, hours: int) -> None:
        self.clock += timedelta(hours=hours)
        services.expire_bonuses(at=self.clock, lower_id=0, upper_id=2**60, chunk_size=3)

    @precondition(lambda self: Entry.objects.exists())
    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(list(Entry.objects.select_related("account").order_by("id"))))
        try:
            services.reverse_entry(entry.pk, source=self.source(), at=self.clock, reason="trial", actor=None)
        except (CannotReverse, InsufficientFunds):
            return
        key = self.ids.index(entry.account.player_id), entry.account.unit
        if entry.account.unit == "BONUS":
            return
        wallet = self.points[key]
        if (pairs := self.spends.get(entry.pk)) is not None:
            for lot, part in pairs:
                lot.left += part
            for lot, part in pairs:
                if lot.taken_back:
                    wallet.pay(lot, part)
        else:
            wallet.take_back(next(lot for lot in wallet.lots if lot.entry == entry.pk), wallet.usable())
        self.balances[key] = wallet.balance()

    @invariant()
    def model_agrees(self) -> None:
        stored = {(self.ids.index(a.player_id), a.unit): a.balance for a in Account.objects.exclude(unit="BONUS")}
        assert {key: value for key, value in stored.items() if value} == {key: value for key, value in self.balances.items() if value}
        owed = {(self.ids.index(a.player_id), a.unit): a.owed for a in Account.objects.exclude(unit="BONUS")}
        assert {key: value for key, value in owed.items() if value} == {key: one.owed for key, one in self.points.items() if one.owed}

    @invariant()
    def bonus_accounts_hold_what_their_open_grants_hold(self) -> None:
        by_account = BonusGrant.objects.filter(status__in=OPEN_STATUSES).order_by().values_list("account_id")
        held = dict(by_account.annotate(held=Sum(F("balance") + F("locked"))))
        accounts = dict(Account.objects.filter(unit="BONUS").values_list("pk", "balance"))
        assert {key: value for key, value in accounts.items() if value} == {key: value for key, value in held.items() if value}
        assert not BonusGrant.objects.exclude(status__in=OPEN_STATUSES).exclude(balance=0, locked=0).exists()

    @invariant()
    def books_balance(self) -> None:
        assert_books_balance()
        assert not BonusGrant.objects.filter(balance__lt=0).exists()

    @invariant()
    def replaying_the_entries_gives_the_same_balances(self) -> None:
        replayed: dict[int, int] = defaultdict(int)
        for account_id, amount, balance_after in Entry.objects.order_by("account_id", "seq").values_list(
            "account_id", "amount", "balance_after"
        ):
            replayed[account_id] += amount
            assert replayed[account_id] == balance_after >= 0
        assert dict(replayed) == dict(Account.objects.filter(version__gt=0).values_list("pk", "balance"))


@pytest.mark.django_db
def test_ledger__any_sequence_of_operations__books_balance_and_the_model_agrees():
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)),
    )
