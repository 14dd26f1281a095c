from . import account, adjustment, entry, grant  # noqa: F401
