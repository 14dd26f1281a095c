from .case import PastCase
from .kind import Kind
from .promotion import PromotionRequest
from .run import ScoringRun
from .scores import ChurnScore, EngagementScore, FraudScore, SegmentScore, ValueScore
from .track import ScorePoint
from .version import ModelVersion

__all__ = [
    "ChurnScore",
    "EngagementScore",
    "FraudScore",
    "Kind",
    "ModelVersion",
    "PastCase",
    "PromotionRequest",
    "ScorePoint",
    "ScoringRun",
    "SegmentScore",
    "ValueScore",
]
