from . import profile, review, signal  # noqa: F401
