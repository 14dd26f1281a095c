"""Detectors of abuse and the score they add up to. Pure: frames in, findings out; docs/abuse.md defines each.

Every detector takes one row a player (or a player's event) and looks at all players at once. A finding says how strong the evidence
is (0 to 1), when it was last seen and what it consists of: ids, counts and amounts, never names, addresses or device numbers.
"""

from .bet_manipulation import detect_bet_manipulation
from .bonus_only import detect_bonus_only
from .finding import Finding
from .immediate_withdrawal import detect_immediate_withdrawal
from .multi_account import detect_multi_account
from .parameters import DEFAULTS, DetectorParameters
from .scoring import BandEdges, Contribution, Score, next_band, score_signals
from .win_rate import detect_win_rate

__all__ = [
    "DEFAULTS",
    "BandEdges",
    "Contribution",
    "DetectorParameters",
    "Finding",
    "Score",
    "detect_bet_manipulation",
    "detect_bonus_only",
    "detect_immediate_withdrawal",
    "detect_multi_account",
    "detect_win_rate",
    "next_band",
    "score_signals",
]
