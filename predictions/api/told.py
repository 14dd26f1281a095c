"""Reasons as integrators may read them: what went wrong with a model's file is for the operator's staff."""

CANNOT_BE_OPENED = "The model of this prediction cannot be opened at present; the operator's staff see why on the page Models."
_REMEDY = "Ask the operator: it is healed when the model's file is restored, or another version is put into use."
# every reason about a model's file says so (`predictions.registry`, `basis`, `deposit_value`); it goes on with names of files and settings
_ABOUT_A_FILE = "cannot be opened"


def outward(reason: str) -> str:
    """The reason, or a neutral one in place of what tells of files, keys and settings."""
    return CANNOT_BE_OPENED if _ABOUT_A_FILE in reason else reason


def remedy(reason: str, otherwise: str) -> str:
    """What to do about `reason`."""
    return _REMEDY if _ABOUT_A_FILE in reason else otherwise
