"""The life of bonus grants: offered, claimed, queued, started, ended. `wallet.services` is the door for other layers.

`closing` and `queue` end and start grants, one or a hundred thousand, by the same statements; everything else decides which.
"""
