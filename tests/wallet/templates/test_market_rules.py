"""What markets object to. The figures of vectors 12 and 13 stand in docs/bonuses.md."""

from dataclasses import replace
from decimal import Decimal

import pytest

from wallet.bonus.market_rules import MarketRules, Objection, PromisedTerms, effective_multiple, needs_acknowledgement, objections

D = Decimal
UK = MarketRules("GB Great Britain", max_wagering_multiple=D(10), one_product_per_bonus=True)
TERMS = PromisedTerms(products=("casino",), multiple=D(10), smallest_weight=D(1), largest_amount=D(100), wagering_hours=168)


def fields(terms: PromisedTerms, *rules: MarketRules) -> list[str]:
    return [one.field for one in objections(terms, rules)]


def test_objections__multiple_12_under_the_uk_pack__refused() -> None:
    assert objections(replace(TERMS, multiple=D(12)), [UK]) == [
        Objection("multiple", "GB Great Britain allows wagering of at most 10x; 12x is above it")
    ]


def test_objections__multiple_10_with_roulette_at_a_tenth__only_after_acknowledging_100x() -> None:
    terms = replace(TERMS, smallest_weight=D("0.10"))
    assert needs_acknowledgement(terms, [UK])
    (asked,) = objections(terms, [UK])
    assert asked.field == "acknowledged_multiple"
    assert asked.text.startswith("effective 100x: ")
    assert fields(replace(terms, acknowledged_multiple=D(99)), UK) == ["acknowledged_multiple"]
    assert objections(replace(terms, acknowledged_multiple=D(100)), [UK]) == []


def test_objections__casino_and_sports_in_one_template_under_the_uk_pack__refused() -> None:
    assert fields(replace(TERMS, products=("casino", "sports")), UK) == ["products"]


def test_objections__no_limits__none() -> None:
    terms = replace(TERMS, multiple=D(60), products=("casino", "sports"), largest_amount=None, smallest_weight=D("0.01"))
    assert objections(terms, [MarketRules("MT Malta")]) == []
    assert not needs_acknowledgement(terms, [MarketRules("MT Malta")])


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        (MarketRules("BE Belgium", bonuses_allowed=False, max_wagering_multiple=D(1)), "markets"),
        (MarketRules("DK Denmark", max_bonus_amount=D("99.99")), "max_amount"),
        (MarketRules("DK Denmark", min_wagering_hours=169), "wagering_hours"),
    ],
)
def test_objections__one_limit_passed__names_the_field(rules: MarketRules, field: str) -> None:
    assert fields(TERMS, rules) == [field]


def test_objections__at_the_limit__none() -> None:
    assert (
        objections(TERMS, [MarketRules("DK Denmark", max_bonus_amount=D(100), min_wagering_hours=168, max_wagering_multiple=D(10))]) == []
    )


def test_objections__amount_without_bound_where_a_bound_is_asked__refused() -> None:
    assert fields(replace(TERMS, largest_amount=None), MarketRules("DK Denmark", max_bonus_amount=D(1000))) == ["max_amount"]


def test_objections__several_markets__each_is_heard_and_one_figure_is_acknowledged() -> None:
    terms = replace(TERMS, smallest_weight=D("0.5"))
    others = [UK, MarketRules("DK Denmark", max_wagering_multiple=D(15)), MarketRules("MT Malta", max_wagering_multiple=D(40))]
    (asked,) = objections(terms, others)
    assert "GB Great Britain allows 10x, DK Denmark allows 15x" in asked.text
    assert objections(replace(terms, acknowledged_multiple=D(20)), others) == []


def test_effective_multiple__thirds__has_two_places() -> None:
    assert effective_multiple(D(10), D("0.3")) == D("33.33")


def test_effective_multiple__weight_zero__refused() -> None:
    with pytest.raises(ValueError, match="smallest weight is 0"):
        effective_multiple(D(10), D(0))
