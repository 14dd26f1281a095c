from . import promotion, scores, version  # noqa: F401
