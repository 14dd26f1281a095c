"""The state machine refuses what is not listed."""

from itertools import product

import pytest

from wallet.bonus.states import FINAL, OPEN, TRANSITIONS, WAITING, IllegalTransition, Status, check

# written out a second time on purpose: a change of the machine must be a decision
ENDS = ("EXPIRED", "FORFEITED", "VOIDED", "REVERSED")
WAITING_ENDS = ("EXPIRED_UNCLAIMED", "FORFEITED", "VOIDED", "REVERSED")
LEGAL = {
    **dict.fromkeys([(None, after) for after in ("OFFERED", "QUEUED", "ACTIVE")]),
    **dict.fromkeys([("OFFERED", after) for after in ("QUEUED", "ACTIVE", *WAITING_ENDS)]),
    **dict.fromkeys([("QUEUED", after) for after in ("ACTIVE", *WAITING_ENDS)]),
    **dict.fromkeys([("ACTIVE", after) for after in ("WAGERING", "PAUSED", "COMPLETED", "LOST", *ENDS)]),
    **dict.fromkeys([("WAGERING", after) for after in ("PAUSED", "COMPLETED", "LOST", *ENDS)]),
    **dict.fromkeys([("PAUSED", after) for after in ("ACTIVE", "WAGERING", *ENDS)]),
}.keys()


@pytest.mark.parametrize(("before", "after"), list(product([None, *Status], Status)), ids=str)
def test_transition__only_the_listed_ones(before: Status | None, after: Status) -> None:
    if (before, after) in LEGAL:
        check(before, after)
    else:
        with pytest.raises(IllegalTransition, match=f"cannot become {after.lower()}"):
            check(before, after)


def test_every_status__is_waiting_open_or_final__and_final_has_no_way_out() -> None:
    assert WAITING | OPEN | FINAL == set(Status)
    assert len(WAITING) + len(OPEN) + len(FINAL) == len(Status)
    assert not any(TRANSITIONS.get(status) for status in FINAL)
