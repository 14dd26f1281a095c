"""A state machine over points in lots: whatever is earned, spent, taken back, run out or released, a plain model agrees."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from tests.factories import PlayerFactory
from tests.wallet.factories import assert_books_balance, line, post_lines
from tests.wallet.points.factories import on, policy
from tests.wallet.points.model import ModelLot, ModelWallet
from wallet import services
from wallet.models import Account, Entry, Lot, LotUse
from wallet.services import CannotReverse, InsufficientFunds, Source

DAYS, GRACE = 3, 2
EVERYBODY = {"lower_id": 0, "upper_id": 2**62}
amounts = st.integers(1, 500)
who = st.integers(0, 1)


def end_of(at: datetime, days: int) -> datetime:
    return at.replace(hour=0, minute=0) + timedelta(days=days + 1)


class PointsMachine(RuleBasedStateMachine):
    grace = True

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.clock = on(1, 1, 9)
        self.sources = 0
        self.spends: list[tuple[int, Entry, list[tuple[ModelLot, int]]]] = []
        self.reversed: set[int] = set()
        policy(expiry="days", period=DAYS, restore="grace" if self.grace else "none", restore_days=GRACE)

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def source(self) -> Source:
        self.sources += 1
        return Source("machine", str(self.sources))

    @initialize()
    def players(self) -> None:
        self.ids = [PlayerFactory().pk for _ in range(2)]
        self.wallets = [ModelWallet(), ModelWallet()]

    def keep(self, player: int, minor: int, entry: Entry) -> None:
        self.wallets[player].credit(minor, self.clock, end_of(self.clock, DAYS), entry.pk)

    @rule(player=who, minor=amounts)
    def earn(self, player: int, minor: int) -> None:
        asked = {"player_id": self.ids[player], "unit": "RP", "amount": Decimal(minor).scaleb(-2), "source": self.source()}
        entry = services.add_points(**asked, at=self.clock)
        assert services.add_points(**asked, at=self.clock).pk == entry.pk
        self.keep(player, minor, entry)

    @rule(lines=st.lists(st.tuples(who, amounts), min_size=1, max_size=4))
    def bulk(self, lines: list[tuple[int, int]]) -> None:
        rows = [line(n, self.ids[player], minor, unit="RP", ref=f"m{self.source().ref}") for n, (player, minor) in enumerate(lines)]
        assert post_lines(rows, at=self.clock).posted == len(rows)
        assert post_lines(rows, at=self.clock).duplicates == len(rows)
        for row, (player, minor) in zip(rows, lines, strict=True):
            self.keep(player, minor, Entry.objects.get(source_ref=row["source_ref"]))

    @rule(player=who, minor=amounts, hours=st.integers(1, 60))
    def earn_later(self, player: int, minor: int, hours: int) -> None:
        until = self.clock + timedelta(hours=hours)
        lot = services.add_points(
            player_id=self.ids[player],
            unit="RP",
            amount=Decimal(minor).scaleb(-2),
            source=self.source(),
            at=self.clock,
            pending_until=until,
        )
        assert isinstance(lot, Lot)
        self.wallets[player].lots.append(ModelLot(minor, minor, self.clock, None, waits_until=until))

    @rule()
    def release_what_is_due(self) -> None:
        services.activate_lots(at=self.clock, chunk_size=3, **EVERYBODY)
        for player, wallet in enumerate(self.wallets):
            due = [lot for lot in wallet.lots if lot.waits_until is not None and lot.waits_until <= self.clock]
            for lot in sorted(due, key=lambda lot: (lot.waits_until, wallet.lots.index(lot))):
                stored = Lot.objects.filter(player_id=self.ids[player]).order_by("id")[wallet.lots.index(lot)]
                lot.entry, lot.end, lot.waits_until = stored.entry_id, end_of(lot.waits_until, DAYS), None
                wallet.earned += lot.qty
                wallet.pay(lot, lot.qty)

    @rule(player=who, data=st.data())
    def cancel_what_waits(self, player: int, data: st.DataObject) -> None:
        wallet = self.wallets[player]
        waiting = [lot for lot in wallet.lots if lot.waits_until is not None]
        if not waiting:
            return
        lot = data.draw(st.sampled_from(waiting))
        stored = Lot.objects.filter(player_id=self.ids[player]).order_by("id")[wallet.lots.index(lot)]
        services.cancel_pending(source=Source(stored.source_type, stored.source_ref), at=self.clock, reason="rolled back")
        lot.left, lot.waits_until, lot.cancelled = 0, None, True

    @rule(player=who, minor=amounts)
    def spend(self, player: int, minor: int) -> None:
        wallet = self.wallets[player]
        asked = {"player_id": self.ids[player], "unit": "RP", "currency": "", "amount": Decimal(minor).scaleb(-2), "reason": "mug"}
        there = sum(lot.left for lot in wallet.usable() if lot.end is None or lot.end > self.clock)
        if there < minor:
            with pytest.raises(InsufficientFunds):
                services.spend(**asked, source=self.source(), at=self.clock)
            return
        entry = services.spend(**asked, source=self.source(), at=self.clock)
        wallet.run_out(self.clock)
        pairs = wallet.take(minor)
        assert [-amount for _, amount in pairs] == list(
            LotUse.objects.filter(entry=entry).order_by("pk").values_list("amount", flat=True)
        ) or (sorted(-amount for _, amount in pairs) == sorted(LotUse.objects.filter(entry=entry).values_list("amount", flat=True)))
        self.spends.append((player, entry, pairs))

    @rule(hours=st.integers(1, 40))
    def time_passes(self, hours: int) -> None:
        self.clock += timedelta(hours=hours)

    @rule()
    def sweep(self) -> None:
        services.expire_lots(at=self.clock, chunk_size=2, **EVERYBODY)
        for wallet in self.wallets:
            wallet.run_out(self.clock)

    @precondition(lambda self: self.spends)
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        player, entry, pairs = data.draw(st.sampled_from(self.spends))
        wallet, source = self.wallets[player], self.source()
        if entry.pk in self.reversed:
            with pytest.raises(CannotReverse):
                services.reverse_entry(entry.pk, source=source, at=self.clock, reason="sent back", actor=None)
            return
        reversal = services.reverse_entry(entry.pk, source=source, at=self.clock, reason="sent back", actor=None)
        self.reversed.add(entry.pk)
        graced = ModelLot(0, 0, self.clock, end_of(self.clock, GRACE), reversal.pk)
        owing = []
        for lot, amount in pairs:
            if lot.end is not None and lot.end <= self.clock:
                if self.grace:
                    graced.qty += amount
                    graced.left += amount
                    graced.gives_back = graced.gives_back or lot
                    owing += [(graced, amount)] if lot.taken_back else []
                else:
                    lot.ran_out += amount
            else:
                lot.left += amount
                owing += [(lot, amount)] if lot.taken_back else []
        if graced.qty:
            wallet.lots.append(graced)
        for lot, amount in owing:
            wallet.pay(lot, amount)

    @rule(player=who, data=st.data())
    def take_back(self, player: int, data: st.DataObject) -> None:
        wallet = self.wallets[player]
        credited = [lot for lot in wallet.lots if lot.entry is not None and Entry.objects.get(pk=lot.entry).reversal_of_id is None]
        if not credited:
            return
        lot = data.draw(st.sampled_from(credited))
        if lot.taken_back:
            with pytest.raises(CannotReverse):
                services.reverse_entry(lot.entry, source=self.source(), at=self.clock, reason="void", actor=None)
            return
        services.reverse_entry(lot.entry, source=self.source(), at=self.clock, reason="void", actor=None)
        order = [*wallet.usable()]
        wallet.run_out(self.clock)
        wallet.take_back(lot, order)

    @invariant()
    def model_agrees(self) -> None:
        for player_id, wallet in zip(self.ids, self.wallets, strict=True):
            account = Account.objects.filter(player_id=player_id).first()
            found = (account.balance, account.owed, account.earned_total) if account else (0, 0, 0)
            assert found == (wallet.balance(), wallet.owed, wallet.earned)
            stored = list(Lot.objects.filter(player_id=player_id).order_by("id").values_list("qty", "remaining"))
            assert stored == [(lot.qty, lot.left) for lot in wallet.lots]

    @invariant()
    def books_balance(self) -> None:
        assert_books_balance()


class WithoutRestore(PointsMachine):
    grace = False


@pytest.mark.django_db
@pytest.mark.parametrize("machine", [PointsMachine, WithoutRestore])
def test_points__any_sequence_of_operations__the_model_agrees(machine):
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    )
