"""Scores of one run: one row per player and kind. Written by COPY, never changed, deleted with their run.

Amounts are in the player's currency. Probabilities are between 0 and 1. `reasons` is a list of {"feature", "value",
"contribution", "quartiles"} on the model's own scale (log-odds or currency units): first the largest that speak for the label, then the
largest against it; empty: computed when asked for.
"""

from typing import Any

from django.db import models

from .run import ScoringRun

_AMOUNT: dict[str, Any] = {"max_digits": 20, "decimal_places": 4}


class Score(models.Model):
    run = models.ForeignKey(ScoringRun, on_delete=models.CASCADE, related_name="+", db_index=False)
    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="+")
    reasons = models.JSONField(default=list)

    class Meta:
        abstract = True
        constraints = [models.UniqueConstraint(fields=["run", "player"], name="%(class)s_once")]


class ChurnScore(Score):
    probability = models.FloatField(help_text="Of no real-money bet and no deposit within the horizon; calibrated.")
    lower = models.FloatField(help_text="Lower end of the calibrated 90 % interval.")
    upper = models.FloatField()
    value = models.DecimalField(**_AMOUNT, help_text="What is at stake: predicted value, or what was deposited when there is none.")
    priority = models.FloatField(help_text="Probability times the multiplier of the value band, at most 1.")
    idle_days = models.PositiveIntegerField(help_text="Days since the last activity.")

    class Meta(Score.Meta):
        indexes = [
            models.Index(fields=["run", "-probability", "player"], name="churnscore_by_probability"),
            # with the probability, so that a page of one risk level skips the others without reading their rows
            models.Index(fields=["run", "-priority", "player"], include=["probability"], name="churnscore_by_priority"),
            models.Index(fields=["run", "-value", "player"], include=["probability"], name="churnscore_by_value"),
            # the list of whom to call first: many have the highest priority there is, so the value decides among them; it opens on players
            # who were there lately, and skips the others without reading their rows
            models.Index(fields=["run", "-priority", "-value", "player"], include=["idle_days"], name="churnscore_to_call"),
        ]

    def __str__(self) -> str:
        return f"churn of player {self.player_id}"


class ValueScore(Score):
    currency = models.CharField(max_length=3)
    value = models.DecimalField(**_AMOUNT, help_text="Expected net gaming revenue over 365 days, by the method in use.")
    p10 = models.DecimalField(**_AMOUNT)
    p50 = models.DecimalField(**_AMOUNT)
    p90 = models.DecimalField(**_AMOUNT)
    value_90 = models.DecimalField(**_AMOUNT, help_text="The same over 90 days.")
    churn_adjusted = models.DecimalField(
        **_AMOUNT, null=True, help_text="Value weighted by the probability of staying; empty while churn is withheld."
    )
    probabilistic = models.DecimalField(**_AMOUNT, null=True, help_text="By BG/NBD and Gamma-Gamma; empty without a deposit.")
    boosted = models.DecimalField(**_AMOUNT, help_text="By gradient boosting.")
    alive = models.FloatField(null=True, help_text="Probability of being an active customer (BG/NBD).")
    purchases = models.FloatField(null=True, help_text="Expected days with a deposit in 365 days.")
    confidence = models.FloatField(help_text="Share of held-out players whose value lay between p10 and p90.")

    class Meta(Score.Meta):
        indexes = [
            models.Index(fields=["run", "-value", "player"], name="valuescore_by_value"),
            models.Index(fields=["run", "-churn_adjusted", "player"], name="valuescore_by_adjusted"),
        ]

    def __str__(self) -> str:
        return f"value of player {self.player_id}"


class FraudScore(Score):
    score = models.FloatField(help_text="0 to 1: detectors and anomaly together, or the supervised probability once cases have outcomes.")
    anomaly = models.FloatField(help_text="0 to 1: share of players who are less isolated.")
    detectors = models.FloatField(help_text="0 to 1: the abuse score of the detectors.")
    fraud_type = models.CharField(max_length=40, blank=True, help_text="Kind of the strongest signal; empty: none.")
    severity = models.FloatField(default=0)
    interval_low = models.FloatField(default=0)
    interval_high = models.FloatField(default=1)

    class Meta(Score.Meta):
        indexes = [
            models.Index(fields=["run", "-score", "player"], name="fraudscore_by_score"),
            models.Index(fields=["run", "-anomaly", "player"], name="fraudscore_by_anomaly"),
        ]

    def __str__(self) -> str:
        return f"fraud score of player {self.player_id}"


class SegmentScore(Score):
    cluster = models.PositiveSmallIntegerField()
    recency_score = models.PositiveSmallIntegerField(help_text="1 to 5, 5 is most recent.")
    frequency_score = models.PositiveSmallIntegerField()
    monetary_score = models.PositiveSmallIntegerField()
    rfm_segment = models.CharField(max_length=30)
    stability = models.FloatField(help_text="Share of resampled clusterings that put the player into the same cluster.")
    next_cluster = models.PositiveSmallIntegerField()
    transition_probability = models.FloatField(help_text="Of moving to (or staying in) next_cluster within 30 days, as observed.")

    class Meta(Score.Meta):
        indexes = [
            models.Index(fields=["run", "cluster", "player"], name="segmentscore_by_cluster"),
            models.Index(fields=["run", "rfm_segment", "player"], name="segmentscore_by_name"),
            models.Index(fields=["run", "-stability", "player"], name="segmentscore_by_stability"),
        ]

    def __str__(self) -> str:
        return f"segment of player {self.player_id}"


class EngagementScore(Score):
    probability = models.FloatField(help_text="Of activity within the next 7 days.")
    lower = models.FloatField(default=0)
    upper = models.FloatField(default=1)
    logins = models.FloatField(help_text="Part of the probability that sessions explain; the three parts sum to it.")
    deposits = models.FloatField()
    gameplay = models.FloatField()
    decay = models.FloatField(help_text="Fitted relative loss of activity per week without contact, 0 to 1.")

    class Meta(Score.Meta):
        indexes = [
            models.Index(fields=["run", "-probability", "player"], name="engagement_by_probability"),
            models.Index(fields=["run", "-decay", "player"], name="engagement_by_decay"),
        ]

    def __str__(self) -> str:
        return f"engagement of player {self.player_id}"
