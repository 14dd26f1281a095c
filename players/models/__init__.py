from .activity import ActivityTotals, Game, GamePlay, Payment, PlaySession
from .feed import FeedRefusal, FeedRun, FeedState
from .import_job import ImportChange, ImportJob, ImportMapping, QuarantinedRow
from .jurisdiction import Jurisdiction, JurisdictionPack
from .player import Player, Segment, SegmentMove
from .player_tier import PlayerTier, VipClearance
from .protection import DepositLimit, Exclusion, Protection
from .rollup import PlayerDay, PlayerMetrics
from .tier import Tier, TierMove
from .tier_programme import TierProgramme

__all__ = [
    "ActivityTotals",
    "DepositLimit",
    "Exclusion",
    "FeedRefusal",
    "FeedRun",
    "FeedState",
    "Game",
    "GamePlay",
    "ImportChange",
    "ImportJob",
    "ImportMapping",
    "Jurisdiction",
    "JurisdictionPack",
    "Payment",
    "PlaySession",
    "Player",
    "PlayerDay",
    "PlayerMetrics",
    "PlayerTier",
    "Protection",
    "QuarantinedRow",
    "Segment",
    "SegmentMove",
    "Tier",
    "TierMove",
    "TierProgramme",
    "VipClearance",
]
