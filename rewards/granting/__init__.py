"""The only code that pays rewards. `docs/granting.md` tells the algorithm; `rewards.services` is the door for other layers."""
