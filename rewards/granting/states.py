"""The life of a reward decision: which status may follow which. Everything not listed is refused.

Pure: knows no database. SQL that moves many decisions at once filters on `sources(target)`, so that it obeys the same table.
"""

# status -> what may follow it
TRANSITIONS: dict[str, frozenset[str]] = {
    "PROPOSED": frozenset({"CHECKED"}),
    "CHECKED": frozenset({"REFUSED", "AUTO_APPROVED", "PENDING"}),
    # a refusal is looked at again when the same rule proposes in the same period on newer data
    "REFUSED": frozenset({"PROPOSED"}),
    # a recheck runs the gates again; a person's decision, or nobody's for too long, ends the wait
    "PENDING": frozenset({"CHECKED", "APPROVED", "REJECTED", "LAPSED"}),
    "AUTO_APPROVED": frozenset({"ISSUING"}),
    "APPROVED": frozenset({"ISSUING"}),
    # protection is read once more at the till: a player excluded since the approval gets nothing
    "ISSUING": frozenset({"ISSUED", "ISSUE_FAILED", "REFUSED"}),
    "ISSUE_FAILED": frozenset({"ISSUING", "REJECTED"}),
    "ISSUED": frozenset({"REVOKED"}),
    "REJECTED": frozenset(),
    "LAPSED": frozenset(),
    "REVOKED": frozenset(),
}

# What holds money of a budget; with ISSUED: what counts against caps and blocks a duplicate.
RESERVING = ("PROPOSED", "CHECKED", "AUTO_APPROVED", "PENDING", "APPROVED", "ISSUING", "ISSUE_FAILED")
LIVE = (*RESERVING, "ISSUED")
TO_ISSUE = ("AUTO_APPROVED", "APPROVED")


class TransitionRefused(ValueError):
    """A status that may not follow the present one."""


def check_path(*path: str) -> None:
    """Refuse a walk through statuses unless every step is listed. Raises TransitionRefused naming the step."""
    for before, after in zip(path, path[1:], strict=False):
        if before not in TRANSITIONS:
            raise TransitionRefused(f"{before!r} is not a status of a reward decision")
        if after not in TRANSITIONS[before]:
            allowed = ", ".join(sorted(TRANSITIONS[before])) or "nothing: it is final"
            raise TransitionRefused(f"a reward that is {before} cannot become {after}; allowed: {allowed}")


def sources(target: str) -> list[str]:
    """The statuses from which `target` may be reached in one step, sorted."""
    return sorted(status for status, following in TRANSITIONS.items() if target in following)
