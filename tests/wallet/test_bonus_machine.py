"""A state machine over the bonus wallet in the real database: whatever happens in whatever order, the books close, and replaying the log
from nothing rebuilds the same state."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from players.models import Jurisdiction, JurisdictionPack
from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import staff
from wallet import services
from wallet.bonus import rollback, settlement, working
from wallet.bonus.event import Event
from wallet.bonus.values import Activity, Grant, Kind, Recorded
from wallet.errors import WalletError
from wallet.models import (
    FINAL_STATUSES,
    OPEN_STATUSES,
    Account,
    BonusGrant,
    BonusTemplate,
    BonusTemplateVersion,
    ContributionRule,
    ContributionTable,
    Entry,
    PayoutInstruction,
    VoidRequest,
    WagerCount,
)
from wallet.reconciliation import verify
from wallet.services import Source

who = st.integers(0, 1)
# stake in cents, game, win in cents, whether the round ends with the bet, what is taken back at once
BETS = st.tuples(
    st.sampled_from([300, 300, 200, 500, 100, 1200, 0]),
    st.sampled_from(["slots", "slots", "slots", "sports", "roulette", "live", "free", "free"]),
    st.sampled_from([0, 0, 0, 250, 400, 700]),
    st.sampled_from([True, True, False]),
    st.sampled_from(["", "", "", "", "BET", "WIN"]),
)
LAST = 2**60

TEMPLATES: dict[str, dict[str, Any]] = {
    "match": {"match_percent": 100, "max_amount": 20, "min_deposit": 5, "multiple": 2, "needs_claim": True, "claim_hours": 24},
    "locked": {
        "amount": 10, "multiple": Decimal("0.5"), "count_mode": "all_funds", "winnings": "locked",
        "cash_out_cap": Decimal("0.6"), "fund_order": "bonus_first",
    },
    "sticky": {
        "amount": 12, "multiple": 1, "sticky": True, "max_bet": 3, "over_max_bet": "penalty", "fund_order": "proportional",
        "base": "bonus_deposit", "min_deposit": 5,
    },
    "spins": {"kind": "free_spins", "spins": 2, "spin_value": 1, "spin_game": "starburst", "base": "spin_winnings", "multiple": 2},
    "sports": {"amount": 8, "multiple": 1, "products": ["sports"], "over_max_bet": "cap", "max_bet": 2, "count_mode": "all_funds"},
    "gift": {"amount": 3, "multiple": 0},
}  # fmt: skip


def make_templates() -> None:
    table = ContributionTable.objects.create(name="Machine")
    for scope, key, method, weight in (("category", "roulette", "fixed", "0.1"), ("category", "live", "excluded", "0")):
        ContributionRule.objects.create(
            table=table, scope=scope, key=key, method=method, weight=Decimal(weight), valid_from=NOW - timedelta(days=900)
        )
    for code, terms in TEMPLATES.items():
        template = BonusTemplate.objects.create(code=code, name=code)
        fields = {"products": ["casino"], "wagering_hours": 72, "contribution": table, "created_at": NOW, **terms}
        template.current = BonusTemplateVersion.objects.create(template=template, number=1, **fields)
        template.save(update_fields=["current"])


class BonusMachine(RuleBasedStateMachine):
    """Drives the services. A refusal (WalletError) is an answer, too: it must have moved nothing, which the invariants say."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.clock = NOW
        self.numbers = 0
        self.bets: list[Activity] = []
        self.sent: list[Activity] = []
        self.deposits: list[tuple[int, str]] = []

    def teardown(self) -> None:
        try:
            self.the_whole_ledger_is_proved()
        finally:
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    def the_whole_ledger_is_proved(self) -> None:
        report = verify()
        assert report.ok, [f"{one.check}: {one}" for one in report.differences]

    def number(self) -> str:
        self.numbers += 1
        return str(self.numbers)

    def source(self) -> Source:
        return Source("machine", self.number())

    @initialize()
    def players(self) -> None:
        make_templates()
        market = Jurisdiction.objects.create(code="ZZ", name="Anywhere")
        JurisdictionPack.objects.create(jurisdiction=market, valid_from=date(2020, 1, 1), pausing_allowed=True)
        self.ids = [PlayerFactory(jurisdiction=market).pk for _ in range(2)]
        self.maker, self.checker = staff("request_void"), staff("approve_void")
        for player, code in ((0, "spins"), (0, "sticky"), (1, "locked"), (1, "sports")):
            self.give_of(player, code, 10)

    def attempt(self, service: Any, **arguments: Any) -> Any:
        """The service's answer, or None when it refused; a refusal rolls back to where it began."""
        try:
            with transaction.atomic():
                return service(at=self.clock, **arguments)
        except WalletError:
            return None

    def some(self, data: st.DataObject, *statuses: str) -> BonusGrant | None:
        found = list(BonusGrant.objects.filter(status__in=statuses).order_by("id"))
        return data.draw(st.sampled_from(found)) if found else None

    # grants

    @rule(player=who, code=st.sampled_from(sorted(TEMPLATES)), deposit=st.integers(5, 30))
    def offer(self, player: int, code: str, deposit: int) -> None:
        self.give_of(player, code, deposit)

    def give_of(self, player: int, code: str, deposit: int) -> None:
        reference = f"d{self.number()}"
        made = self.attempt(
            services.offer_bonus, player_id=self.ids[player], template=code, currency="EUR", source=self.source(),
            deposit=Decimal(deposit), deposit_ref=reference,
        )  # fmt: skip
        if made is not None:
            self.deposits.append((self.ids[player], reference))

    @rule(player=who, minor=st.integers(1, 1500), required=st.integers(0, 30))
    def give(self, player: int, minor: int, required: int) -> None:
        self.attempt(
            services.add_bonus, player_id=self.ids[player], currency="EUR", amount=Decimal(minor).scaleb(-2),
            wagering_required=Decimal(required), expires_at=self.clock + timedelta(hours=30), source=self.source(),
        )  # fmt: skip

    @rule(data=st.data(), deposit=st.integers(1, 30))
    def claim(self, data: st.DataObject, deposit: int) -> None:
        grant = self.some(data, "OFFERED")
        if grant is not None:
            reference = f"d{self.number()}"
            if self.attempt(services.claim_grant, grant_id=grant.pk, deposit=Decimal(deposit), deposit_ref=reference) is not None:
                self.deposits.append((grant.player_id, reference))

    @rule(data=st.data(), offered=st.booleans())
    def surrender(self, data: st.DataObject, offered: bool) -> None:
        grant = self.some(data, "OFFERED") if offered else self.some(data, "QUEUED", *OPEN_STATUSES)
        if grant is not None:
            self.attempt(services.surrender_grant, grant_id=grant.pk, reason="enough")

    @rule(data=st.data(), resume=st.sampled_from([True, True, False]))
    def pause_or_resume(self, data: st.DataObject, resume: bool) -> None:
        grant = self.some(data, "PAUSED") if resume else self.some(data, *OPEN_STATUSES)
        if grant is not None:
            verb = services.resume_grant if grant.status == "PAUSED" else services.pause_grant
            self.attempt(verb, grant_id=grant.pk, reason="a break")

    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        grant = self.some(data, "OFFERED", "QUEUED", *OPEN_STATUSES)
        if grant is not None:
            asked = self.attempt(services.request_void, grant_id=grant.pk, case_id="C-1", reason="abuse", actor=self.maker)
            if isinstance(asked, VoidRequest):
                self.attempt(services.approve_void, request_id=asked.pk, note="seen", actor=self.checker)

    @precondition(lambda self: self.deposits)
    @rule(data=st.data())
    def charge_back(self, data: st.DataObject) -> None:
        player_id, reference = data.draw(st.sampled_from(self.deposits[-4:]))
        self.attempt(services.reverse_deposit, player_id=player_id, deposit_ref=reference, source=self.source())

    @rule(player=who, amount=st.integers(1, 50))
    def withdraw(self, player: int, amount: int) -> None:
        self.attempt(services.withdraw, player_id=self.ids[player], currency="EUR", amount=Decimal(amount), withdrawal_ref=self.number())

    @rule(player=who, minor=st.integers(1, 900), back=st.booleans())
    def spend(self, player: int, minor: int, back: bool) -> None:
        spent = self.attempt(
            services.spend, player_id=self.ids[player], unit="BONUS", currency="EUR", amount=Decimal(minor).scaleb(-2),
            source=self.source(), reason="spent",
        )  # fmt: skip
        if spent is not None and back:
            self.attempt(services.reverse_entry, entry_id=spent.pk, source=self.source(), reason="taken back", actor=None)

    # activity

    def send(self, *activities: Activity) -> None:
        services.receive(activities)
        self.sent += activities

    def activity(self, kind: Kind, player: int, **fields: Any) -> Activity:
        values: dict[str, Any] = {"currency": "EUR", "occurred_at": self.clock, "received_at": self.clock, **fields}
        return Activity("machine", f"{kind}{self.number()}", kind, self.ids[player], **values)

    @rule(player=who, bets=st.lists(BETS, min_size=1, max_size=5), cash=st.sampled_from([0, 0, 0, 100, 5000, None]))
    def play(self, player: int, bets: list[tuple[int, str, int, bool, str]], cash: int | None) -> None:
        for stake, game, wins, ends, taken_back in bets:
            free = game == "free"
            bet = self.activity(
                Kind.BET, player, amount=100 if free else stake, cash_before=cash, ends_round=ends, round_id=f"r{self.number()}",
                game_code="starburst" if free else game, game_category="slots" if free else game, is_free_round=free,
                product="sports" if game == "sports" else "casino",
            )  # fmt: skip
            self.bets.append(bet)
            win = self.activity(Kind.WIN, player, amount=wins, round_id=bet.round_id, product=bet.product, ends_round=not ends)
            # a win that comes before its bet waits for it
            self.send(*((win, bet) if wins % 7 == 0 else (bet, win)) if wins else (bet,))
            if taken_back:
                self.take_back(bet if taken_back == "BET" else win, cash)

    @precondition(lambda self: self.bets)
    @rule(data=st.data(), minor=st.integers(0, 1500))
    def win(self, data: st.DataObject, minor: int) -> None:
        bet = data.draw(st.sampled_from(self.bets[-4:]))
        self.send(self.activity(Kind.WIN, self.ids.index(bet.player_id), amount=minor, round_id=bet.round_id, product=bet.product))

    @precondition(lambda self: self.bets)
    @rule(data=st.data())
    def end_round(self, data: st.DataObject) -> None:
        bet = data.draw(st.sampled_from(self.bets[-6:]))
        self.send(self.activity(Kind.ROUND_END, self.ids.index(bet.player_id), round_id=bet.round_id))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), cash=st.sampled_from([0, 100, 5000, None]))
    def roll_back(self, data: st.DataObject, cash: int | None) -> None:
        target = data.draw(st.sampled_from([one for one in self.sent if one.kind in (Kind.BET, Kind.WIN)][-8:]))
        self.take_back(target, cash)

    def take_back(self, target: Activity, cash: int | None) -> None:
        self.send(
            self.activity(
                Kind.ROLLBACK, self.ids.index(target.player_id), takes_back_id=target.activity_id, takes_back_kind=str(target.kind),
                round_id=target.round_id, cash_before=cash,
            )
        )  # fmt: skip

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def report_again(self, data: st.DataObject) -> None:
        entries = Entry.objects.count()
        services.receive([data.draw(st.sampled_from(self.sent))])
        assert Entry.objects.count() == entries

    @rule(hours=st.integers(1, 40))
    def time_passes(self, hours: int) -> None:
        self.clock += timedelta(hours=hours)
        services.expire_bonuses(at=self.clock, lower_id=0, upper_id=LAST, chunk_size=2)
        services.activate_waiting(at=self.clock, lower_id=0, upper_id=LAST)

    # what always holds

    @invariant()
    def balances_are_the_sums_of_their_entries(self) -> None:
        for account in Account.objects.annotate(total=Sum("entries__amount", default=0)):
            assert account.balance == account.total >= 0
            assert account.owed >= 0
        open_grants = BonusGrant.objects.filter(status__in=OPEN_STATUSES).aggregate(
            held=Sum("balance", default=0), locked=Sum("locked", default=0)
        )
        held = Account.objects.filter(unit="BONUS").aggregate(held=Sum("balance", default=0))["held"]
        assert held == open_grants["held"] + open_grants["locked"]

    @invariant()
    def both_sides_add_up_to_zero(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum(balance) - (SELECT coalesce(sum(amount), 0) FROM wallet_entry) FROM wallet_account HAVING count(*) > 0"
            )
            assert all(rest == 0 for (rest,) in cursor.fetchall())

    @invariant()
    def grants_stay_within_their_bounds(self) -> None:
        counted = dict(WagerCount.objects.values_list("grant").annotate(total=Sum("counted")))
        told = dict(PayoutInstruction.objects.values_list("grant").annotate(total=Sum("amount")))
        for grant in BonusGrant.objects.all():
            assert min(grant.balance, grant.locked, grant.released, grant.kept, grant.open_bets, grant.spins_left) >= 0
            assert 0 <= grant.wagered <= grant.wagering_required
            assert grant.wagered == counted.get(grant.pk, 0)
            assert grant.released == told.get(grant.pk, 0)
            if grant.status in FINAL_STATUSES:
                assert (grant.balance, grant.locked) == (0, 0)
            if (cap := grant.terms.get("cash_out_cap")) is not None:
                assert grant.released <= Decimal(cap) * grant.principal


