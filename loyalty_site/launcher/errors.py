"""The one error of the launcher: a sentence that says what is wrong and what to do about it."""

import errno


class LauncherError(Exception):
    """Shown to the user as it is. The text names the problem and the remedy."""


def disk_full_message(where: object) -> str:
    return f"the disk is full (writing below {where}); free some space and run the same command again."


def is_disk_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def names_full_disk(text: str) -> bool:
    """Whether the output of a program says that the disk is full."""
    lowered = text.lower()
    return "no space left on device" in lowered or "disk quota exceeded" in lowered or "disk full" in lowered
