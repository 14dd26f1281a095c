"""What `manage.py setup_demo` fills an empty installation with: a tier ladder, markets with their rules, and reward rules.

A start for an operator's own settings, all of it editable in the admin. The market rules are engineering inputs taken from public
sources, not legal advice; each says where it comes from and how far it was checked.
"""

from datetime import date
from decimal import Decimal
from typing import Any

TIERS: tuple[dict[str, Any], ...] = (
    {
        "rank": 0,
        "name": "Bronze",
        "entry_points": Decimal(0),
        "keep_points": Decimal(0),
        "earn_multiplier": Decimal("1"),
        "cashback_multiplier": Decimal("1"),
        "benefits": ["Loyalty points on every bet"],
        "color": "#b45309",
    },
    {
        "rank": 1,
        "name": "Silver",
        "entry_points": Decimal(1000),
        "keep_points": Decimal(800),
        "earn_multiplier": Decimal("1.1"),
        "cashback_multiplier": Decimal("1.1"),
        "benefits": ["10 % more loyalty points", "10 % more cashback"],
        "color": "#64748b",
    },
    {
        "rank": 2,
        "name": "Gold",
        "entry_points": Decimal(10000),
        "keep_points": Decimal(8000),
        "earn_multiplier": Decimal("1.25"),
        "cashback_multiplier": Decimal("1.25"),
        "benefits": ["25 % more loyalty points", "25 % more cashback", "Faster support"],
        "color": "#ca8a04",
    },
    {
        "rank": 3,
        "name": "Platinum",
        "entry_points": Decimal(50000),
        "keep_points": Decimal(40000),
        "earn_multiplier": Decimal("1.5"),
        "cashback_multiplier": Decimal("1.5"),
        "benefits": ["50 % more loyalty points", "50 % more cashback", "Personal manager"],
        "color": "#0e7490",
        "needs_gate": True,
    },
)

_UNCHECKED = "Second-hand summaries, not checked with the regulator; have compliance confirm before relying on it."
_LICENCE_BASE = "Adults only, direct offers with consent only: the operator's base terms for markets without a rule of their own here."

# code, name, countries, packs; each pack: valid_from and what it allows. A missing key keeps the model's default.
MARKETS: tuple[tuple[str, str, list[str], tuple[dict[str, Any], ...]], ...] = (
    (
        "GB",
        "Great Britain",
        ["GB"],
        (
            {"valid_from": date(2024, 1, 1), "valid_to": date(2026, 1, 19), "source": "Before the wagering cap of 19 January 2026."},
            {
                "valid_from": date(2026, 1, 19),
                "max_wagering_multiple": Decimal(10),
                "one_product_per_bonus": True,
                "source": "LCCP social responsibility code 5.1.1(3), in force from 19 January 2026: bonus funds may have to be wagered "
                "at most 10 times; one product type per incentive. Read at gamblingcommission.gov.uk.",
            },
        ),
    ),
    (
        "MT",
        "Malta",
        ["MT"],
        (
            {
                "valid_from": date(2024, 1, 1),
                "pausing_allowed": True,
                "source": "MGA player protection pages: never encourage a player to chase losses. No cap on wagering found.",
            },
        ),
    ),
    (
        "SE",
        "Sweden",
        ["SE"],
        (
            {
                "valid_from": date(2024, 1, 1),
                "bonuses_allowed": False,
                "source": f"One bonus only, at the first occasion of play: recurring rewards stay off. {_UNCHECKED}",
            },
        ),
    ),
    (
        "CA-ON",
        "Ontario",
        ["CA"],
        (
            {
                "valid_from": date(2024, 1, 1),
                "min_bonus_age": 19,
                "source": "Registrar's standard 2.05: inducements only directly and after consent given on the gaming site; all material "
                f"terms at first presentation. {_UNCHECKED}",
            },
        ),
    ),
    (
        "DE",
        "Germany",
        ["DE"],
        ({"valid_from": date(2024, 1, 1), "max_bonus_amount": Decimal(100), "source": f"A bonus is at most EUR 100. {_UNCHECKED}"},),
    ),
    (
        "NL",
        "Netherlands",
        ["NL"],
        (
            {
                "valid_from": date(2024, 1, 1),
                "min_bonus_age": 24,
                "max_bonus_amount": Decimal(250),
                "source": f"No bonus for players of 18 to 23, at most EUR 250. {_UNCHECKED}",
            },
        ),
    ),
    (
        "DK",
        "Denmark",
        ["DK"],
        (
            {
                "valid_from": date(2024, 1, 1),
                "max_bonus_amount": Decimal(1000),
                "max_wagering_multiple": Decimal(10),
                "min_wagering_hours": 60 * 24,
                "no_offers_after_inactive_days": 30,
                "source": f"At least 60 days to meet the terms, at most DKK 1,000, nothing to inactive players. {_UNCHECKED}",
            },
        ),
    ),
    (
        "BE",
        "Belgium",
        ["BE"],
        ({"valid_from": date(2024, 1, 1), "bonuses_allowed": False, "source": f"Bonuses are banned. {_UNCHECKED}"},),
    ),
    ("AT", "Austria", ["AT"], ({"valid_from": date(2024, 1, 1), "pausing_allowed": True, "source": _LICENCE_BASE},)),
    ("ES", "Spain", ["ES"], ({"valid_from": date(2024, 1, 1), "pausing_allowed": True, "source": _LICENCE_BASE},)),
    ("FI", "Finland", ["FI"], ({"valid_from": date(2024, 1, 1), "pausing_allowed": True, "source": _LICENCE_BASE},)),
    ("IE", "Ireland", ["IE"], ({"valid_from": date(2024, 1, 1), "pausing_allowed": True, "source": _LICENCE_BASE},)),
)

