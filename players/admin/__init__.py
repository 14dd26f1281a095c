from . import (
    feed,  # noqa: F401
    feed_refusal,  # noqa: F401
    game,  # noqa: F401
    imports,  # noqa: F401
    jurisdiction,  # noqa: F401
    moves,  # noqa: F401
    player,  # noqa: F401
    protection,  # noqa: F401
    tier,  # noqa: F401
    tier_programme,  # noqa: F401
)
