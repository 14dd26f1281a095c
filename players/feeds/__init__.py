"""What the operator's API knows: fetched page by page, cleaned and merged through the same import as files.

`client` speaks HTTP, `pull` moves a time window through the import and keeps the cursor, `sinks` is where layers above take what they own.
"""