def run_machine(examples: int, steps: int, **options: Any) -> None:
    run_state_machine_as_test(
        BonusMachine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck), **options
        ),
    )


@pytest.mark.django_db
def test_bonus_wallet__any_sequence_of_operations__books_close_and_the_log_replays():
    run_machine(35, 25)


def forgets_the_bonus_part(event: Event, win: Recorded, grant: Grant | None) -> None:
    event.outcome.cash_change -= win.real_part


def leaves_the_progress(event: Event, bet: Recorded, grant: Grant | None) -> None:
    event.outcome.cash_change += bet.real_part
    if grant is not None and bet.counted is None:
        grant.open_bets -= 1
        settlement.count(event, bet, grant, "CANCELLED")
    if grant is not None and (bet.bonus_part or bet.locked_part):
        event.pay_in(grant, bet.bonus_part, bet.locked_part, "stake", "", reverses=bet.activity.key)


def releases_everything(grant: Grant, money: int | None = None) -> tuple[int, int]:
    return (grant.money if money is None else money), 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (rollback, "_take_back_win", forgets_the_bonus_part),
        (rollback, "_take_back_bet", leaves_the_progress),
        (working, "release", releases_everything),
    ],
)
def test_bonus_wallet__broken_engine__is_caught(monkeypatch, module, name, broken):
    monkeypatch.setattr(module, name, broken)
    with pytest.raises((AssertionError, IntegrityError)):
        run_machine(60, 25, phases=(Phase.generate,), derandomize=True, report_multiple_bugs=False, database=None, print_blob=False)
