from . import (  # noqa: F401
    account,
    adjustment,
    catalogue,
    contribution,
    entry,
    grant,
    lot,
    payout,
    points_policy,
    redemption,
    template,
    void,
)
