from .budget import BudgetAccount
from .decision import DecisionEvent, DecisionStatus, RewardDecision, Unit
from .earning import DayEarning, EarningRule
from .play_points import PlayPoints
from .qualifying_day import QualifyingDay, QualifyingMark
from .rule import RewardRule, RuleVersion

__all__ = [
    "BudgetAccount",
    "DayEarning",
    "DecisionEvent",
    "DecisionStatus",
    "EarningRule",
    "PlayPoints",
    "QualifyingDay",
    "QualifyingMark",
    "RewardDecision",
    "RewardRule",
    "RuleVersion",
    "Unit",
]
