"""Saving the terms of a bonus template. Every edit makes the next version; a version never changes, as grants are made from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Max

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from players.models import Jurisdiction
from players.selectors import packs_in_force
from wallet.bonus.market_rules import MarketRules, PromisedTerms, effective_multiple, needs_acknowledgement, objections
from wallet.errors import WalletError
from wallet.models import BonusTemplate, BonusTemplateVersion, ContributionTable

from .contributions import smallest_weight, table_of

CHANGE_PERMISSION = "wallet.change_bonustemplate"
Base, Kind, OverMaxBet = BonusTemplateVersion.Base, BonusTemplateVersion.Kind, BonusTemplateVersion.OverMaxBet

# the terms, by name and by the attribute that holds the plain value: what staff fill in, and what two versions are compared by
_ATTRIBUTES = {
    one.name: one.attname
    for one in BonusTemplateVersion._meta.concrete_fields
    if one.name not in ("id", "template", "number", "author", "created_at")
}
FIELDS = tuple(name for name in _ATTRIBUTES if name != "acknowledged_multiple")
_POSITIVE = {
    "amount": "amount",
    "match_percent": "share of the deposit",
    "max_amount": "largest amount",
    "min_deposit": "smallest deposit",
    "spin_value": "value of a spin",
    "cash_out_cap": "cap",
    "max_bet": "largest bet",
    "min_bet": "smallest bet",
    "penalty_factor": "penalty factor",
    "claim_hours": "time to claim",
    "wagering_hours": "time to wager",
}


class TermsRefused(WalletError):
    """Terms that cannot be saved. `problems` holds one message per field; `effective` the multiple that staff have to acknowledge."""

    slug = "terms-refused"

    def __init__(self, problems: Mapping[str, str], effective: Decimal | None = None) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems = dict(problems)
        self.effective = effective


@dataclass(slots=True)
class Draft:
    """A version that is not saved yet, with what is wrong with it."""

    version: BonusTemplateVersion
    markets: list[Jurisdiction]
    effective: Decimal = Decimal(0)
    needs_acknowledgement: bool = False
    problems: dict[str, str] = field(default_factory=dict)

    def object_to(self, name: str, text: str) -> None:
        """Note a problem; of one field the first counts."""
        self.problems.setdefault(name, text)


def save_version(
    template: BonusTemplate, fields: Mapping[str, Any], author: User | None, at: datetime, *, reason: str = ""
) -> BonusTemplateVersion:
    """Make the next version of a template and its current one. `fields` are terms by name (FIELDS), "markets" (an iterable of markets)
    and "acknowledged_multiple"; what is not named has the model's default. The same terms again return the current version.

    `author` None: the system. Raises TermsRefused with a message per field, PermissionDenied, ValueError for a field that no terms have.
    """
    at = require_utc(at, "at")
    if author is not None and not author.has_perm(CHANGE_PERMISSION):
        raise PermissionDenied("You may not change bonus templates.")
    with transaction.atomic():
        locked = BonusTemplate.objects.select_for_update(of=("self",)).select_related("current").get(pk=template.pk)
        draft = draft_version(locked, fields, at)
        if draft.problems:
            raise TermsRefused(draft.problems, draft.effective if draft.needs_acknowledgement else None)
        before = locked.current
        if before is not None and not changed_terms(before, draft.version, _market_ids(before), {one.pk for one in draft.markets}):
            template.current = before
            return before
        version = draft.version
        version.number = (locked.versions.aggregate(last=Max("number"))["last"] or 0) + 1
        version.author, version.created_at = author, at
        version.save(force_insert=True)
        version.markets.set(draft.markets)
        locked.current = version
        locked.save(update_fields=["current"])
        audit.record(
            "wallet.template_version_saved",
            locked,
            at=at,
            actor=author,
            before=_audited(before) if before else None,
            after=_audited(version),
            reason=reason,
        )
    template.current = version
    return version


def draft_version(template: BonusTemplate, fields: Mapping[str, Any], at: datetime) -> Draft:
    """The version that these fields would make, with every problem that keeps it from being saved. Writes nothing."""
    if unknown := sorted(set(fields) - {*FIELDS, "markets", "acknowledged_multiple"}):
        raise ValueError(f"bonus terms have no {', '.join(unknown)}; known are {', '.join(FIELDS)}")
    terms = {name: list(value) if isinstance(value := fields[name], tuple) else value for name in FIELDS if name in fields}
    version = BonusTemplateVersion(template=template, number=1, created_at=at, **terms)
    draft = Draft(version, sorted(fields.get("markets") or [], key=lambda market: market.code))
    if not version.products:
        draft.object_to("products", "choose what may be played with it")
    try:
        version.full_clean(exclude=["template", "number", "author", "created_at"], validate_constraints=False, validate_unique=False)
    except ValidationError as error:
        for name, messages in error.message_dict.items():
            draft.object_to(name, " ".join(messages))
        return draft  # values of a wrong kind cannot be compared
    _check_gift(draft)
    _check_wagering(draft)
    _check_bets(draft)
    for name, words in _POSITIVE.items():
        value = getattr(version, name)
        if value is not None and value <= 0:
            draft.object_to(name, f"the {words} must be above 0, not {value}")
    _check_markets(draft, fields.get("acknowledged_multiple"), at)
    return draft


def _check_gift(draft: Draft) -> None:
    """What is given: money of an amount or of a share of the deposit, or free spins."""
    version = draft.version
    if len(set(version.products)) < len(version.products):
        draft.object_to("products", "a product stands here twice")
    if version.kind == Kind.FREE_SPINS:
        for name, words in (("spins", "how many spins"), ("spin_value", "what a spin is worth"), ("spin_game", "the game of the spins")):
            if not getattr(version, name):
                draft.object_to(name, f"free spins need this: {words}")
        for name in ("amount", "match_percent"):
            if getattr(version, name) is not None:
                draft.object_to(name, "free spins give no money of their own; leave it empty, or choose bonus money")
        if list(version.products) != ["casino"]:
            draft.object_to("products", "free spins are played in the casino; choose that alone")
        if version.base != Base.SPIN_WINNINGS:
            draft.object_to("base", "what free spins have won is what gets wagered; choose the winnings of the free spins")
        return
    for name in ("spins", "spin_value", "spin_game"):
        if getattr(version, name):
            draft.object_to(name, "bonus money has no spins; leave it empty, or choose free spins")
    if version.base == Base.SPIN_WINNINGS:
        draft.object_to("base", "bonus money has no winnings of spins; choose the bonus, or bonus and deposit")
    if version.amount is not None and version.match_percent is not None:
        draft.object_to("match_percent", "give either a fixed amount or a share of the deposit")
    if version.amount is not None and version.max_amount is not None and version.amount > version.max_amount:
        draft.object_to("amount", f"the fixed amount is above the largest amount, {version.max_amount.normalize():f}")


def _check_wagering(draft: Draft) -> None:
    version = draft.version
    if version.multiple < 0:
        draft.object_to("multiple", "the multiple is 0 (nothing to wager) or more")
    if version.base == Base.BONUS_AND_DEPOSIT and version.match_percent is None and version.min_deposit is None:
        draft.object_to("base", "without a deposit there is none to wager; give a share of the deposit or a smallest deposit")
    if version.coverage_limit is not None and not 0 < version.coverage_limit <= 1:
        draft.object_to("coverage_limit", "this is a share of the outcomes: above 0, at most 1 (0.7 is 70 %)")
    games = version.eligible_games
    if not isinstance(games, list) or not all(isinstance(game, str) and game.strip() and len(game) <= 80 for game in games):
        draft.object_to("eligible_games", "give game codes, providers or categories, each a text of at most 80 characters")


def _check_bets(draft: Draft) -> None:
    version = draft.version
    if version.max_bet is None and version.over_max_bet != OverMaxBet.IGNORE:
        draft.object_to("max_bet", "without a largest bet nothing can be above it; give one, or leave the rule at 'does not count'")
    if version.max_bet is not None and version.max_bet < version.min_bet:
        draft.object_to("max_bet", f"the largest bet is below the smallest one, {version.min_bet.normalize():f}")


def _check_markets(draft: Draft, acknowledged: Decimal | None, at: datetime) -> None:
    version = draft.version
    if "multiple" in draft.problems:
        return
    table = version.contribution or ContributionTable.objects.filter(is_default=True).first()
    weight = smallest_weight(table_of(table) if table else None, at)
    terms = promised_terms(version, weight, acknowledged)
    rules = list(_rules_in_force(draft, at))
    draft.effective = effective_multiple(version.multiple, weight)
    draft.needs_acknowledgement = needs_acknowledgement(terms, rules)
    for objection in objections(terms, rules):
        draft.object_to(objection.field, objection.text)
    version.acknowledged_multiple = acknowledged if draft.needs_acknowledgement else None


def _rules_in_force(draft: Draft, at: datetime) -> Iterable[MarketRules]:
    """The rules of the version's markets on the day; of every market that has rules, when the version names none."""
    packs = packs_in_force(at.date())
    for market in draft.markets:
        if market.pk not in packs:
            draft.object_to("markets", f"{market} has no rules in force on {at:%Y-%m-%d}; add them to the market first")
    chosen = {market.pk for market in draft.markets} or set(packs)
    for pack in sorted(packs.values(), key=lambda pack: pack.jurisdiction.code):
        if pack.jurisdiction_id in chosen:
            yield MarketRules(
                market=str(pack.jurisdiction),
                bonuses_allowed=pack.bonuses_allowed,
                max_wagering_multiple=pack.max_wagering_multiple,
                max_bonus_amount=pack.max_bonus_amount,
                min_wagering_hours=pack.min_wagering_hours,
                one_product_per_bonus=pack.one_product_per_bonus,
            )


