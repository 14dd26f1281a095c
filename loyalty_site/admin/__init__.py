"""Admin pages that compose several apps, and those of third-party apps in our theme."""

from . import audit, jobs, players, schedule, staff, thresholds

__all__ = ["audit", "jobs", "players", "schedule", "staff", "thresholds"]
