"""What may be logged and stored of an error: where it happened and what kind it is, never a player's data."""

import re
import traceback

from django.db import DatabaseError

_LONGEST = 4000
_DATA_EXCEPTION = "22"  # SQLSTATE class of values that do not fit; PostgreSQL quotes the value in the message


def error_text(error: BaseException, *, handles_rows: bool = False) -> str:
    """Kind and message of an error, without the rows that the database's errors quote in their details.

    `handles_rows`: the code that failed reads people's rows, whose cells stand in messages like "invalid literal: 'a@b.example'"; then of
    errors that are not the database's the kind alone is given.
    """
    cause = error.__cause__ if isinstance(error, DatabaseError) else error  # a COPY raises the driver's errors as they are
    diag = getattr(cause, "diag", None)
    if diag is not None and diag.message_primary:
        message = diag.message_primary
        if (diag.sqlstate or "").startswith(_DATA_EXCEPTION):
            # from the first quote to the last: a value may hold quotes of its own, which PostgreSQL does not mark
            message = re.sub(r'".*"', '"…"', message, flags=re.DOTALL)
        return f"{type(error).__name__}: {message}"[:_LONGEST]
    if handles_rows:
        return type(error).__name__
    return "".join(traceback.format_exception_only(error)).strip()[-_LONGEST:]


def error_location(error: BaseException) -> str:
    """The lines of code that the error passed through, outermost first: no values of variables, no messages."""
    return "".join(traceback.format_tb(error.__traceback__))
