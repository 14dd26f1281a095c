"""What players do, as the platform reports it: received, decided by `wallet.bonus`, written, explained.

`load` reads a wallet under its lock, `write` writes what the engine decided; `receive` (some events) and `ingest` (files of a million)
are the ways in, `contract` reads the shapes of the field's event contract, `quote` and `explain` answer questions.
"""
