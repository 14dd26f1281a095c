"""What the wallet refuses, and how it says so. `slug` is stable: the API uses it as the problem type."""


class WalletError(ValueError):
    """Base of all refusals: the request cannot be done as it stands. Nothing has moved when one is raised."""

    slug = "wallet-refused"


class InvalidPosting(WalletError):
    """An argument that no posting can have."""

    slug = "invalid-posting"


class UnknownPlayer(WalletError):
    slug = "unknown-player"


class InsufficientFunds(WalletError):
    """The balance does not cover the amount."""

    slug = "insufficient-funds"


class IdempotencyConflict(WalletError):
    """The source (or activity id) was used before for something else."""

    slug = "idempotency-conflict"


class CannotReverse(WalletError):
    """The entry cannot be taken back."""

    slug = "cannot-reverse"


class GrantRefused(WalletError):
    """What was asked of a bonus is not possible as it stands: its state, its terms, the market, or who asks."""

    slug = "grant-refused"


class RedemptionRefused(WalletError):
    """The catalogue does not give this to this player now, or a redemption cannot be undone. `code` says why, for machines."""

    slug = "redemption-refused"

    def __init__(self, text: str, *, code: str) -> None:
        super().__init__(text)
        self.code = code


class CannotReinstate(WalletError):
    """Expired points that cannot be given back."""

    slug = "cannot-reinstate"


class AdjustmentRefused(WalletError):
    """A staff adjustment that the rules of two persons, permissions or its state forbid."""

    slug = "adjustment-refused"


class CreditStageError(WalletError):
    """Lines of a bulk credit that cannot be posted; the message names the first of them."""

    slug = "invalid-credit-lines"
