"""The only door to what players own. Every function is one transaction of its own, or part of the caller's.

Sources are permanent: the same source with the same content returns the first result, with other content it is refused.
A refusal (any `WalletError`) means that nothing has moved. `docs/wallet.md` describes the rules.
"""

from .adjustments import approve_adjustment, reject_adjustment, request_adjustment
from .credit_stage import create_credit_stage, post_credit_stage
from .errors import (
    AdjustmentRefused,
    CannotReverse,
    CreditStageError,
    IdempotencyConflict,
    InsufficientFunds,
    InvalidPosting,
    UnknownPlayer,
    WalletError,
)
from .grants import expire_bonuses
from .models import House, Unit
from .postings import add_bonus, add_points, reverse_entry, spend
from .reconciliation import Difference, ReconcileError, ReconcileReport, reconcile, require_balanced
from .selectors import balances
from .values import Balance, PostResult, Source
from .wagers import ReportedBet, WagerProgress, record_wager, record_wagers

__all__ = [
    "AdjustmentRefused",
    "Balance",
    "CannotReverse",
    "CreditStageError",
    "Difference",
    "House",
    "IdempotencyConflict",
    "InsufficientFunds",
    "InvalidPosting",
    "PostResult",
    "ReconcileError",
    "ReconcileReport",
    "ReportedBet",
    "Source",
    "Unit",
    "UnknownPlayer",
    "WagerProgress",
    "WalletError",
    "add_bonus",
    "add_points",
    "approve_adjustment",
    "balances",
    "create_credit_stage",
    "expire_bonuses",
    "post_credit_stage",
    "reconcile",
    "record_wager",
    "record_wagers",
    "reject_adjustment",
    "request_adjustment",
    "require_balanced",
    "reverse_entry",
    "spend",
]
