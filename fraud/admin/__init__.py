from . import profile, review, signal, wallet_flag  # noqa: F401
