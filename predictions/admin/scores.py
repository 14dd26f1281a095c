"""The five lists of scores."""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from unfold.contrib.filters.admin import RangeNumericFilter
from unfold.decorators import display

from loyalty_site.common.admin.display import DASH, badge
from predictions.ml import advice
from predictions.models import ChurnScore, EngagementScore, FraudScore, Kind, SegmentScore, ValueScore
from wallet.admin.parts import page_url

from . import drawing
from .filters import (
    AwayFilter,
    ClusterFilter,
    ContactFilter,
    CountryFilter,
    CurrencyFilter,
    EngagementFilter,
    FraudFilter,
    FraudTypeFilter,
    RfmFilter,
    RiskFilter,
    SegmentFilter,
    ValueFilter,
)
from .parts import (
    RISK_TONES,
    VALUE_TONES,
    VALUE_WORDS,
    cluster_name,
    interval,
    meter,
    money,
    percent,
    right,
    risk_badge,
    two_lines,
)
from .score_list import ScoreAdmin
from .words import (
    cluster_recommendation,
    cross_sell_of,
    eligibility_of,
    engagement_of,
    fraud_of,
    recommendation_of,
    risk_of,
    trigger_of,
    value_band_of,
)

NO_REPEAT = "Told by how long ago the last of several deposits was; somebody without a repeat deposit gives nothing to tell it by"


def lines(*texts: str) -> SafeString:
    return format_html_join(mark_safe("<br>"), "{}", ((text,) for text in texts))


def span(row: Any) -> SafeString:
    return format_html('<span title="Calibrated 90 % interval">{}</span>', interval(row.lower, row.upper))


@admin.register(ChurnScore)
class ChurnScoreAdmin(ScoreAdmin):
    kind = Kind.CHURN
    list_display = (
        *("shown_player", "shown_risk", "shown_probability", "shown_value", "shown_priority", "shown_idle"),
        *("shown_reasons", "shown_advice"),
    )
    list_filter = (
        *(AwayFilter, RiskFilter, ValueFilter, ContactFilter, SegmentFilter, CountryFilter, CurrencyFilter),
        ("probability", RangeNumericFilter),
    )
    ordering = ("-priority", "-value", "player_id")
    ties = {"priority": "value"}

    @display(description="Risk")
    def shown_risk(self, row: Any) -> SafeString:
        return risk_badge(risk_of(row))

    @display(description="Probability", ordering="probability")
    def shown_probability(self, row: ChurnScore) -> SafeString:
        bar = meter(row.probability, percent(row.probability), RISK_TONES[risk_of(row)], low=row.lower, high=row.upper)
        return two_lines(bar, span(row))

    @display(description="At stake", ordering="value")
    def shown_value(self, row: ChurnScore) -> SafeString:
        return right(money(row.value, row.player.currency))

    @display(description="Priority", ordering="priority")
    def shown_priority(self, row: ChurnScore) -> SafeString:
        return right(f"{row.priority:.2f}")

    @display(description="Away")
    def shown_idle(self, row: ChurnScore) -> SafeString:
        return right("today" if not row.idle_days else f"{row.idle_days} day{'' if row.idle_days == 1 else 's'}")

    @display(description="What to do")
    def shown_advice(self, row: Any) -> SafeString:
        return format_html('<span class="pred-words">{}</span>', recommendation_of(row))


@admin.register(ValueScore)
class ValueScoreAdmin(ScoreAdmin):
    kind = Kind.LTV
    list_display = (
        *("shown_player", "shown_band", "shown_value", "shown_interval", "shown_adjusted", "shown_alive"),
        *("shown_reasons", "shown_advice"),
    )
    list_filter = (ValueFilter, ContactFilter, SegmentFilter, CountryFilter, CurrencyFilter, ("value", RangeNumericFilter))
    ordering = ("-value", "player_id")

    @display(description="Band")
    def shown_band(self, row: Any) -> SafeString:
        band = value_band_of(row)
        return badge(VALUE_WORDS[band], VALUE_TONES[band])

    @display(description="Value, 365 days", ordering="value")
    def shown_value(self, row: ValueScore) -> SafeString:
        return right(money(row.value, row.currency), lines(f"median {row.p50:,.0f}", f"{money(row.value_90, row.currency)} in 90 days"))

    @display(description="80 % interval")
    def shown_interval(self, row: ValueScore) -> SafeString:
        side = drawing.beyond(row.p10, row.value, row.p90)
        notes = [f"held {percent(row.confidence)} of the time", *([f"expected value {side} it"] if side else [])]
        return right(f"{row.p10:,.0f} to {row.p90:,.0f}", lines(*notes))

    @display(description="Churn-adjusted", ordering="churn_adjusted")
    def shown_adjusted(self, row: ValueScore) -> SafeString:
        return right(money(row.churn_adjusted, row.currency))

    @display(description="Still a customer")
    def shown_alive(self, row: ValueScore) -> SafeString:
        if row.alive is None:
            return right(DASH, "never deposited")
        alive = advice.still_customer(row.alive)
        if alive is None:
            return right(format_html('<span title="{}">{}</span>', NO_REPEAT, DASH), "no repeat deposit")
        days = f"{row.purchases:,.0f} deposit days expected" if row.purchases is not None else ""
        return right(percent(alive), days)

    @display(description="Cross-sell")
    def shown_advice(self, row: Any) -> SafeString:
        return format_html('<span class="pred-words">{}</span>', cross_sell_of(row))


