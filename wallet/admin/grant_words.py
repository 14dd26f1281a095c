"""What a grant and its bets say to a person: terms in plain English and as a table, verdicts as sentences."""

from decimal import Decimal

from loyalty_site.common.admin.display import amount
from loyalty_site.common.money import from_minor
from wallet.bonus.terms import Terms
from wallet.models import BonusGrant, BonusTemplateVersion, WagerCount

from .parts import shown_amount

PRODUCT_WORDS = {"casino": "casino", "sports": "sports betting", "lotto": "lotto", "poker": "poker"}
ORDER_WORDS = {
    "real_first": "Cash is staked before the bonus",
    "bonus_first": "The bonus is staked before cash",
    "proportional": "Cash and bonus are staked in proportion to the balances",
}
OVER_WORDS = {
    "ignore": "a larger bet does not count",
    "cap": "of a larger bet only this much counts",
    "penalty": "a larger bet raises the amount to wager",
    "flag": "a larger bet counts, but is flagged for review",
}
_NOT_COUNTED = {
    WagerCount.Verdict.GAME_EXCLUDED: "The contribution table excludes this game",
    WagerCount.Verdict.GAME_NOT_ELIGIBLE: "The offer names other games",
    WagerCount.Verdict.FREE_ROUND: "A free round costs the player nothing",
    WagerCount.Verdict.CANCELLED: "The stake was given back",
    WagerCount.Verdict.COVERAGE: "The bet covers more of the outcomes than the terms allow",
    WagerCount.Verdict.CURRENCY_MISMATCH: "The bet was in another currency",
    WagerCount.Verdict.NO_BONUS_FUNDS: "The stake was all cash, and only bonus money counts",
    WagerCount.Verdict.NO_STAKE: "There was no stake",
}


def wagering_amount(value: Decimal, currency: str) -> str:
    """A wagering figure with its currency; more places than the currency has are shown when they are used."""
    exact = value.quantize(Decimal("0.01"))
    return amount(value, currency) if exact == value else f"{value.normalize():,f} {currency}"


def plain(value: Decimal) -> str:
    """A number without trailing zeros, e.g. "2.5"."""
    return f"{value.normalize():,f}"


def per_cent(share: Decimal) -> str:
    return f"{plain(100 * share)} %"


def span(seconds: int) -> str:
    """e.g. "7 days", "36 hours"."""
    hours = Decimal(seconds) / 3600
    if hours >= 48 and hours % 24 == 0:
        return f"{hours / 24:,.0f} days"
    return f"{plain(hours)} hour{'' if hours == 1 else 's'}"


def requirement_words(grant: BonusGrant, terms: Terms) -> str:
    """How the amount to wager comes about, penalties left out: "1,000.00 EUR, 10 times the bonus"."""
    code = grant.currency
    if terms.requirement is not None:
        fixed = f"{wagering_amount(terms.requirement, code)} in all"
        if not grant.principal:
            return fixed
        times = (terms.requirement / from_minor(grant.principal, code)).quantize(Decimal("0.01"))
        return f"{fixed}, {plain(times)} times the bonus"
    own = wagering_amount(grant.wagering_required - grant.penalties, code)
    base = {
        "bonus": f"the bonus of {shown_amount(grant.principal, 'BONUS', code)}",
        "bonus_deposit": f"the bonus of {shown_amount(grant.principal, 'BONUS', code)} "
        f"and the deposit of {shown_amount(grant.deposit, 'BONUS', code)} together",
        "spin_winnings": f"what the free spins have won, so far {shown_amount(grant.principal, 'BONUS', code)}",
    }[terms.base]
    return f"{own}: {plain(terms.multiple)} times {base}"


def sentences(grant: BonusGrant, terms: Terms) -> list[str]:
    """The frozen terms as a member of staff would read them to a player."""
    code = grant.currency
    free = terms.requirement == 0 or (terms.requirement is None and terms.multiple == 0)
    found = []
    if terms.kind == "free_spins":
        game = f" on {terms.spin_game}" if terms.spin_game else ""
        value = shown_amount(terms.spin_value, "BONUS", code)
        found.append(f"{terms.spins:,} free spins of {value} each{game}; what they win becomes the bonus.")
    if free:
        found.append("Nothing has to be wagered: it is paid out as soon as it is active.")
    else:
        found.append(f"To be wagered: {requirement_words(grant, terms)}.")
        found.append(
            "The whole stake counts, cash and bonus alike."
            if terms.count_mode == "all_funds"
            else "Only the part of a stake that came from the bonus or its winnings counts."
        )
    if grant.penalties:
        found.append(f"Bets above the largest bet have added {wagering_amount(grant.penalties, code)} to that.")
    if terms.wagering_seconds is not None and not free:
        found.append(f"The player has {span(terms.wagering_seconds)} from the moment it is active.")
    found.append(f"{ORDER_WORDS[terms.fund_order]}. A win is split as its stake was.")
    if terms.winnings == "locked":
        found.append("What the bonus wins is locked until the wagering is complete.")
    if terms.max_bet is not None:
        found.append(f"The largest bet is {shown_amount(terms.max_bet, 'BONUS', code)}; {OVER_WORDS[terms.over_max_bet]}.")
    if terms.coverage_limit is not None:
        found.append(f"A bet that covers more than {per_cent(terms.coverage_limit)} of the outcomes does not count.")
    if terms.eligible_games:
        found.append(f"Only these games count: {', '.join(terms.eligible_games)}.")
    if terms.sticky:
        found.append("The bonus itself is never paid out, only what was won with it.")
    if terms.cash_out_cap is not None:
        found.append(f"At most {plain(terms.cash_out_cap)} times the bonus is paid out; the house keeps the rest.")
    if not free:
        found.append(
            f"It is lost when less than {shown_amount(terms.min_bet, 'BONUS', code)} is left and no round is open. At its end, rounds "
            f"that began in time may still settle for {span(3600 * terms.settle_grace_hours)}."
        )
    found.append(
        "A withdrawal forfeits the bonus and what was won with it."
        if terms.forfeit_on_withdrawal
        else "A withdrawal does not touch it: cash and bonus stay apart."
    )
    return found


