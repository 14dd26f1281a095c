"""What the layers above tell the predictions: evidence and outcomes of abuse, and whether the operator's feed is failing.

Registered in `AppConfig.ready()` of the app above, so that this package never imports upwards. Without a provider the answers are
empty: no evidence, no outcomes, no failing feed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class FraudDetail:
    """What is known of one player beside the score.

    fraud_type: kind of the strongest signal ("" without one); severity: its strength, 0 to 1; suspicious_activity: one sentence a
    signal, strongest first; linked_accounts: operator's ids of the accounts that share a device, an instrument or an address;
    shared_attributes: linked account to what it shares, in words ("device, payment instrument"); seen_at: when the strongest signal
    was last seen.
    """

    fraud_type: str = ""
    severity: float = 0.0
    suspicious_activity: tuple[str, ...] = ()
    linked_accounts: tuple[str, ...] = field(default_factory=tuple)
    shared_attributes: Mapping[str, str] = field(default_factory=dict)
    seen_at: datetime | None = None


# (player ids of a page) -> detail by player id; players nothing is known of may be left out
FraudEvidence = Callable[[Sequence[int]], Mapping[int, FraudDetail]]
# (lower id, upper id) -> (kind of the strongest signal, its strength 0 to 1) by player id, for players who have one; ids below upper
FraudSignals = Callable[[int, int], Mapping[int, tuple[str, float]]]
# () -> pandas DataFrame of closed reviews, one a player (index player_id, int64), as `predictions.ml.cases` describes it: confirmed (1:
# abuse confirmed by a person, 0: a false positive; other outcomes are left out), opened_at, decided_at, detectors (abuse score at opening)
FraudOutcomes = Callable[[], Any]
# () -> since when the operator's feed has been failing; None while it works
FeedState = Callable[[], datetime | None]

_fraud_evidence: list[FraudEvidence] = []
_fraud_signals: list[FraudSignals] = []
_fraud_outcomes: list[FraudOutcomes] = []
_feed_states: list[FeedState] = []


def register_fraud_evidence(provider: FraudEvidence) -> FraudEvidence:
    """One provider; a later one takes the place of the earlier."""
    _fraud_evidence[:] = [provider]
    return provider


def register_fraud_signals(provider: FraudSignals) -> FraudSignals:
    _fraud_signals[:] = [provider]
    return provider


def register_fraud_outcomes(provider: FraudOutcomes) -> FraudOutcomes:
    _fraud_outcomes[:] = [provider]
    return provider


def register_feed_state(provider: FeedState) -> FeedState:
    """Every registered feed counts: the longest failing one is what answers are marked with."""
    if provider not in _feed_states:
        _feed_states.append(provider)
    return provider


def fraud_evidence(player_ids: Sequence[int]) -> dict[int, FraudDetail]:
    """Detail of every asked player; an empty one where nothing is known."""
    known = {player: detail for provider in _fraud_evidence for player, detail in provider(player_ids).items()}
    return {player: known.get(player, FraudDetail()) for player in player_ids}


def fraud_signals(lower_id: int, upper_id: int) -> dict[int, tuple[str, float]]:
    """Kind and strength of the strongest signal of the players with `lower_id <= id < upper_id` who have one."""
    return {player: signal for provider in _fraud_signals for player, signal in provider(lower_id, upper_id).items()}


def fraud_outcomes() -> Any:
    """pandas DataFrame of the reviews that a person closed (`predictions.ml.cases`); None without a provider."""
    return _fraud_outcomes[0]() if _fraud_outcomes else None


def stale_since() -> datetime | None:
    """Since when a feed has been failing, the longest of all; None while every one works."""
    failing = [since for provider in _feed_states if (since := provider()) is not None]
    return min(failing, default=None)
