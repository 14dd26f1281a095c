"""What a template promises, in plain English, before anybody has a grant of it. Amounts are in the currency of the player."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from wallet.bonus.weights import Rule, Table
from wallet.grants.template_versions import changed_terms
from wallet.models import BonusTemplateVersion, ContributionTable

from .grant_words import ORDER_WORDS, OVER_WORDS, PRODUCT_WORDS, per_cent, plain, span

Version = BonusTemplateVersion
_LINES = 12
_UNITS = {"claim_hours": "hours", "wagering_hours": "hours", "settle_grace_hours": "hours"}


def version_sentences(version: Version, table: Table | None, at: datetime) -> list[str]:
    """The terms as a colleague would tell them. The weights are those at `at`."""
    found = [_gift(version)]
    if version.needs_claim or version.min_deposit is not None:
        deposit = f"with a deposit of at least {plain(version.min_deposit)}" if version.min_deposit is not None else "without a deposit"
        found.append(f"The offer stands for {_hours(version.claim_hours)}; the player claims it {deposit}.")
    if version.multiple == 0:
        found.append("Nothing has to be wagered: it is paid out as soon as it is active.")
    else:
        found += [_requirement(version), weight_words(table, at)]
        whole = version.count_mode == Version.CountMode.ALL_FUNDS
        found.append("The whole stake counts." if whole else "Only the part of a stake that came from the bonus counts.")
    found.append(f"{ORDER_WORDS[version.fund_order]}; a win is split as its stake was.")
    if version.winnings == Version.Winnings.LOCKED:
        found.append("What the bonus wins is locked until the wagering is complete.")
    found += _limits(version)
    forfeits = "forfeits the bonus" if version.forfeit_on_withdrawal else "does not touch the bonus"
    found.append(f"A withdrawal {forfeits}.")
    return found


def _gift(version: Version) -> str:
    where = " and ".join(PRODUCT_WORDS.get(one, one) for one in version.products) or "no product yet"
    most = f", at most {plain(version.max_amount)}" if version.max_amount is not None else ""
    if version.kind == Version.Kind.FREE_SPINS:
        value = plain(version.spin_value) if version.spin_value is not None else "?"
        return f"{version.spins or '?'} free spins of {value} each on {version.spin_game or '?'}; what they win is the bonus{most}."
    if version.match_percent is not None:
        return f"Gives {plain(version.match_percent)} % of the deposit as bonus for {where}{most}."
    if version.amount is not None:
        return f"Gives a bonus of {plain(version.amount)} for {where}."
    return f"Gives a bonus for {where}; each offer names its amount{most}."


def _requirement(version: Version) -> str:
    base = {
        Version.Base.BONUS: "the bonus",
        Version.Base.BONUS_AND_DEPOSIT: "bonus and deposit together",
        Version.Base.SPIN_WINNINGS: "what the free spins have won",
    }[Version.Base(version.base)]
    more = ""
    if version.base == Version.Base.BONUS_AND_DEPOSIT and version.match_percent:
        times = (version.multiple * (1 + 100 / version.match_percent)).quantize(Decimal("0.01"))
        more = f" (that is {plain(times)} times the bonus)"
    return f"Wager {plain(version.multiple)} times {base}{more} within {_hours(version.wagering_hours)} of activation."


def _limits(version: Version) -> Iterable[str]:
    if version.max_bet is not None:
        yield f"The largest bet is {plain(version.max_bet)}; {OVER_WORDS[version.over_max_bet]}."
    if version.coverage_limit is not None:
        yield f"A bet that covers more than {per_cent(version.coverage_limit)} of the outcomes does not count."
    if version.eligible_games:
        yield f"Only these games count: {', '.join(version.eligible_games)}."
    if version.sticky:
        yield "The bonus itself is never paid out, only what was won with it."
    if version.cash_out_cap is not None:
        yield f"At most {plain(version.cash_out_cap)} times the bonus is paid out; the house keeps the rest."


def weight_words(table: Table | None, at: datetime) -> str:
    """The weights that hold at `at`: "Counts by game: slots 100 %, roulette 10 %; live not at all; everything else 100 %."."""
    lines = table.lines_at(at) if table else []
    if not lines:
        return "Every game counts in full."
    named = [line for line in lines if line.scope != "default"]
    weighed = sorted((line for line in named if line.method != "excluded"), key=lambda line: (line.method == "edge", -line.weight))
    excluded = [line for line in named if line.method == "excluded"]
    parts = [_list(f"{_name(line)} {_weight(line)}" for line in weighed)] if weighed else []
    parts += [f"{_list(_name(line) for line in excluded)} not at all"] if excluded else []
    rest = next((line for line in lines if line.scope == "default"), None)
    parts.append(f"everything else {_weight(rest) if rest else 'in full'}")
    return f"Counts by game: {'; '.join(parts)}."


def _list(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - _LINES} more" if len(found) > _LINES else ""
    return f"{', '.join(found[:_LINES])}{more}"


def _name(line: Rule) -> str:
    return line.key if line.scope == "category" else f"{line.scope} {line.key}"


def _weight(line: Rule) -> str:
    if line.method == "excluded":
        return "not at all"
    return "by house edge" if line.method == "edge" else per_cent(line.weight)


def _hours(hours: int | None) -> str:
    return span(3600 * hours) if hours else "no time"


def difference(before: Version, after: Version) -> list[tuple[str, str, str]]:
    """What the next version changed: (field, before, after) in words. The markets must be prefetched or are queried."""
    markets = {version.pk: {market.pk: market.code for market in version.markets.all()} for version in (before, after)}
    changes = changed_terms(before, after, set(markets[before.pk]), set(markets[after.pk]))
    codes = markets[before.pk] | markets[after.pk]
    return [(_label(name), _shown(name, old, codes), _shown(name, new, codes)) for name, (old, new) in changes.items()]


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " ").capitalize())


def _shown(name: str, value: Any, market_codes: dict[int, str]) -> str:
    if name == "markets":
        return ", ".join(sorted(market_codes[pk] for pk in value)) or "every market"
    if name == "contribution":
        return str(ContributionTable.objects.filter(pk=value).first() or "the default table")
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, list):
        return ", ".join(value)
    choices = dict(getattr(Version._meta.get_field(name), "choices", None) or ())
    return f"{choices.get(value, value)} {_UNITS.get(name, '')}".strip()


# labels of the form, where the name of the field does not say it
LABELS: dict[str, str] = {
    "products": "What may be played",
    "markets": "Markets",
    "amount": "Fixed amount",
    "match_percent": "Share of the deposit, %",
    "max_amount": "Largest amount",
    "min_deposit": "Smallest deposit",
    "spins": "Number of spins",
    "spin_value": "Value of a spin",
    "spin_game": "Game of the spins",
    "base": "What has to be wagered",
    "multiple": "How many times",
    "count_mode": "What of a stake counts",
    "contribution": "Contribution table",
    "fund_order": "Whose money is staked first",
    "winnings": "Winnings go to",
    "cash_out_cap": "Most paid out, times the bonus",
    "max_bet": "Largest bet",
    "over_max_bet": "A larger bet",
    "penalty_factor": "Penalty factor",
    "coverage_limit": "Largest coverage",
    "min_bet": "Smallest bet",
    "eligible_games": "Games that count",
    "needs_claim": "The player has to claim it",
    "claim_hours": "Hours to claim",
    "wagering_hours": "Hours to wager",
    "settle_grace_hours": "Hours to wait for open rounds",
    "forfeit_on_withdrawal": "A withdrawal forfeits it",
    "acknowledged_multiple": "Accepted effective multiple",
}
