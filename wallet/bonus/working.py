"""One change at work on a wallet: postings, the ends of grants, and the next one in the queue. Changes the working copy as it goes."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from . import states
from .closing import BREAKAGE_SUB, HOUSE_OF_END, SUB_OF_END, release
from .counting import ZERO, requirement
from .states import FINAL, OPEN, Status
from .values import Flag, Grant, Movement, Outcome, Payout, Posting, Transition, Wallet
from .weights import Table

WAGERED = "wagering completed; the balance is released to cash"
NO_WAGERING = "no wagering required; the balance is released to cash"


class Work:
    """The state of one call of the engine: what has happened so far is in `outcome`. `at` is the time of everything it does."""

    def __init__(self, wallet: Wallet, at: datetime, tables: Mapping[int, Table]) -> None:
        self.wallet = wallet
        self.at = at
        self.tables = tables
        self.outcome = Outcome()

    def open_grant(self, product: str) -> Grant | None:
        """The open grant that may be played with on `product`; of several (joint products) the one that ends first."""
        found = [grant for grant in self.wallet.grants.values() if grant.status in OPEN and product in grant.terms.products]
        return min(found, key=lambda grant: (grant.expires_at, grant.grant_id), default=None)

    # money

    def pay_in(self, grant: Grant, bonus: int, locked: int, house: str, sub: str, reverses: tuple[str, str, str] | None = None) -> None:
        """Credit the pockets of a grant. A debt of the account is paid first; on a closed grant the money follows the grant's end."""
        self._post(grant, bonus, locked, house, sub, reverses=reverses)
        owed = min(self.wallet.owed.get(grant.currency, 0), bonus + locked)
        if owed:
            from_locked = min(owed, locked)
            self._post(grant, -(owed - from_locked), -from_locked, "debt", f"{sub}-repays")
            self.wallet.owed[grant.currency] -= owed
        if grant.status in FINAL and grant.money:
            self._follow_the_end(grant, sub)

    def take(self, grant: Grant, bonus: int, locked: int, house: str, sub: str, reverses: tuple[str, str, str] | None = None) -> int:
        """Debit a grant, from the other pocket where one has too little; what is nowhere is lent. Returns the loan in minor units."""
        wanted = bonus + locked
        lent = max(0, wanted - grant.money)
        if lent:
            self._post(grant, lent, 0, "debt", f"{sub}-lent")
            self.wallet.owed[grant.currency] = self.wallet.owed.get(grant.currency, 0) + lent
        from_locked = min(locked + max(0, bonus - grant.balance), grant.locked)
        self._post(grant, -(wanted - from_locked), -from_locked, house, sub, reverses=reverses)
        return lent

    def _post(
        self,
        grant: Grant,
        bonus: int,
        locked: int,
        house: str,
        sub: str,
        *,
        reverses: tuple[str, str, str] | None = None,
        ends: bool = False,
    ) -> None:
        grant.balance += bonus
        grant.locked += locked
        moved = tuple(Movement(grant.grant_id, pocket, amount) for pocket, amount in (("balance", bonus), ("locked", locked)) if amount)
        if moved:
            self.outcome.postings.append(
                Posting(grant.currency, bonus + locked, house, sub, moved, reverses=reverses, closes_grant=grant.grant_id if ends else None)
            )

    def _follow_the_end(self, grant: Grant, sub: str) -> None:
        """Money that reaches a grant after its end goes where the rest of it went."""
        if grant.status == Status.COMPLETED:
            self._release(grant, f"{sub}-late", ends=False)
        else:
            self._post(grant, -grant.balance, -grant.locked, HOUSE_OF_END[grant.status], f"{sub}-late")

    def _release(self, grant: Grant, sub: str, *, ends: bool) -> None:
        released, kept = release(grant)
        breakage_sub = BREAKAGE_SUB if ends else f"{sub}-{BREAKAGE_SUB}"
        for amount, house, name in ((released, "payout", sub), (kept, "breakage", breakage_sub)):
            from_locked = min(amount, grant.locked)
            self._post(grant, -(amount - from_locked), -from_locked, house, name, ends=ends)
        grant.released += released
        grant.kept += kept
        if released:
            self.outcome.payouts.append(Payout(grant.grant_id, grant.currency, released, sub))

    # status

    def move(self, grant: Grant, after: Status, cause: str, **detail: str) -> None:
        states.check(grant.status, after)
        self.outcome.transitions.append(Transition(grant.grant_id, grant.status, after, cause, self.at, detail))
        grant.status = after

    def end_if_due(self, grants: Iterable[Grant]) -> None:
        """Complete what is wagered, end what is lost, and let the next one in the queue begin."""
        for grant in grants:
            if grant.status not in (Status.ACTIVE, Status.WAGERING) or grant.spins_left:
                continue
            spins_open = grant.terms.kind == "free_spins" and grant.open_bets > 0
            if grant.wagered >= grant.required and not spins_open and (grant.money or grant.required > ZERO):
                self.end(grant, Status.COMPLETED, WAGERED if grant.required > ZERO else NO_WAGERING)
            elif grant.money < grant.terms.min_bet and grant.open_bets == 0:
                self.end(grant, Status.LOST, "less than the smallest bet is left and no round is open")

    def end(self, grant: Grant, after: Status, cause: str) -> None:
        """Close an open grant: what is left of it goes to cash or to the house, and the next one in the queue begins."""
        states.check(grant.status, after)
        money = grant.money
        if after == Status.COMPLETED:
            self._release(grant, SUB_OF_END[after], ends=True)
        else:
            self._post(grant, -grant.balance, -grant.locked, HOUSE_OF_END[after], SUB_OF_END[after], ends=True)
        self.move(grant, after, cause, money=str(money), released=str(grant.released), kept=str(grant.kept))
        self.activate_next(grant.product)

    def activate_next(self, product: str) -> None:
        """Begin the first queued grant of a product that has become free."""
        if not self.wallet.may_start:
            return
        at = self.at
        queued = [
            grant
            for grant in self.wallet.grants.values()
            if grant.status == Status.QUEUED and grant.product == product and grant.expires_at > at
        ]
        if not queued:
            return
        grant = min(queued, key=lambda one: (one.queue_order, one.expires_at, one.grant_id))
        grant.activated_at = at
        if grant.terms.wagering_seconds is not None:
            grant.expires_at = at + timedelta(seconds=grant.terms.wagering_seconds)
        if grant.terms.kind == "free_spins":
            grant.spins_left = grant.terms.spins
        grant.required = requirement(grant)
        credit = grant.principal
        grant.balance = credit
        if credit:
            self.outcome.postings.append(
                Posting(
                    grant.currency, credit, grant.house, "", (Movement(grant.grant_id, "balance", credit),), credits_grant=grant.grant_id
                )
            )
        self.move(
            grant,
            Status.ACTIVE,
            "next in the queue",
            principal=str(credit),
            deposit=str(grant.deposit),
            required=format(grant.required.normalize(), "f"),
            spins=str(grant.spins_left),
            expires_at=grant.expires_at.isoformat(timespec="microseconds"),
        )
        self.end_if_due([grant])

    def flag(self, kind: str, grant: Grant | None, **detail: str) -> None:
        self.outcome.flags.append(Flag(kind, grant.grant_id if grant else None, detail))
