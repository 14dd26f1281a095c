"""The games of the simulated operator. `round_sd` is the standard deviation of a round's return per unit staked."""

from functools import cache

import numpy as np
import pandas as pd

# code, name, provider, category, house edge, round sd, rounds a minute, popularity, smallest stake in euro
_GAMES = (
    ("slot-harbour-lights", "Harbour Lights", "Northlight", "slots", 0.0380, 4.8, 8.0, 9.0, 0.10),
    ("slot-amber-forest", "Amber Forest", "Northlight", "slots", 0.0400, 5.0, 8.0, 8.0, 0.10),
    ("slot-copper-mine", "Copper Mine", "Pitwork", "slots", 0.0450, 6.5, 7.0, 7.0, 0.10),
    ("slot-lucky-orchard", "Lucky Orchard", "Pitwork", "slots", 0.0550, 3.2, 9.0, 6.0, 0.10),
    ("slot-storm-sails", "Storm Sails", "Brightreel", "slots", 0.0350, 9.0, 7.0, 5.0, 0.20),
    ("slot-night-market", "Night Market", "Brightreel", "slots", 0.0420, 5.6, 8.0, 5.0, 0.10),
    ("slot-glass-temple", "Glass Temple", "Northlight", "slots", 0.0600, 4.0, 8.0, 4.0, 0.10),
    ("slot-giant-jackpot", "Giant Jackpot", "Pitwork", "slots", 0.0800, 12.0, 7.0, 2.0, 0.20),
    ("live-roulette", "Live Roulette", "Tablecast", "live", 0.0270, 2.4, 1.0, 3.0, 0.50),
    ("live-blackjack", "Live Blackjack", "Tablecast", "live", 0.0070, 1.15, 0.9, 2.0, 1.00),
    ("live-wheel-show", "Wheel Show", "Tablecast", "live", 0.0450, 3.8, 1.2, 2.0, 0.20),
    ("roulette-european", "European Roulette", "Gridline", "roulette", 0.0270, 1.9, 3.0, 4.0, 0.20),
    ("roulette-american", "American Roulette", "Gridline", "roulette", 0.0526, 1.9, 3.0, 1.0, 0.20),
    ("blackjack-classic", "Blackjack Classic", "Gridline", "blackjack", 0.0060, 1.15, 3.5, 3.0, 0.50),
    ("table-baccarat", "Baccarat", "Gridline", "table", 0.0115, 0.95, 2.5, 1.0, 0.50),
    ("poker-caribbean", "Caribbean Poker", "Gridline", "poker", 0.0520, 2.2, 1.5, 1.0, 0.50),
    ("crash-rocket", "Rocket Crash", "Brightreel", "crash", 0.0300, 3.0, 5.0, 4.0, 0.10),
    ("bingo-hall", "Bingo Hall", "Brightreel", "bingo", 0.1500, 4.5, 0.5, 1.0, 0.10),
    ("sports-single", "Single bets", "Fixture", "sports", 0.0600, 1.6, 0.15, 3.0, 1.00),
    ("sports-combi", "Combination bets", "Fixture", "sports", 0.1400, 6.0, 0.10, 1.5, 1.00),
)
_COLUMNS = ("code", "name", "provider", "category", "house_edge", "round_sd", "rounds_per_minute", "popularity", "min_stake")


@cache
def _table() -> pd.DataFrame:
    return pd.DataFrame(_GAMES, columns=list(_COLUMNS))


def games() -> pd.DataFrame:
    """One row a game: code, name, provider, category, house_edge, round_sd."""
    return _table().loc[:, ["code", "name", "provider", "category", "house_edge", "round_sd"]].copy()


def column(name: str) -> np.ndarray:
    return _table()[name].to_numpy()


def popularity() -> np.ndarray:
    weights = column("popularity").astype(float)
    return weights / weights.sum()