# Money is measured in windows of the rule's own period: a rule on a lifetime sum would pay for the same loss again and again.
# Amounts of money are written for one currency; `_in` makes the same rule for another one.
_MONEY_RULES: tuple[dict[str, Any], ...] = (
    {
        "rule_id": "vip-weekly-reward",
        "name": "VIP weekly reward",
        "description": "Part of the week's play back to VIP players, more in higher tiers.",
        "priority": 90,
        "conditions": {"segment": "VIP", "wagered_7d_min": 1000},
        "reward_config": {
            "type": "BONUS_BALANCE",
            "formula": "wagered_7d * 0.002 * tier_cashback_multiplier",
            "min_amount": 5,
            "max_amount": 1000,
            "wagering_requirement": 1,
            "expiry_hours": 336,
        },
        "period": "WEEK",
        "cooldown_hours": 168,
        "stacking_group": "weekly-cashback",
    },
    {
        "rule_id": "weekly-loss-cashback",
        "name": "Weekly loss cashback",
        "description": "10 % of the week's net loss to losing players, after at least two sessions.",
        "priority": 80,
        "conditions": {"segment": "LOSING", "net_loss_7d_min": 30, "sessions_7d_min": 2},
        "reward_config": {
            "type": "BONUS_BALANCE",
            "formula": "net_loss_7d * 0.10 * tier_cashback_multiplier",
            "min_amount": 2,
            "max_amount": 500,
            "wagering_requirement": 5,
            "expiry_hours": 168,
            "eligible_games": ["slots", "roulette"],
            "max_bet": 10,
        },
        "period": "WEEK",
        "cooldown_hours": 168,
        "stacking_group": "weekly-cashback",
    },
    {
        "rule_id": "new-player-reload",
        "name": "New player reload",
        "description": "Once, in the first month: a quarter of the week's deposits as bonus for slots.",
        "priority": 70,
        "conditions": {"segment": "NEW", "days_since_registration_max": 30, "deposited_7d_min": 20},
        "reward_config": {
            "type": "BONUS_BALANCE",
            "formula": "deposited_7d * 0.25",
            "min_amount": 5,
            "max_amount": 50,
            "wagering_requirement": 10,
            "expiry_hours": 336,
            "eligible_games": ["slots"],
            "max_bet": 5,
        },
        "period": "ONCE",
    },
    {
        "rule_id": "win-back",
        "name": "Win-back after a pause",
        "description": "A small bonus for players who have not played for two weeks to two months; its size follows their usual bet.",
        "priority": 60,
        "conditions": {
            "all": [
                {"days_since_last_play_min": 14, "days_since_last_play_max": 60},
                {"deposit_count_min": 2},
                {"not": {"segment": "VIP"}},
            ]
        },
        "reward_config": {
            "type": "BONUS_BALANCE",
            "formula": "min(max(avg_bet_size * 10, 5), 25)",
            "max_amount": 25,
            "wagering_requirement": 5,
            "expiry_hours": 168,
            "max_bet": 5,
        },
        "period": "MONTH",
        "cooldown_hours": 720,
        "total_budget": Decimal(20000),
    },
)

