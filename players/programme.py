"""The tier programme and the ladder as they stand."""

from players.models import Tier, TierProgramme


def tier_programme() -> TierProgramme:
    """The one programme. An installation that never set one up has the defaults of the model, and from then on a row."""
    return TierProgramme.objects.get_or_create(pk=1)[0]


def tier_ladder() -> list[Tier]:
    """All tiers, lowest first."""
    return list(Tier.objects.order_by("rank"))
