from .budget import BudgetAccount
from .decision import DecisionEvent, DecisionStatus, RewardDecision, Unit
from .play_points import PlayPoints
from .rule import RewardRule, RuleVersion

__all__ = [
    "BudgetAccount",
    "DecisionEvent",
    "DecisionStatus",
    "PlayPoints",
    "RewardDecision",
    "RewardRule",
    "RuleVersion",
    "Unit",
]
