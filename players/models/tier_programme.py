from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from loyalty_site.common.models.history import ChangeHistory


class TierProgramme(models.Model):
    """How tiers are reached and kept: one row. `docs/tiers.md` has the rules in words."""

    class Window(models.TextChoices):
        ROLLING = "rolling", "The last N days"
        MONTH = "month", "Calendar month"
        QUARTER = "quarter", "Calendar quarter"
        YEAR = "year", "Calendar year"
        ANNIVERSARY = "anniversary", "Year from the player's registration"

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    window = models.CharField(max_length=11, choices=Window, default=Window.QUARTER, help_text="Whose points count towards a tier.")
    rolling_days = models.PositiveIntegerField(default=90, help_text="N of the last N days; used by that window only.")
    zone = models.CharField(max_length=64, default="UTC", help_text="Days, periods and grace begin and end in this time zone (IANA name).")
    grace_days = models.PositiveSmallIntegerField(
        default=14, help_text="Days after a review that a player who missed the tier still has to keep it; 0 for none."
    )
    soft_landing = models.BooleanField(default=True, help_text="A review takes a player down by one tier at most.")

    history = ChangeHistory()

    class Meta:
        verbose_name = "tier programme"
        verbose_name_plural = "tier programme"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="tierprogramme_is_one"),
            models.CheckConstraint(condition=Q(rolling_days__gte=1, rolling_days__lte=1100), name="tierprogramme_rolling_days_1_1100"),
            models.CheckConstraint(condition=Q(grace_days__lte=366), name="tierprogramme_grace_at_most_366"),
        ]

    def __str__(self) -> str:
        return "Tier programme"

    def clean(self) -> None:
        from zoneinfo import available_timezones

        if self.zone not in available_timezones():
            raise ValidationError({"zone": f"There is no time zone {self.zone!r}; give an IANA name such as Europe/Malta."})
