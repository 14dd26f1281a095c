"""Bonuses, contribution tables and a catalogue that `manage.py setup_demo` fills an empty installation with. All of it can be edited."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

# before every bet of the simulated year
TABLES_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)

STANDARD_TABLE = "Standard"
EDGE_TABLE = "By house edge"

# name, whether it is the default, its lines: (scope, key, method, weight)
CONTRIBUTION_TABLES: tuple[tuple[str, bool, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        STANDARD_TABLE,
        True,
        (
            ("category", "slots", "fixed", "1"),
            ("category", "bingo", "fixed", "1"),
            ("category", "crash", "fixed", "0.5"),
            ("category", "sports", "fixed", "1"),
            ("category", "live", "fixed", "0.1"),
            ("category", "roulette", "fixed", "0.1"),
            ("category", "table", "fixed", "0.1"),
            ("category", "poker", "fixed", "0.1"),
            ("category", "blackjack", "fixed", "0.1"),
            ("game", "slot-giant-jackpot", "excluded", "0"),
            ("game", "blackjack-classic", "fixed", "0.05"),
            ("default", "", "fixed", "0.5"),
        ),
    ),
    (
        EDGE_TABLE,
        False,
        (
            ("category", "sports", "fixed", "1"),
            ("game", "slot-giant-jackpot", "excluded", "0"),
            ("default", "", "edge", "0.25"),
        ),
    ),
)

# markets whose rules leave room for these terms; the others have bonuses of their own or none
_OPEN_MARKETS = ("AT", "ES", "FI", "IE", "MT")
_WITH_GERMANY = (*_OPEN_MARKETS, "DE")

# the fields are those of a version of terms (docs/bonuses.md); "contribution" names a table, "markets" codes of markets
BONUS_TEMPLATES: tuple[dict[str, Any], ...] = (
    {
        "code": "welcome-match",
        "name": "Welcome match bonus",
        "terms": {
            "match_percent": Decimal(100),
            "max_amount": Decimal(100),
            "min_deposit": Decimal(10),
            "multiple": Decimal(25),
            "count_mode": "bonus_funds_only",
            "contribution": STANDARD_TABLE,
            "max_bet": Decimal(5),
            "cash_out_cap": Decimal(10),
            "needs_claim": True,
            "claim_hours": 7 * 24,
            "wagering_hours": 30 * 24,
            "markets": _WITH_GERMANY,
        },
    },
    {
        "code": "welcome-match-gb",
        "name": "Welcome match bonus, Great Britain",
        "terms": {
            "match_percent": Decimal(100),
            "max_amount": Decimal(50),
            "min_deposit": Decimal(10),
            "multiple": Decimal(10),
            "count_mode": "bonus_funds_only",
            "contribution": STANDARD_TABLE,
            "max_bet": Decimal(5),
            "needs_claim": True,
            "claim_hours": 7 * 24,
            "wagering_hours": 30 * 24,
            "markets": ("GB",),
        },
    },
    {
        "code": "welcome-spins",
        "name": "20 free spins without a deposit",
        "terms": {
            "kind": "free_spins",
            "spins": 20,
            "spin_value": Decimal("0.20"),
            "spin_game": "slot-harbour-lights",
            "base": "spin_winnings",
            "multiple": Decimal(10),
            "contribution": STANDARD_TABLE,
            "max_amount": Decimal(50),
            "max_bet": Decimal(2),
            "cash_out_cap": Decimal(5),
            "wagering_hours": 72,
            "markets": _WITH_GERMANY,
        },
    },
    {
        "code": "reload-locked",
        "name": "Reload bonus with locked winnings",
        "terms": {
            "match_percent": Decimal(50),
            "max_amount": Decimal(50),
            "min_deposit": Decimal(20),
            "multiple": Decimal(8),
            "count_mode": "all_funds",
            "contribution": EDGE_TABLE,
            "winnings": "locked",
            "max_bet": Decimal(10),
            "over_max_bet": "cap",
            "wagering_hours": 10 * 24,
            "markets": _WITH_GERMANY,
        },
    },
    {
        "code": "high-roller",
        "name": "Sticky high-roller bonus",
        "terms": {
            "match_percent": Decimal(50),
            "max_amount": Decimal(500),
            "min_deposit": Decimal(100),
            "base": "bonus_deposit",
            "multiple": Decimal(10),
            "count_mode": "all_funds",
            "contribution": STANDARD_TABLE,
            "fund_order": "bonus_first",
            "sticky": True,
            "max_bet": Decimal(50),
            "over_max_bet": "penalty",
            "penalty_factor": Decimal(2),
            "needs_claim": True,
            "claim_hours": 72,
            "wagering_hours": 21 * 24,
            "markets": _OPEN_MARKETS,
        },
    },
    {
        "code": "sports-boost",
        "name": "Sports bonus",
        "terms": {
            "products": ["sports"],
            "amount": Decimal(20),
            "max_amount": Decimal(20),
            "multiple": Decimal(5),
            "count_mode": "all_funds",
            "contribution": STANDARD_TABLE,
            "fund_order": "proportional",
            "coverage_limit": Decimal("0.7"),
            "min_bet": Decimal(1),
            "max_bet": Decimal(20),
            "over_max_bet": "flag",
            "wagering_hours": 14 * 24,
            "markets": _WITH_GERMANY,
        },
    },
    {
        "code": "cash-gift",
        "name": "Gift without wagering",
        "terms": {"amount": Decimal(5), "max_amount": Decimal(20), "multiple": Decimal(0), "markets": _WITH_GERMANY},
    },
    {
        "code": "points-bonus",
        "name": "Bonus bought with points",
        "terms": {
            "max_amount": Decimal(50),
            "multiple": Decimal(3),
            "count_mode": "all_funds",
            "contribution": STANDARD_TABLE,
            "max_bet": Decimal(5),
            "wagering_hours": 14 * 24,
            "markets": _WITH_GERMANY,
        },
    },
)

# how long points live and what they cost; only where nobody has decided it yet
POINTS_POLICIES: dict[str, dict[str, Any]] = {
    "LP": {"expiry": "inactivity", "period": 365, "qualifying": ["bet", "deposit"]},
    "RP": {"expiry": "months", "period": 6, "cost_per_point": Decimal("0.01"), "breakage": Decimal("0.15"), "restore_days": 14},
    "TICKET": {"expiry": "days", "period": 60, "cost_per_point": Decimal("0.5"), "breakage": Decimal("0.3")},
}

# prices in reward points
CATALOGUE: tuple[dict[str, Any], ...] = (
    {
        "code": "bonus-10",
        "name": "10 EUR bonus",
        "kind": "bonus",
        "price": Decimal(1000),
        "template": "points-bonus",
        "bonus_amount": Decimal(10),
        "bonus_currency": "EUR",
        "per_player": 5,
    },
    {"code": "race-tickets-5", "name": "Five slots race tickets", "kind": "tickets", "price": Decimal(250), "tickets": 5},
    {"code": "mug", "name": "Mug", "kind": "goods", "price": Decimal(400), "stock": 40, "per_player": 2},
    {"code": "headphones", "name": "Headphones", "kind": "goods", "price": Decimal(6000), "stock": 3, "per_player": 1},
)
