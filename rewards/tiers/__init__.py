"""Tiers: qualification, review and projection (`docs/tiers.md`)."""

from rewards.tiers.settlement import settle_players, settle_range

__all__ = ["settle_players", "settle_range"]
