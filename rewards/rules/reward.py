"""What a rule gives: the checked form of `reward_config`."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from loyalty_site.common.money import ROUNDING_MODES, exponent

from .conditions import exact_number
from .formula import Expression, parse_amount
from .problems import Problem, RuleError, nearest

WHERE = "reward_config"

# reward type -> unit of the ledger; bonus money is counted in the player's currency
UNITS = {"BONUS_BALANCE": "BONUS", "LOYALTY_POINTS": "LP", "REWARD_POINTS": "RP", "TICKETS": "TICKET"}
TYPE_ALIASES = {
    "BONUS": "BONUS_BALANCE", "LP": "LOYALTY_POINTS", "RP": "REWARD_POINTS", "TICKET": "TICKETS",
}  # fmt: skip
TYPE_WORDS = {
    "BONUS_BALANCE": "bonus money",
    "LOYALTY_POINTS": "loyalty points",
    "REWARD_POINTS": "reward points",
    "TICKETS": "tickets",
}
KEYS = (
    "type", "formula", "max_amount", "min_amount", "rounding", "currency",
    "wagering_requirement", "expiry_hours", "max_bet", "eligible_games", "bonus_template",
)  # fmt: skip
TEMPLATE_KEYS = ("wagering_requirement", "expiry_hours", "max_bet", "eligible_games")  # what a template says itself
BONUS_KEYS = (*TEMPLATE_KEYS, "bonus_template")
MAX_TEMPLATE_CODE = 60
MAX_WAGERING = 1000  # times the amount; no market allows anything near it
MAX_EXPIRY_HOURS = 24 * 366 * 5
MAX_GAMES = 500


@dataclass(frozen=True)
class RewardSpec:
    """The checked `reward_config`. Amounts are in the reward's unit: money of the player's currency, points or tickets.

    max_amount: the amount is cut to it; min_amount: a smaller amount is not given at all; wagering_requirement: how many times the
    amount must be wagered; currency: only players of this currency take part ("": all); rounding: DOWN, HALF_UP or HALF_EVEN, to the
    minor unit. bonus_template: code of the template that has the terms of the bonus ("": they stand here).
    """

    type: str
    formula: str
    max_amount: Decimal | None
    min_amount: Decimal | None
    wagering_requirement: Decimal
    expiry_hours: int | None
    eligible_games: tuple[str, ...]
    max_bet: Decimal | None
    currency: str
    rounding: str
    bonus_template: str = ""

    @property
    def unit(self) -> str:
        """Unit of the ledger: BONUS, LP, RP or TICKET."""
        return UNITS[self.type]

    def money_unit(self, currency: str) -> str:
        """What amounts for a player of `currency` are counted in: the currency for bonus money, else the unit."""
        return currency if self.unit == "BONUS" else self.unit

    def places(self, currency: str) -> int:
        return exponent(self.money_unit(currency))


def parse_reward(source: Any) -> tuple[RewardSpec, Expression]:
    """The checked reward and the expression of its amount. Raises RuleError with all problems found."""
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: Any) -> None:
        self.problems: list[Problem] = []
        if not isinstance(source, dict):
            self.problem("reward_type", "The reward is not an object.", 'Write {"type": "BONUS_BALANCE", "formula": "..."}.', None)
            raise RuleError(self.problems)
        self.source = dict(source)

    def problem(self, code: str, message: str, remedy: str, key: str | None, *more: str | int) -> None:
        self.problems.append(Problem(code, message, remedy, WHERE, (key, *more) if key else ()))

    def read(self) -> tuple[RewardSpec, Expression]:
        for key in self.source:
            if key not in KEYS:
                guess = nearest(str(key), KEYS)
                remedy = f"Did you mean {guess}?" if guess else f"Known: {', '.join(KEYS)}."
                self.problem("unknown_key", f"{key} is not a setting of a reward.", remedy, str(key))
        kind = self.kind()
        expression = self.expression()
        highest, lowest = self.amount("max_amount", above_zero=True), self.amount("min_amount", above_zero=False)
        if highest is not None and lowest is not None and lowest > highest:
            self.problem("reward_bounds", "min_amount is above max_amount: nothing is ever given.", "Change one.", "min_amount")
        currency = self.currency()
        if highest is not None:
            self.check_places("max_amount", highest, kind, currency)
        spec = RewardSpec(
            type=kind,
            formula=str(self.source.get("formula", "")),
            max_amount=highest,
            min_amount=lowest,
            wagering_requirement=self.wagering(),
            expiry_hours=self.expiry(kind),
            eligible_games=self.games(),
            max_bet=self.max_bet(kind, currency),
            currency=currency,
            rounding=self.rounding(),
            bonus_template=self.template(kind),
        )
        if self.problems or expression is None:
            raise RuleError(self.problems)
        return spec, expression

    def kind(self) -> str:
        written = str(self.source.get("type", "")).strip().upper()
        kind = TYPE_ALIASES.get(written, written)
        if kind not in UNITS:
            guess = nearest(written, UNITS)
            remedy = f"Did you mean {guess}?" if guess else f"Use one of {', '.join(UNITS)}."
            message = f"{written} is not a type of reward." if written else "The type of the reward is missing."
            self.problem("reward_type", message, remedy, "type")
            return "BONUS_BALANCE"
        return kind

    def expression(self) -> Expression | None:
        if "formula" not in self.source:
            self.problem("formula_missing", "The formula is missing.", 'Add "formula": "net_loss_7d * 0.10".', "formula")
            return None
        text = self.source["formula"]
        if isinstance(text, (int, float, Decimal)) and not isinstance(text, bool) and (number := exact_number(text)) is not None:
            text = self.source["formula"] = format(number, "f")
        try:
            return parse_amount(text)
        except RuleError as error:
            self.problems.extend(error.problems)
            return None

    def amount(self, key: str, *, above_zero: bool) -> Decimal | None:
        value = self.source.get(key)
        if value is None or value == "":
            return None
        number = exact_number(value)
        if number is None or number < 0 or (above_zero and number == 0):
            self.problem(
                "reward_number", f"{key} needs a number {'above' if above_zero else 'of at least'} 0.", "Write digits: 500 or 12.50.", key
            )
            return None
        return number

    def check_places(self, key: str, value: Decimal, kind: str, currency: str) -> None:
        unit = UNITS[kind] if kind != "BONUS_BALANCE" else currency or "EUR"
        places = exponent(unit)
        if value != value.quantize(Decimal(1).scaleb(-places)):
            self.problem("reward_places", f"{key} is finer than the minor unit of {unit}.", f"Use at most {places} decimal places.", key)

    def wagering(self) -> Decimal:
        number = self.amount("wagering_requirement", above_zero=False) or Decimal(0)
        if number > MAX_WAGERING or number != number.quantize(Decimal("0.01")):
            remedy = f"From 0 to {MAX_WAGERING}, with at most 2 decimal places."
            message = "wagering_requirement is how many times the amount must be wagered."
            self.problem("reward_wagering", message, remedy, "wagering_requirement")
            return Decimal(0)
        return number

    def max_bet(self, kind: str, currency: str) -> Decimal | None:
        number = self.amount("max_bet", above_zero=True)
        if number is not None and kind == "BONUS_BALANCE":
            self.check_places("max_bet", number, kind, currency)
        return number

    def currency(self) -> str:
        value = self.source.get("currency") or ""
        if not isinstance(value, str) or (value and not (len(value) == 3 and value.isascii() and value.isalpha())):
            self.problem("reward_currency", "currency needs three letters (ISO 4217).", 'For example "EUR".', "currency")
            return ""
        return value.upper()

    def expiry(self, kind: str) -> int | None:
        value = self.source.get("expiry_hours")
        if value is None or value == "":
            if kind == "BONUS_BALANCE" and not self.source.get("bonus_template"):
                self.problem("reward_expiry", "Bonus money needs an expiry.", 'Add "expiry_hours": 48.', "expiry_hours")
            return None
        number = exact_number(value)
        if number is None or number != number.to_integral_value() or not 1 <= number <= MAX_EXPIRY_HOURS:
            self.problem("reward_expiry", "expiry_hours needs a whole number of hours.", f"From 1 to {MAX_EXPIRY_HOURS}.", "expiry_hours")
            return None
        return int(number)

    def template(self, kind: str) -> str:
        """The code; whether such a template can be offered is checked where templates are known."""
        value = self.source.get("bonus_template")
        if value is None or value == "":
            return ""
        if not isinstance(value, str) or len(value) > MAX_TEMPLATE_CODE:
            self.problem("reward_template", "bonus_template is the code of a bonus template.", 'For example "welcome".', "bonus_template")
            return ""
        if kind != "BONUS_BALANCE":
            self.problem("reward_template", "Only bonus money has a template.", "Remove bonus_template.", "bonus_template")
        for key in TEMPLATE_KEYS:
            if self.source.get(key) not in (None, "", []):
                message = f"{key} stands in the bonus template {value}, and here too."
                self.problem("reward_template", message, f"Remove {key}, or the template.", key)
        return value.strip()

    def games(self) -> tuple[str, ...]:
        value = self.source.get("eligible_games") or []
        if not isinstance(value, list) or len(value) > MAX_GAMES:
            remedy = f'Write ["slots", "roulette"]; at most {MAX_GAMES}.'
            self.problem("reward_games", "eligible_games is a list of game categories or game codes.", remedy, "eligible_games")
            return ()
        for position, game in enumerate(value):
            if not isinstance(game, str) or not game.strip():
                self.problem("reward_games", "This is not a game category or code.", "Write a text.", "eligible_games", position)
                return ()
        return tuple(dict.fromkeys(game.strip() for game in value))

    def rounding(self) -> str:
        value = str(self.source.get("rounding") or "DOWN").strip().upper()
        if value not in ROUNDING_MODES:
            guess = nearest(value, ROUNDING_MODES)
            remedy = f"Did you mean {guess}?" if guess else f"Use one of {', '.join(ROUNDING_MODES)}."
            self.problem("reward_rounding", f"{value} is not a rounding mode.", remedy, "rounding")
            return "DOWN"
        return value
