from . import account, adjustment, entry, grant, void  # noqa: F401