_POINT_RULES: tuple[dict[str, Any], ...] = (
    {
        "rule_id": "earlier-play-points",
        "name": "Points for earlier play",
        "description": "Once, for players taken over from another system: loyalty points for what they wagered before, as totals without "
        "dates or as activity of more than a year ago.",
        "priority": 50,
        "conditions": {
            "all": [
                {"any": [{"fact": "days_since_last_play", "op": "missing"}, {"days_since_last_play_min": 400}]},
                {"total_wagered_min": 100},
            ]
        },
        "reward_config": {"type": "LOYALTY_POINTS", "formula": "total_wagered * 0.005", "max_amount": 500},
        "period": "ONCE",
    },
    {
        "rule_id": "slots-race-tickets",
        "name": "Slots race tickets",
        "description": "One ticket for the weekly slots race to active players, three to the most active.",
        "priority": 40,
        "conditions": {"any": [{"wagered_7d_min": 500}, {"sessions_7d_min": 4}]},
        "reward_config": {"type": "TICKETS", "formula": "3 if wagered_7d >= 2000 else 1", "max_amount": 3},
        "period": "WEEK",
        "cooldown_hours": 168,
    },
    {
        "rule_id": "regular-play-points",
        "name": "Points for regular play",
        "description": "Extra loyalty points for players who come back at least three times in a week.",
        "priority": 30,
        "conditions": {"sessions_7d_min": 3, "wagered_7d_min": 50},
        "reward_config": {"type": "LOYALTY_POINTS", "formula": "wagered_7d * 0.005 * tier_earn_multiplier", "max_amount": 500},
        "period": "WEEK",
        "cooldown_hours": 168,
    },
    {
        "rule_id": "birthday-points",
        "name": "Birthday points",
        "description": "Reward points on the birthday, more in higher tiers.",
        "priority": 20,
        "conditions": {"birthday_today": True},
        "reward_config": {"type": "REWARD_POINTS", "formula": "250 * tier_earn_multiplier", "max_amount": 500},
        "period": "MONTH",
        "cooldown_hours": 8000,
    },
)


def _in(currency: str, rule: dict[str, Any]) -> dict[str, Any]:
    return {
        **rule,
        "rule_id": f"{rule['rule_id']}-{currency.lower()}",
        "name": f"{rule['name']} ({currency})",
        "reward_config": {**rule["reward_config"], "currency": currency},
    }


RULES: tuple[dict[str, Any], ...] = (*(_in(currency, rule) for rule in _MONEY_RULES for currency in ("EUR", "GBP")), *_POINT_RULES)

# the programme is older than the simulated history, so that all of it earns
PROGRAMME_DAYS = 3 * 365
EARNING_RULES: tuple[dict[str, Any], ...] = (
    {"name": "Reward points for play", "unit": "RP", "rate": Decimal("0.05"), "daily_cap": Decimal(2000), "uses_tier_multiplier": False},
    {"name": "Roulette at half the rate", "scope": "category", "key": "roulette", "rate": Decimal("0.01"), "weight": Decimal("0.5")},
)

# user name -> the role's group; `admin` may do everything
DEMO_STAFF: dict[str, str] = {
    "crm_agent": "CRM agent",
    "crm_manager": "CRM manager",
    "risk_analyst": "Risk analyst",
    "compliance": "Compliance",
    "finance": "Finance",
    "read_only": "Read-only",
}
DEMO_ADMIN = "admin"
