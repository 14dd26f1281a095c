from . import (  # noqa: F401
    account,
    adjustment,
    catalogue,
    contribution,
    entry,
    grant,
    payout,
    redemption,
    template,
    void,
)
