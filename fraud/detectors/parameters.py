"""What the detectors count as suspicious, and how much each kind weighs in the score."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DetectorParameters:
    """Defaults are explained in docs/abuse.md. Weights are the most that a full-strength, fresh signal of a kind adds (1 = 100 points)."""

    # the events a detector looks back on
    window_days: int = 90
    link_window_days: int = 180
    win_rate_window_days: int = 180

    weights: dict[str, float] = field(
        default_factory=lambda: {
            "BONUS_ONLY": 0.70,
            "IMMEDIATE_WITHDRAWAL": 0.70,
            "BET_MANIPULATION": 0.70,
            "MULTI_ACCOUNT": 0.85,
            "WIN_RATE": 0.40,
        }
    )
    least_strength: float = 0.05  # weaker findings are dropped

    # bonus-only play
    bonus_share_from: float = 0.5
    bonus_paying_deposits: int = 4  # that many deposits make a paying player
    bonus_repeats: int = 4  # full strength from this many days of bonus play (or grants)

    # immediate withdrawal
    withdrawal_within_hours: float = 24.0
    withdrawal_least_part: float = 0.5  # of the deposit or bonus, or it is not its withdrawal
    withdrawal_event_strength: float = 0.5

    # bet manipulation
    jump_within_hours: float = 24.0
    jump_after_rounds: int = 30
    jump_from: float = 6.0
    jump_full: float = 24.0
    jump_event_strength: float = 0.6

    # multi-accounting
    device_weight: float = 0.80
    instrument_weight: float = 0.90
    ip_weight: float = 0.25
    most_players_per_device: int = 200  # beyond: a broken fingerprint, not a device
    most_players_per_instrument: int = 200
    most_players_per_ip: int = 8  # beyond: a mobile network, an office, a hotel
    full_share: float = 0.5  # share of a player's uses through the shared token that counts in full
    listed_players: int = 50

    # win rate
    win_rate_alpha: float = 0.001
    win_rate_full_p: float = 1e-8
    win_rate_least_rounds: int = 200
    win_rate_least_records: int = 4


DEFAULTS = DetectorParameters()