@admin.register(FraudScore)
class FraudScoreAdmin(ScoreAdmin):
    kind = Kind.FRAUD
    list_display = (
        *("shown_player", "shown_label", "shown_score", "shown_type", "shown_anomaly", "shown_detectors"),
        *("shown_reasons", "shown_profile"),
    )
    list_filter = (FraudFilter, FraudTypeFilter, SegmentFilter, CountryFilter, CurrencyFilter, ("score", RangeNumericFilter))
    ordering = ("-score", "player_id")

    @display(description="Label")
    def shown_label(self, row: Any) -> SafeString:
        words, tone = fraud_of(row)
        return badge(words, tone)

    @display(description="Score", ordering="score")
    def shown_score(self, row: FraudScore) -> SafeString:
        bar = meter(row.score, f"{row.score:.2f}", fraud_of(row)[1] or "good", low=row.interval_low, high=row.interval_high)
        return two_lines(bar, interval(row.interval_low, row.interval_high)) if (row.interval_low, row.interval_high) != (0, 1) else bar

    @display(description="Strongest signal")
    def shown_type(self, row: FraudScore) -> SafeString | str:
        words = advice.fraud_type_word(row.fraud_type)
        return two_lines(words, f"severity {advice.severity_word(row.severity)}") if words else "none"

    @display(description="Anomaly", ordering="anomaly")
    def shown_anomaly(self, row: FraudScore) -> SafeString:
        return right(f"{row.anomaly:.2f}")

    @display(description="Detectors")
    def shown_detectors(self, row: FraudScore) -> SafeString:
        return right(f"{row.detectors:.2f}")

    @display(description="Evidence")
    def shown_profile(self, row: FraudScore) -> SafeString:
        return format_html('<a class="lb-link" href="{}#risk">Signals</a>', page_url("players_player", row.player_id))


@admin.register(SegmentScore)
class SegmentScoreAdmin(ScoreAdmin):
    kind = Kind.SEGMENTATION
    rising = frozenset({"cluster", "rfm_segment"})
    list_display = (
        *("shown_player", "shown_cluster", "shown_segment", "shown_rfm", "shown_stability", "shown_next"),
        *("shown_reasons", "shown_advice"),
    )
    list_filter = (ClusterFilter, RfmFilter, ContactFilter, SegmentFilter, CountryFilter, CurrencyFilter)
    ordering = ("cluster", "player_id")

    @display(description="Cluster", ordering="cluster")
    def shown_cluster(self, row: Any) -> SafeString:
        return badge(cluster_name(row.cluster_names, row.cluster), "primary" if row.cluster == 1 else "")

    @display(description="RFM segment", ordering="rfm_segment")
    def shown_segment(self, row: SegmentScore) -> str:
        return row.rfm_segment

    @display(description="R F M")
    def shown_rfm(self, row: SegmentScore) -> SafeString:
        title = f"recency {row.recency_score}, frequency {row.frequency_score}, monetary {row.monetary_score}, of 5 each"
        return format_html(
            '<span class="lb-num" title="{}">{} {} {}</span>', title, row.recency_score, row.frequency_score, row.monetary_score
        )

    @display(description="Stability", ordering="stability")
    def shown_stability(self, row: SegmentScore) -> SafeString:
        return meter(row.stability, percent(row.stability))

    @display(description="In 30 days")
    def shown_next(self, row: Any) -> SafeString:
        words = "stays" if row.next_cluster == row.cluster else f"to {cluster_name(row.cluster_names, row.next_cluster)}"
        return two_lines(words, f"{percent(row.transition_probability)} of such players")

    @display(description="What to do")
    def shown_advice(self, row: Any) -> SafeString:
        return format_html('<span class="pred-words">{}</span>', cluster_recommendation(row))


@admin.register(EngagementScore)
class EngagementScoreAdmin(ScoreAdmin):
    kind = Kind.ENGAGEMENT
    list_display = (
        *("shown_player", "shown_label", "shown_probability", "shown_breakdown", "shown_decay"),
        *("shown_reasons", "shown_advice"),
    )
    list_filter = (
        *(EngagementFilter, ContactFilter, SegmentFilter, CountryFilter, CurrencyFilter),
        ("probability", RangeNumericFilter),
    )
    ordering = ("-probability", "player_id")

    @display(description="Label")
    def shown_label(self, row: Any) -> SafeString:
        return badge(*engagement_of(row))

    @display(description="Active within 7 days", ordering="probability")
    def shown_probability(self, row: EngagementScore) -> SafeString:
        bar = meter(row.probability, percent(row.probability), "primary", low=row.lower, high=row.upper)
        return two_lines(bar, span(row)) if (row.lower, row.upper) != (0, 1) else bar

    @display(description="Explained by")
    def shown_breakdown(self, row: EngagementScore) -> SafeString:
        parts = (("logins", row.logins), ("deposits", row.deposits), ("gameplay", row.gameplay))
        title = ", ".join(f"{name} {percent(part)}" for name, part in parts)
        bars = "".join(
            format_html('<i class="pred-part-{}" style="width:{}%"></i>', name, f"{100 * max(0.0, part):.1f}") for name, part in parts
        )
        return format_html(
            '<span class="pred-parts" role="img" aria-label="{}" title="{}">{}</span><small class="pred-note">{}</small>',
            *(title, title, SafeString(bars), title),
        )

    @display(description="Weekly decay", ordering="decay")
    def shown_decay(self, row: EngagementScore) -> SafeString:
        return right(percent(row.decay))

    @display(description="Trigger")
    def shown_advice(self, row: Any) -> SafeString:
        return two_lines(format_html('<span class="pred-words">{}</span>', trigger_of(row)), eligibility_of(row))
