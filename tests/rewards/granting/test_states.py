"""The state machine: what is listed may happen, what is not is refused, and a final status stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.granting.states import LIVE, RESERVING, TO_ISSUE, TRANSITIONS, TransitionRefused, check_path, sources
from rewards.models import DecisionStatus

STATUSES = st.sampled_from(sorted(TRANSITIONS))
FINAL = {status for status, following in TRANSITIONS.items() if not following}


def test_states__table_and_model__name_the_same_statuses() -> None:
    assert set(TRANSITIONS) == set(DecisionStatus.values)
    assert {after for following in TRANSITIONS.values() for after in following} <= set(TRANSITIONS)
    assert FINAL == {"REJECTED", "LAPSED", "REVOKED"}


@given(st.lists(STATUSES, min_size=2, max_size=8))
def test_check_path__any_walk__passes_exactly_when_every_step_is_listed(path: list[str]) -> None:
    allowed = all(after in TRANSITIONS[before] for before, after in zip(path, path[1:], strict=False))
    if allowed:
        check_path(*path)
    else:
        with pytest.raises(TransitionRefused, match="cannot become"):
            check_path(*path)


@given(STATUSES)
def test_sources__any_target__are_the_statuses_that_lead_to_it(target: str) -> None:
    assert sources(target) == sorted(before for before in TRANSITIONS if target in TRANSITIONS[before])


@given(st.data())
def test_walk__money_is_paid_only_after_an_approval(data: st.DataObject) -> None:
    """Every random walk from a proposal to ISSUED passes through an approval and the till."""
    walk = ["PROPOSED"]
    while TRANSITIONS[walk[-1]] and len(walk) < 40:
        walk.append(data.draw(st.sampled_from(sorted(TRANSITIONS[walk[-1]]))))
    if "ISSUED" in walk:
        before = walk[: walk.index("ISSUED")]
        assert before[-1] == "ISSUING"
        assert set(before) & set(TO_ISSUE)
        assert "CHECKED" in before


def test_check_path__unknown_status__is_refused() -> None:
    with pytest.raises(TransitionRefused, match="is not a status"):
        check_path("PAID", "ISSUED")


def test_live__is_what_reserves_and_what_is_issued() -> None:
    assert set(LIVE) == {*RESERVING, "ISSUED"}
    assert not set(LIVE) & {*FINAL, "REFUSED"}
