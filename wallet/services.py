"""The only door to what players own. Every function is one transaction of its own, or part of the caller's.

Sources are permanent: the same source with the same content returns the first result, with other content it is refused.
A refusal (any `WalletError`) means that nothing has moved. `docs/wallet.md` describes the rules.
"""

from .activity.answers import Received
from .activity.explain import explain
from .activity.ingest import IngestFailed, IngestReport, ingest, ingest_file
from .activity.quote import Quote, quote
from .activity.receive import receive
from .activity.rows import RowFault, UnreadableFile
from .activity.wagers import ReportedBet, WagerProgress, record_wager, record_wagers
from .adjustments import approve_adjustment, reject_adjustment, request_adjustment
from .credit_stage import create_credit_stage, post_credit_stage
from .errors import (
    AdjustmentRefused,
    CannotReinstate,
    CannotReverse,
    CreditStageError,
    GrantRefused,
    IdempotencyConflict,
    InsufficientFunds,
    InvalidPosting,
    RedemptionRefused,
    UnknownPlayer,
    WalletError,
)
from .grants.expiry import expire_bonuses
from .grants.forfeiture import ForfeitPreview, GrantLoss, decline_grant, forfeit_preview, surrender_grant, withdraw
from .grants.offers import claim_grant, needs_deposit, offer_bonus
from .grants.pausing import pause_grant, resume_grant
from .grants.queue import activate_waiting, move_in_queue
from .grants.reversal import reverse_deposit, reverse_grant
from .grants.templates import current_version
from .grants.voids import approve_void, reject_void, request_void
from .models import House, Unit
from .payouts import DeliveryReport, UnknownPayout, confirm_payout, deliver_due, retry_payout
from .points.activation import activate_lots, cancel_pending, release_pending
from .points.catalogue import adjust_stock, lift_stock_limit
from .points.expiry import expire_lots
from .points.liability import liability_report
from .points.redemptions import cancel_redemption, fulfil_redemption, redeem
from .points.reinstatement import reinstate
from .points.roll_forward import roll_forward
from .points.warnings import warn_expiring
from .postings import add_bonus, add_points, reverse_entry, spend
from .reconciliation import Difference, ReconcileError, ReconcileReport, reconcile, require_balanced
from .selectors import balances
from .values import Balance, PostResult, Source

__all__ = [
    "AdjustmentRefused",
    "Balance",
    "CannotReinstate",
    "CannotReverse",
    "CreditStageError",
    "DeliveryReport",
    "Difference",
    "ForfeitPreview",
    "GrantLoss",
    "GrantRefused",
    "House",
    "IdempotencyConflict",
    "IngestFailed",
    "IngestReport",
    "InsufficientFunds",
    "InvalidPosting",
    "PostResult",
    "Received",
    "RowFault",
    "Quote",
    "ReconcileError",
    "ReconcileReport",
    "RedemptionRefused",
    "ReportedBet",
    "Source",
    "Unit",
    "UnknownPayout",
    "UnknownPlayer",
    "UnreadableFile",
    "WagerProgress",
    "WalletError",
    "activate_lots",
    "activate_waiting",
    "add_bonus",
    "add_points",
    "adjust_stock",
    "approve_adjustment",
    "approve_void",
    "balances",
    "cancel_pending",
    "cancel_redemption",
    "claim_grant",
    "confirm_payout",
    "create_credit_stage",
    "current_version",
    "decline_grant",
    "deliver_due",
    "expire_bonuses",
    "explain",
    "expire_lots",
    "forfeit_preview",
    "fulfil_redemption",
    "ingest",
    "ingest_file",
    "liability_report",
    "lift_stock_limit",
    "move_in_queue",
    "needs_deposit",
    "offer_bonus",
    "pause_grant",
    "post_credit_stage",
    "quote",
    "receive",
    "reconcile",
    "record_wager",
    "record_wagers",
    "redeem",
    "reinstate",
    "reject_adjustment",
    "reject_void",
    "release_pending",
    "request_adjustment",
    "request_void",
    "require_balanced",
    "resume_grant",
    "retry_payout",
    "reverse_deposit",
    "reverse_entry",
    "reverse_grant",
    "roll_forward",
    "spend",
    "surrender_grant",
    "warn_expiring",
    "withdraw",
]