def terms_table(grant: BonusGrant, terms: Terms, table_name: str) -> list[tuple[str, str]]:
    """Every term with its value, in the words of the template's form."""
    code, version = grant.currency, BonusTemplateVersion

    def money(minor: int | None, none: str) -> str:
        return none if minor is None else shown_amount(minor, "BONUS", code)

    rows = [
        ("Kind", str(version.Kind(terms.kind).label)),
        ("Products", ", ".join(PRODUCT_WORDS.get(one, one) for one in terms.products)),
        ("Wagering base", str(version.Base(terms.base).label)),
        ("Multiple", f"{plain(terms.multiple)} ×" if terms.requirement is None else "a fixed amount"),
        ("Required without penalties", wagering_amount(grant.wagering_required - grant.penalties, code)),
        ("Penalties", wagering_amount(grant.penalties, code)),
        ("What counts", str(version.CountMode(terms.count_mode).label)),
        ("Weights", table_name),
        ("Fund order", str(version.FundOrder(terms.fund_order).label)),
        ("Winnings go to", str(version.Winnings(terms.winnings).label)),
        ("Largest bet", money(terms.max_bet, "any stake")),
        ("Above the largest bet", str(version.OverMaxBet(terms.over_max_bet).label) if terms.max_bet is not None else "–"),
    ]
    if terms.over_max_bet == "penalty":
        rows.append(("Penalty factor", plain(terms.penalty_factor)))
    rows += [
        ("Largest coverage", "any" if terms.coverage_limit is None else per_cent(terms.coverage_limit)),
        ("Smallest bet", money(terms.min_bet, "–")),
        ("Games", ", ".join(terms.eligible_games) or "all games"),
        ("Sticky", "yes" if terms.sticky else "no"),
        ("Most paid out", "no cap" if terms.cash_out_cap is None else f"{plain(terms.cash_out_cap)} × the bonus"),
        ("Time to wager", "until the date it was given" if terms.wagering_seconds is None else span(terms.wagering_seconds)),
        ("Wait for open rounds", span(3600 * terms.settle_grace_hours)),
        ("Forfeited by a withdrawal", "yes" if terms.forfeit_on_withdrawal else "no"),
    ]
    if terms.kind == "free_spins":
        rows += [
            ("Free spins", f"{terms.spins:,} × {shown_amount(terms.spin_value, 'BONUS', code)}"),
            ("Game of the spins", terms.spin_game or "any"),
        ]
    return rows


def verdict_words(count: WagerCount, grant: BonusGrant, terms: Terms) -> str:
    """Why a bet counted as it did, in one sentence."""
    code, verdict = grant.currency, count.Verdict(count.verdict)
    counted = wagering_amount(abs(count.counted), code)
    weighed = wagering_amount(count.counted_stake, code)
    largest = shown_amount(terms.max_bet, "BONUS", code) if terms.max_bet is not None else "the largest bet"
    at_weight = f"{weighed} at {per_cent(count.weight)}"
    if verdict == verdict.COUNTED:
        return f"{at_weight} gives {counted}."
    if verdict == verdict.CAPPED:
        return f"{at_weight}; only {counted} was still to wager."
    if verdict == verdict.CAPPED_AT_MAX_BET:
        return f"Above {largest}, so {at_weight} gives {counted}."
    if verdict == verdict.FLAGGED:
        return f"{at_weight} gives {counted}. Above {largest}: flagged for review."
    if verdict == verdict.PENALTY:
        return f"Above {largest}: {wagering_amount(count.penalty, code)} more to wager."
    if verdict == verdict.OVER_MAX_BET:
        return f"Above {largest}: does not count."
    if verdict == verdict.ROLLED_BACK:
        back = f"The bet was taken back, and {counted} of the progress with it"
        return f"{back}; {wagering_amount(abs(count.penalty), code)} of penalty too." if count.penalty else f"{back}."
    return f"{_NOT_COUNTED.get(verdict, verdict.label)}, so nothing counts."


def parts_words(real: int, bonus: int, locked: int, currency: str) -> str:
    """A stake by whose money it was: "6.00 cash + 4.00 bonus"."""
    parts = [(real, "cash"), (bonus, "bonus"), (locked, "locked")]
    named = [f"{from_minor(minor, currency):,} {name}" for minor, name in parts if minor]
    return " + ".join(named)
