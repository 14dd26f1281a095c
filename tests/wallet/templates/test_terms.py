"""Terms go into a grant and come out again unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.bonus.terms import CHOICES, Terms

_decimals = st.decimals(min_value=0, max_value=10**6, places=6, allow_nan=False, allow_infinity=False)
_words = st.lists(st.text(min_size=1, max_size=12), max_size=3).map(tuple)
_terms = st.builds(
    Terms,
    products=st.lists(st.sampled_from(["casino", "sports", "lotto", "poker"]), min_size=1, unique=True).map(tuple),
    multiple=_decimals,
    requirement=st.none() | _decimals,
    contribution_table=st.none() | st.integers(1, 10**9),
    sticky=st.booleans(),
    cash_out_cap=st.none() | _decimals,
    max_bet=st.none() | st.integers(1, 10**9),
    penalty_factor=_decimals,
    coverage_limit=st.none() | _decimals,
    min_bet=st.integers(1, 10**6),
    eligible_games=_words,
    spins=st.integers(0, 1000),
    spin_value=st.integers(0, 10**6),
    spin_game=st.text(max_size=20),
    wagering_seconds=st.none() | st.integers(1, 10**8),
    settle_grace_hours=st.integers(0, 1000),
    forfeit_on_withdrawal=st.booleans(),
    **{name: st.sampled_from(values) for name, values in CHOICES.items()},
)


@given(_terms)
def test_terms__stored_and_read__are_equal(terms: Terms) -> None:
    assert Terms.from_json(terms.as_json()) == terms


def test_terms__nothing_stored__are_those_of_a_bonus_without_template() -> None:
    assert Terms.from_json({}) == Terms()


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"max_stake": 5}, "terms have unknown keys: max_stake; known are products, kind"),
        ({"multiple": 10.0}, "term multiple cannot be 10.0"),
        ({"multiple": "ten"}, "term multiple must be a number, not 'ten'"),
        ({"multiple": "NaN"}, "term multiple must be a finite number, not 'NaN'"),
        ({"multiple": None}, "term multiple cannot be None"),
        ({"sticky": 1}, "term sticky cannot be 1"),
        ({"min_bet": True}, "term min_bet cannot be True"),
        ({"products": "casino"}, "term products cannot be 'casino'"),
        ({"fund_order": "bonus"}, "term fund_order cannot be 'bonus'; use one of real_first, bonus_first, proportional"),
    ],
)
def test_terms__unreadable__refused(stored: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Terms.from_json(stored)
