"""One order for everything that happened to a wallet, over the tables that tell it."""

from django.db import models


class NextLogNumber(models.Func):
    """The next number of the log that bets and status changes share. Taken under the account's lock, so it orders one wallet's log."""

    function = "nextval"
    template = "nextval('wallet_log_number')"
    output_field = models.BigIntegerField()
    arity = 0