def promised_terms(version: BonusTemplateVersion, weight: Decimal, acknowledged: Decimal | None) -> PromisedTerms:
    """A version as rules of markets look at it. Free spins are worth what they stake; a largest amount bounds everything."""
    largest = version.max_amount
    if largest is None and version.kind == Kind.FREE_SPINS and version.spins and version.spin_value:
        largest = version.spins * version.spin_value
    elif largest is None and version.match_percent is None:
        largest = version.amount
    return PromisedTerms(tuple(version.products), version.multiple, weight, largest, version.wagering_hours, acknowledged)


def changed_terms(
    before: BonusTemplateVersion, after: BonusTemplateVersion, markets_before: set[int], markets_after: set[int]
) -> dict[str, tuple[Any, Any]]:
    """What differs between two versions: field -> (before, after)."""
    pairs: dict[str, tuple[Any, Any]] = {name: (getattr(before, held), getattr(after, held)) for name, held in _ATTRIBUTES.items()}
    pairs["markets"] = (sorted(markets_before), sorted(markets_after))
    return {name: (old, new) for name, (old, new) in pairs.items() if old != new}


def _market_ids(version: BonusTemplateVersion) -> set[int]:
    return set(version.markets.values_list("pk", flat=True))


def _audited(version: BonusTemplateVersion) -> dict[str, Any]:
    """The terms as plain values for the audit trail."""
    values = {name: getattr(version, held) for name, held in _ATTRIBUTES.items()}
    plain = {name: format(value.normalize(), "f") if isinstance(value, Decimal) else value for name, value in values.items()}
    return {"version": version.number, **plain, "markets": list(version.markets.order_by("code").values_list("code", flat=True))}
