"""The order of the loyalty ladder: a higher rank never asks for fewer points than a lower one."""

from decimal import Decimal

from players.models import Tier


def ladder_fault(rank: int, entry_points: Decimal, *, tier_id: int | None) -> str:
    """Why a tier of this rank may not be entered at these points, in words for staff; empty when it may.

    `tier_id` is the tier that is being changed, None for a new one. Players are raised to the highest tier whose points they have, so
    a higher tier with fewer points would swallow the ones below.
    """
    others = Tier.objects.all() if tier_id is None else Tier.objects.exclude(pk=tier_id)
    below = others.filter(rank__lt=rank, entry_points__gt=entry_points).order_by("-entry_points").first()
    if below is not None:
        return f"{below.name} (rank {below.rank}) asks for {below.entry_points} LP: give at least as many."
    above = others.filter(rank__gt=rank, entry_points__lt=entry_points).order_by("entry_points").first()
    if above is not None:
        return f"{above.name} (rank {above.rank}) asks for {above.entry_points} LP: give at most as many."
    return ""
