from .account import Account, Unit
from .adjustment import AdjustmentRequest
from .entry import EARNING_HOUSES, Entry, House
from .grant import FINAL_STATUSES, OPEN_STATUSES, WAITING_STATUSES, BonusGrant, GrantEvent, GrantMovement, GrantStatus
from .wager import WagerCount, WagerEvent

__all__ = [
    "EARNING_HOUSES",
    "FINAL_STATUSES",
    "OPEN_STATUSES",
    "WAITING_STATUSES",
    "Account",
    "AdjustmentRequest",
    "BonusGrant",
    "Entry",
    "GrantEvent",
    "GrantMovement",
    "GrantStatus",
    "House",
    "Unit",
    "WagerCount",
    "WagerEvent",
]
