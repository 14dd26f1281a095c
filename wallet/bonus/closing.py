"""What the end of a grant does with the money that is left on it."""

from .states import Status
from .values import Grant

# who gets what is left when a grant ends without being completed
HOUSE_OF_END = {
    Status.EXPIRED: "expiry",
    Status.LOST: "breakage",
    Status.FORFEITED: "forfeit",
    Status.VOIDED: "forfeit",
    Status.REVERSED: "forfeit",
}
# part of the source of the posting that closes a grant
SUB_OF_END = {
    Status.COMPLETED: "complete",
    Status.EXPIRED: "expire",
    Status.LOST: "lose",
    Status.FORFEITED: "forfeit",
    Status.VOIDED: "void",
    Status.REVERSED: "reverse",
}
BREAKAGE_SUB = "breakage"


def release(grant: Grant, money: int | None = None) -> tuple[int, int]:
    """What a completed grant pays out of `money` (default: all that is on it) and what the house keeps, minor units.

    A sticky bonus keeps its principal first. The cap is on what the grant pays out in all, so that a win which arrives after the
    completion pays only what is left of it.
    """
    money = grant.money if money is None else money
    payable = money
    if grant.terms.sticky:
        payable -= min(payable, max(0, grant.principal - grant.kept))
    if grant.terms.cash_out_cap is not None:
        payable = min(payable, max(0, int(grant.terms.cash_out_cap * grant.principal) - grant.released))
    return payable, money - payable
