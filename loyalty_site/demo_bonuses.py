"""The demo's players take up bonuses, play with them and spend their points, so that every state has real rows.

Everything goes through the services that staff and the platform use, at the times at which it would have happened; the seed decides who
does what.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection, transaction

from loyalty_site import sample_data
from loyalty_site.demo_play import DemoGame, Session, play
from players.models import Game
from wallet import services
from wallet.activity.load import load
from wallet.bonus.values import Activity, Kind
from wallet.errors import WalletError
from wallet.models import BonusGrant, GrantStatus, Lot, PayoutInstruction, Redemption
from wallet.services import Source

SOURCE = "demo"
_SHARE = 0.06  # of the players take part, within these bounds
_FEWEST, _MOST = 80, 260
_DAYS = 40  # how far back their deposits lie
_BATCH = 4000  # events in one transaction

_CANDIDATES = """
SELECT player_id, currency, market, amount, external_id, occurred_at FROM (
    SELECT DISTINCT ON (player.id) player.id AS player_id, player.currency, market.code AS market, payment.amount, payment.external_id,
           payment.occurred_at
    FROM players_player AS player JOIN players_jurisdiction AS market ON market.id = player.jurisdiction_id
    JOIN players_payment AS payment ON payment.player_id = player.id
    WHERE player.status = 'ACTIVE' AND market.code = ANY(%(markets)s) AND player.currency IN ('EUR', 'GBP')
      AND payment.kind = 'DEPOSIT' AND payment.status = 'COMPLETED' AND payment.amount >= 20
      AND payment.occurred_at BETWEEN %(since)s AND %(until)s
    ORDER BY player.id, md5(payment.external_id)
) AS found ORDER BY md5(player_id::text) LIMIT %(limit)s
"""
_MARKETS = ["AT", "ES", "FI", "IE", "MT", "DE", "GB"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a player does with a bonus: whether it is claimed, how many bets at most, and what happens to it then."""

    template: str
    bets: int = 0
    claims: bool = True
    then: str = ""
    second: str = ""  # a further bonus, which waits in the queue


# in the proportions of this list; a bonus that a market does not have is replaced
PLANS = (
    *[Plan("reload-locked", 60)] * 5,
    *[Plan("welcome-spins", 60)] * 4,
    *[Plan("sports-boost", 40)] * 4,
    *[Plan("welcome-match", 60)] * 4,
    *[Plan("high-roller", 45)] * 2,
    Plan("cash-gift"),
    Plan("welcome-match", 20, second="reload-locked"),
    Plan("welcome-match", 12, then="withdraw"),
    Plan("reload-locked", 8, then="surrender"),
    Plan("high-roller", 10, then="void"),
    Plan("welcome-match", 6, then="void"),
    Plan("welcome-match", 6, then="charge back"),
    Plan("welcome-match", 4, then="pause"),
    Plan("sports-boost", 2, then="pause"),
    Plan("welcome-match", claims=False),
    Plan("welcome-match", claims=False, then="decline"),
)


@dataclass(frozen=True, slots=True)
class Taker:
    """A player who takes part, with the deposit that goes with the bonus and the plan."""

    player_id: int
    currency: str
    market: str
    deposit: Decimal
    deposit_ref: str
    at: datetime
    plan: Plan
    number: int

    @property
    def lap(self) -> int:
        """How often the list of plans was gone through before: tells those with the same plan apart."""
        return self.number // len(PLANS)

    @property
    def template(self) -> str:
        return self._available(self.plan.template)

    @property
    def second(self) -> str:
        return self._available(self.plan.second) if self.plan.second else ""

    def _available(self, code: str) -> str:
        if self.market == "GB":
            return "welcome-match-gb"
        if code == "high-roller" and (self.market == "DE" or self.deposit < 100):
            return "reload-locked"
        return code

    @property
    def source(self) -> Source:
        return Source(SOURCE, f"bonus-{self.number}")


def play_bonuses(at: datetime, seed: int) -> dict[str, int]:
    """Let a share of the players take up bonuses in the weeks before `at`, play, and spend points. Returns what there is then, by name.

    Needs the sample bonuses and staff of `setup_demo` and players with deposits. Nothing is done when it was done before.
    """
    if BonusGrant.objects.filter(source_type=SOURCE).exists():
        return {}
    rng = np.random.default_rng([seed, 3])
    takers = _takers(at, rng)
    grants = {taker.number: grant for taker in takers if (grant := _take_up(taker, at)) is not None}
    told = _report(_sessions(takers, grants, at, rng), at, rng)
    done = Counter(_afterwards(takers, grants, at))
    services.expire_bonuses(at=at, lower_id=0, upper_id=2**62)
    services.activate_waiting(at=at, lower_id=0, upper_id=2**62)
    _confirm_payouts(at, rng)
    points = _points(takers, at, rng)
    return {"grants": BonusGrant.objects.count(), "events": told, **points, **done}


