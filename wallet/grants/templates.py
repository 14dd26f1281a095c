"""Templates of bonuses as the rest of the wallet reads them: which version holds, and what terms a grant made from it has."""

from difflib import get_close_matches

from loyalty_site.common.money import MoneyError, to_minor
from wallet.bonus.terms import Terms
from wallet.errors import InvalidPosting
from wallet.models import BonusTemplate, BonusTemplateVersion, ContributionTable
from wallet.values import check_account_kind

# money of a version that becomes part of the terms
_MONEY = {"max_bet": "largest bet", "min_bet": "smallest bet", "spin_value": "value of a spin"}


def current_version(code: str) -> BonusTemplateVersion:
    """The version from which new grants of a template are made. Raises InvalidPosting for a code that cannot be offered."""
    template = BonusTemplate.objects.select_related("current").filter(code=code).first()
    if template is None:
        known = list(BonusTemplate.objects.filter(is_active=True).values_list("code", flat=True))
        near = get_close_matches(code, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(repr(one) for one in near)}?" if near else "make the template first, or correct the code"
        raise InvalidPosting(f"there is no bonus template {code!r}; {hint}")
    if not template.is_active:
        raise InvalidPosting(f"bonus template {code!r} is not active; activate it, or offer another one")
    if template.current is None:
        raise InvalidPosting(f"bonus template {code!r} has no terms yet; save its first version")
    return template.current


def terms_of(version: BonusTemplateVersion, currency: str) -> Terms:
    """The terms that a grant of this version has in `currency`. Two statements at most; the same for every player.

    Raises InvalidPosting when an amount of the version cannot be expressed in the currency: amounts are exact, never rounded.
    """
    check_account_kind("BONUS", currency)
    money = {name: _minor(version, name, currency) for name in _MONEY}
    return Terms(
        products=tuple(version.products),
        kind=version.kind,
        base=version.base,
        multiple=version.multiple,
        count_mode=version.count_mode,
        contribution_table=contribution_table_id(version),
        fund_order=version.fund_order,
        winnings=version.winnings,
        sticky=version.sticky,
        cash_out_cap=version.cash_out_cap,
        max_bet=money["max_bet"],
        over_max_bet=version.over_max_bet,
        penalty_factor=version.penalty_factor,
        coverage_limit=version.coverage_limit,
        min_bet=money["min_bet"] or 0,
        eligible_games=tuple(version.eligible_games),
        spins=version.spins or 0,
        spin_value=money["spin_value"] or 0,
        spin_game=version.spin_game,
        wagering_seconds=version.wagering_hours * 3600,
        settle_grace_hours=version.settle_grace_hours,
        forfeit_on_withdrawal=version.forfeit_on_withdrawal,
    )


def contribution_table_id(version: BonusTemplateVersion) -> int | None:
    """The table that weighs the bets of a version: its own, else the default table, else none (every game counts in full)."""
    if version.contribution_id is not None:
        return version.contribution_id
    return ContributionTable.objects.filter(is_default=True).values_list("pk", flat=True).first()


def _minor(version: BonusTemplateVersion, name: str, currency: str) -> int | None:
    value = getattr(version, name)
    if value is None:
        return None
    try:
        return to_minor(value, currency)
    except MoneyError:
        raise InvalidPosting(
            f"the {_MONEY[name]} of bonus template {version.template.code!r} is {value.normalize():f}, which {currency} cannot express; "
            f"make a template for {currency} with an amount that it can"
        ) from None
