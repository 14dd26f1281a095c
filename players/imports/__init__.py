"""Files in: read, map, check, show, write, undo. `services` is the door; `docs/imports.md` explains the states and guarantees."""