def staff_with(permission: str) -> User:
    """A demo account with the permission, of a role where there is one."""
    users = get_user_model().objects.filter(username__in=[*sample_data.DEMO_STAFF, sample_data.DEMO_ADMIN]).order_by("is_superuser", "id")
    for user in users:
        if user.has_perm(permission):
            return user
    raise LookupError(f"no demo account has the permission {permission}; run manage.py setup_demo first.")


def _takers(at: datetime, rng: np.random.Generator) -> list[Taker]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM players_player")
        limit = int(min(_MOST, max(_FEWEST, cursor.fetchone()[0] * _SHARE)))
        window: dict[str, Any] = {"markets": _MARKETS, "since": at - timedelta(days=_DAYS), "until": at - timedelta(days=2), "limit": limit}
        cursor.execute(_CANDIDATES, window)
        rows = cursor.fetchall()
    order = rng.permutation(len(PLANS))
    takers = []
    for number, (player_id, currency, market, deposit, deposit_ref, paid_at) in enumerate(rows):
        plan = PLANS[order[number % len(PLANS)]]
        takers.append(Taker(player_id, currency, market, deposit, deposit_ref, paid_at, plan, number))
    return takers


def _take_up(taker: Taker, at: datetime) -> int | None:
    """Offer the bonus and claim it right after the deposit; the number of the grant, None when the player may have none."""
    deposit: dict[str, Any] = {"deposit": taker.deposit, "deposit_ref": taker.deposit_ref[:80]}
    offered_at = taker.at - timedelta(hours=2)
    if not taker.plan.claims and not taker.plan.then:  # one in three still stands, the others were not claimed in time
        offered_at = at - timedelta(days=1) if taker.lap % 3 == 0 else min(offered_at, at - timedelta(days=9))
    try:
        given: dict[str, Any] = {"player_id": taker.player_id, "currency": taker.currency, "reason": "Simulated by the demo."}
        needs_claim = taker.template in ("welcome-match", "welcome-match-gb", "high-roller")
        if needs_claim:
            grant = services.offer_bonus(**given, template=taker.template, source=taker.source, at=offered_at)
            if taker.plan.claims:
                services.claim_grant(grant.pk, at=taker.at + timedelta(minutes=1), **deposit)
        else:
            with_deposit = deposit if taker.template == "reload-locked" else {}
            grant = services.offer_bonus(**given, template=taker.template, source=taker.source, at=taker.at, **with_deposit)
        if taker.second:
            second = services.offer_bonus(
                **given, template=taker.second, source=Source(SOURCE, f"second-{taker.number}"), at=taker.at + timedelta(hours=1), **deposit
            )
            if second.status == GrantStatus.OFFERED:
                services.claim_grant(second.pk, at=taker.at + timedelta(hours=2), **deposit)
    except WalletError:  # excluded, flagged for harm, too young: no bonus
        return None
    return grant.pk


def _sessions(takers: Sequence[Taker], grants: dict[int, int], at: datetime, rng: np.random.Generator) -> list[Session]:
    ends = dict(BonusGrant.objects.filter(pk__in=grants.values()).values_list("pk", "expires_at"))
    sessions = []
    for taker in takers:
        if taker.plan.bets and taker.number in grants:
            begins = taker.at + timedelta(minutes=3)
            last = min(ends[grants[taker.number]], at - timedelta(hours=6), begins + timedelta(days=float(rng.uniform(0.5, 6))))
            cash = int(taker.deposit * 100)
            if last > begins:
                sessions.append(Session(taker.player_id, taker.currency, begins, last, cash, taker.plan.bets))
    return sessions


def _report(sessions: Sequence[Session], at: datetime, rng: np.random.Generator) -> int:
    """Draw the activity on working copies of the wallets, then report it in batches, as it came in; returns the number of events."""
    games = [
        DemoGame(game.code, game.provider, game.category, game.house_edge or Decimal("0.04"), float(game.round_sd or 4))
        for game in Game.objects.order_by("code")
    ]
    activities: list[Activity] = []
    with transaction.atomic():
        asked = [
            Activity(SOURCE, "-", Kind.ROUND_END, one.player_id, one.currency, "-", occurred_at=at, received_at=at) for one in sessions
        ]
        chunk = load(asked, at=at) if asked else None
        transaction.set_rollback(True)  # only looked at
    for session in sessions:
        assert chunk is not None
        activities += play(session, chunk.wallets[session.player_id].wallet, games, chunk.tables, rng)
    activities.sort(key=lambda one: one.received_at)
    for start in range(0, len(activities), _BATCH):
        services.receive(activities[start : start + _BATCH])
    return len(activities)


