from .account import MONEY_UNITS, Account, Unit
from .adjustment import AdjustmentRequest
from .catalogue import CatalogueItem, Redemption
from .entry import EARNING_HOUSES, Entry, House
from .flag import WalletFlag
from .grant import (
    FINAL_STATUSES,
    OPEN_STATUSES,
    WAITING_STATUSES,
    BonusGrant,
    GrantEvent,
    GrantMovement,
    GrantStatus,
    Pocket,
    VoidRequest,
)
from .lot import Lot, LotUse, PointsPolicy
from .payout import PayoutInstruction
from .template import BonusTemplate, BonusTemplateVersion, ContributionRule, ContributionTable, Product
from .wager import WagerCount, WagerEvent

__all__ = [
    "EARNING_HOUSES",
    "FINAL_STATUSES",
    "MONEY_UNITS",
    "OPEN_STATUSES",
    "WAITING_STATUSES",
    "Account",
    "AdjustmentRequest",
    "BonusGrant",
    "BonusTemplate",
    "BonusTemplateVersion",
    "CatalogueItem",
    "ContributionRule",
    "ContributionTable",
    "Entry",
    "GrantEvent",
    "GrantMovement",
    "GrantStatus",
    "House",
    "Lot",
    "LotUse",
    "PayoutInstruction",
    "Pocket",
    "PointsPolicy",
    "Product",
    "Redemption",
    "Unit",
    "VoidRequest",
    "WalletFlag",
    "WagerCount",
    "WagerEvent",
]