def _afterwards(takers: Sequence[Taker], grants: dict[int, int], at: datetime) -> Iterator[str]:
    """What the player, the staff or the bank does to the bonus after the play; yields what happened."""
    maker, checker = staff_with("wallet.request_void"), staff_with("wallet.approve_void")

    def void(taker: Taker, grant_id: int, when: datetime) -> None:
        asked = services.request_void(grant_id, case_id=f"CASE-{taker.number}", reason="Bets on both sides.", actor=maker, at=when)
        if taker.lap % 4 != 1:  # now and then one still waits
            services.approve_void(asked.pk, note="Seen in the evidence.", actor=checker, at=when + timedelta(minutes=30))

    actions: dict[str, Callable[[Taker, int, datetime], Any]] = {
        "withdraw": lambda taker, grant_id, when: services.withdraw(
            player_id=taker.player_id, currency=taker.currency, amount=Decimal(25), withdrawal_ref=f"demo-{taker.number}", at=when
        ),
        "surrender": lambda taker, grant_id, when: services.surrender_grant(grant_id, at=when, reason="Asked for by the player."),
        "decline": lambda taker, grant_id, when: services.decline_grant(grant_id, at=when, reason="Not interested."),
        "pause": lambda taker, grant_id, when: services.pause_grant(grant_id, at=when, reason="Asked for by the player."),
        "charge back": lambda taker, grant_id, when: services.reverse_deposit(
            player_id=taker.player_id, deposit_ref=taker.deposit_ref[:80], source=Source(SOURCE, f"charge-back-{taker.number}"), at=when
        ),
        "void": void,
    }
    for taker in takers:
        if taker.plan.then and taker.number in grants:
            when = at - timedelta(hours=5) if taker.plan.then != "decline" else taker.at
            try:
                actions[taker.plan.then](taker, grants[taker.number], when)
            except WalletError:  # it has ended by then, or the market does not allow it
                continue
            yield taker.plan.then


def _confirm_payouts(at: datetime, rng: np.random.Generator) -> None:
    """Most pay-outs are confirmed by the platform; some are on their way."""
    for number, payout in enumerate(PayoutInstruction.objects.order_by("id")):
        if rng.random() < 0.75:
            services.confirm_payout(payout.key, f"PF-{100_000 + number}", at)


def _points(takers: Sequence[Taker], at: datetime, rng: np.random.Generator) -> dict[str, int]:
    """Reward points and tickets of several months, what has run out of them, and purchases from the catalogue."""
    holders = takers[::3]
    for taker in holders:
        for age, unit in ((215, "RP"), (95, "RP"), (12, "RP"), (80, "TICKET"), (9, "TICKET")):
            amount = Decimal(int(rng.integers(3, 16)) * 100) if unit == "RP" else Decimal(int(rng.integers(1, 6)))
            source = Source(SOURCE, f"points-{taker.number}-{unit}-{age}")
            services.add_points(
                player_id=taker.player_id, unit=unit, amount=amount, source=source, at=at - timedelta(days=age), reason="Mission"
            )
        if taker.number % 5 == 0:
            services.add_points(
                player_id=taker.player_id, unit="RP", amount=Decimal(250), source=Source(SOURCE, f"pending-{taker.number}"),
                at=at - timedelta(days=1), pending_until=at + timedelta(days=3), reason="Waits for the end of the mission",
            )  # fmt: skip
    services.expire_lots(at=at, lower_id=0, upper_id=2**62)
    _reinstate(at)
    items = ("mug", "race-tickets-5", "bonus-10", "headphones", "mug")
    redeemed = 0
    for number, taker in enumerate(holders):
        try:
            services.redeem(
                player_id=taker.player_id, item_code=items[number % len(items)], source=Source(SOURCE, f"order-{taker.number}"), at=at
            )
            redeemed += 1
        except WalletError:  # not enough points, sold out, not offered in the market
            continue
    _hand_over(at)
    return {"redemptions": redeemed}


def _reinstate(at: datetime) -> None:
    clerk = staff_with("wallet.reinstate_lot")
    for lot in Lot.objects.filter(status=Lot.Status.EXPIRED).order_by("id")[:2]:
        try:
            services.reinstate(lot.pk, reason="The warning was sent too late.", actor=clerk, at=at)
        except WalletError:  # a protected player
            continue


def _hand_over(at: datetime) -> None:
    clerk = staff_with("wallet.fulfil_redemption")
    for number, order in enumerate(Redemption.objects.filter(status=Redemption.Status.ORDERED).order_by("id")):
        if number % 3 == 0:
            services.fulfil_redemption(order.pk, actor=clerk, at=at, note="Sent by parcel.")
        elif number % 3 == 1:
            services.cancel_redemption(order.pk, reason="Ordered by mistake.", actor=clerk, at=at)
