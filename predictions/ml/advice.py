"""What follows from a score: labels, bands, priorities and the words of a recommendation.

The arithmetic of the reference documents, kept exactly, and completed where they leave ranges open. Everything here is a pure
function of one score (or of sums over scores) and of the thresholds that staff edit. Probabilities are between 0 and 1; amounts are
in the player's currency; days are whole. Confidence as the reference counts it says only how far a probability is from the
threshold: the calibrated interval of the model stands beside it wherever it is shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# distances such as 0.8 - 0.5 must not pass a bound by the last bit of a float
_DIGITS = 9

BUSINESS_FROM = 0.7
BOOST_FROM = 0.3
URGENT_RETENTION_FROM = 0.8
IDLE_DAYS = 7
WIN_BACK_AFTER_DAYS = 90  # away for longer: gone, not about to leave
WORTHLESS_SHARE = 0.02  # of the medium value bound: less cannot pay for a contact
VIP_MULTIPLIER = 1.5
HIGH_VALUE_MULTIPLIER = 1.2

RISK_LEVELS = ("low", "medium", "high")
VALUE_SEGMENTS = ("low_value", "medium_value", "high_value")
SEVERITIES = ("none", "low", "medium", "high", "critical")
TIMEFRAME = "next 7 days"

CHURN, NOT_CHURN = "Churn", "Not Churn"
FRAUD, NOT_FRAUD = "Fraud", "Not Fraud"
ENGAGED, NOT_ENGAGED = "Engaged", "Not Engaged"

# for players who may be given nothing (excluded, not active, harm flag): no offer, and no word of why
NO_ACTION = "No action"

WIN_BACK = "One low-cost win-back, then leave in peace"
NO_CONTACT_WORTH = "No contact worth its cost"

PREMIUM_MEMBERSHIP = "Offer premium membership"
LIVE_TOURNAMENTS = "Promote live tournaments"


@dataclass(frozen=True)
class Thresholds:
    """The bounds that staff edit; the defaults are those of the reference. Values are compared in the player's currency."""

    churn: float = 0.5
    risk_medium: float = 0.3
    risk_high: float = 0.6
    value_medium: float = 500.0
    value_high: float = 1000.0
    value_vip: float = 5000.0
    fraud: float = 0.8
    engagement: float = 0.5


DEFAULTS = Thresholds()


# churn


def still_customer(alive: float | None) -> float | None:
    """The probability of being a customer still, where it says something: None without a repeat deposit.

    BG/NBD lets players leave after a repeat deposit only, so that it is 1 by definition for who made none, however long ago that was;
    after one it is below 1.
    """
    return None if alive is None or alive >= 1.0 else alive


def churn_label(probability: float, threshold: float = DEFAULTS.churn) -> str:
    return CHURN if probability >= threshold else NOT_CHURN


def churn_confidence(probability: float, threshold: float = DEFAULTS.churn) -> float:
    """0.95, 0.925 or 0.90 by the distance from the threshold (over 0.3, over 0.1, nearer), as the reference has it."""
    distance = round(abs(probability - threshold), _DIGITS)
    if distance > 0.3:
        return 0.95
    return 0.925 if distance > 0.1 else 0.90


def value_multiplier(value: float, thresholds: Thresholds = DEFAULTS) -> float:
    """1.5 above the VIP bound, 1.2 above the high-value bound, else 1."""
    if value > thresholds.value_vip:
        return VIP_MULTIPLIER
    return HIGH_VALUE_MULTIPLIER if value > thresholds.value_high else 1.0


def priority(probability: float, value: float, thresholds: Thresholds = DEFAULTS) -> float:
    """Probability times the multiplier of the value, at most 1: whom to call first."""
    return min(round(probability * value_multiplier(value, thresholds), _DIGITS), 1.0)


def risk_level(probability: float, thresholds: Thresholds = DEFAULTS) -> str:
    """low < medium bound <= medium < high bound <= high."""
    if probability >= thresholds.risk_high:
        return "high"
    return "medium" if probability >= thresholds.risk_medium else "low"


def risk_bounds(level: str, thresholds: Thresholds = DEFAULTS) -> tuple[float | None, float | None]:
    """(from, below) of a risk level; None is open."""
    return {
        "low": (None, thresholds.risk_medium),
        "medium": (thresholds.risk_medium, thresholds.risk_high),
        "high": (thresholds.risk_high, None),
    }[level]


def estimated_impact(probability: float, value: float) -> float:
    """The reference's figure: probability times value, never negative. It ranks players.

    No forecast of a loss: the predicted value expects some to leave already, so leaving is counted twice.
    """
    return max(probability * value, 0.0)


def worthless_below(thresholds: Thresholds = DEFAULTS) -> float:
    """The value below which no contact pays."""
    return WORTHLESS_SHARE * thresholds.value_medium


def retention_recommendation(probability: float, value: float, idle_days: int, thresholds: Thresholds = DEFAULTS) -> str:
    """What to do for one player. The two upper ranges are the reference's; below, effort falls with risk and value.

    Two groups are taken out of the upper ranges, unless their value is high: nobody is kept who left long ago (WIN_BACK_AFTER_DAYS),
    and no campaign pays for a value below WORTHLESS_SHARE of the medium bound.
    """
    vip, high = value > thresholds.value_vip, value > thresholds.value_high
    if probability >= thresholds.risk_high and not high:
        if value < worthless_below(thresholds):
            return NO_CONTACT_WORTH
        if idle_days > WIN_BACK_AFTER_DAYS:
            return WIN_BACK
    if probability >= URGENT_RETENTION_FROM:
        if vip:
            return "Immediate VIP manager call + exclusive bonus package"
        return "Priority support call + personalized offer" if high else "Urgent retention campaign + free spins"
    if probability >= thresholds.risk_high:
        if idle_days > IDLE_DAYS:
            return "Re-engagement campaign with comeback bonus"
        return "Offer targeted promotion based on preferences"
    if probability >= thresholds.risk_medium:
        if high:
            return "Personal check-in + loyalty reward"
        return "Reminder of favourite games + missions" if idle_days > IDLE_DAYS else "Missions and regular newsletter"
    return "Recognition without a bonus: tier news and early access" if high else "No action: regular communication"


# business recommendations


@dataclass(frozen=True)
class Sum:
    """Players of a group and what the group is worth, in one currency."""

    users: int = 0
    impact: float = 0.0


@dataclass(frozen=True)
class Recommendation:
    """What to do about a group: how many players, and the estimated impact in money (None: the kind has no money measure)."""

    type: str
    action: str
    group: str
    user_count: int
    estimated_impact: float | None


_CHURN_ACTIONS = (
    ("urgent_action", "Urgent Action: contact in person today", "high value, churn probability from 0.7"),
    ("retention_campaign", "Retention Campaign: comeback offer within the week", "churn probability from 0.7, worth a contact"),
    ("engagement_boost", "Engagement Boost: missions and reminders", "churn probability from 0.3 to below 0.7, worth a contact"),
    ("win_back", WIN_BACK, f"high risk, away for more than {WIN_BACK_AFTER_DAYS} days"),
    ("no_contact", NO_CONTACT_WORTH, "high risk, a value that pays for none"),
)
CHURN_GROUPS = tuple(name for name, _, _ in _CHURN_ACTIONS)


def churn_recommendations(sums: Mapping[str, Sum]) -> tuple[Recommendation, ...]:
    """Those of CHURN_GROUPS, which follow `retention_recommendation`, in order of urgency, without players too.

    The first three are the reference's; an urgent player is part of the campaign too.
    """
    return _recommendations(_CHURN_ACTIONS, sums)


def _recommendations(actions: Iterable[tuple[str, str, str]], sums: Mapping[str, Sum], *, money: bool = True) -> tuple[Recommendation, ...]:
    found = ((name, action, group, sums.get(name, Sum())) for name, action, group in actions)
    return tuple(Recommendation(name, action, group, one.users, one.impact if money else None) for name, action, group, one in found)


# lifetime value


def value_segment(value: float, thresholds: Thresholds = DEFAULTS) -> str:
    """low_value < medium bound <= medium_value < high bound <= high_value."""
    if value >= thresholds.value_high:
        return "high_value"
    return "medium_value" if value >= thresholds.value_medium else "low_value"


def value_bounds(segment: str, thresholds: Thresholds = DEFAULTS) -> tuple[float | None, float | None]:
    """(from, below) of a value segment; None is open."""
    return {
        "low_value": (None, thresholds.value_medium),
        "medium_value": (thresholds.value_medium, thresholds.value_high),
        "high_value": (thresholds.value_high, None),
    }[segment]


def cross_sell(value: float, thresholds: Thresholds = DEFAULTS) -> str:
    return LIVE_TOURNAMENTS if value >= thresholds.value_high else PREMIUM_MEMBERSHIP


_VALUE_ACTIONS = (
    ("high_value", f"Protect: {LIVE_TOURNAMENTS.lower()} and personal service", "predicted value from the high bound"),
    ("medium_value", f"Grow: {PREMIUM_MEMBERSHIP.lower()}", "predicted value between the two bounds"),
    ("low_value", f"Develop at low cost: {PREMIUM_MEMBERSHIP.lower()} in the regular newsletter", "predicted value below the medium bound"),
)


def value_recommendations(sums: Mapping[str, Sum]) -> tuple[Recommendation, ...]:
    """One recommendation a value segment; the impact is the predicted value of the group."""
    return _recommendations(_VALUE_ACTIONS, sums)


# fraud

# kind of the strongest signal -> what the answer calls it
FRAUD_TYPES = {
    "MULTI_ACCOUNT": "Multiple Accounts",
    "BONUS_ONLY": "Bonus Abuse",
    "IMMEDIATE_WITHDRAWAL": "Payment Fraud",
    "BET_MANIPULATION": "Bet Manipulation",
    "WIN_RATE": "Game Manipulation",
    "ANOMALY": "Unusual Behaviour",
}


def fraud_label(score: float, threshold: float = DEFAULTS.fraud) -> str:
    """Fraud above the threshold; a score that equals it is not."""
    return FRAUD if score > threshold else NOT_FRAUD


def fraud_type_word(kind: str) -> str | None:
    """The type in words; None without a signal. A kind that has no words yet is told by its own name."""
    return FRAUD_TYPES.get(kind, kind.replace("_", " ").title()) if kind else None


def severity_word(severity: float) -> str:
    """The bands of the abuse score (30, 60, 80 of 100), on the scale 0 to 1."""
    if severity <= 0:
        return "none"
    points = round(severity * 100, _DIGITS)
    if points <= 30:
        return "low"
    if points <= 60:
        return "medium"
    return "high" if points <= 80 else "critical"


def fraud_confidence(score: float, anomaly: float, detectors: float, interval: tuple[float, float], threshold: float) -> tuple[float, str]:
    """(confidence, what it is). With a calibrated interval (outcomes of cases exist): the probability that the label is right.
    Without one: how far the two independent assessments, the detectors and the anomaly model, agree; it is no probability."""
    low, high = interval
    if low > 0.0 or high < 1.0:
        return (score if score > threshold else 1.0 - score), "outcomes"
    return 1.0 - abs(anomaly - detectors), "agreement"


_FRAUD_ACTIONS = (
    ("review", "Review: open a case and hold bonuses until it is closed", "score above the threshold"),
    ("watch", "Watch: check again before the next pay-out", "score above half the threshold"),
)


def fraud_group(score: float, threshold: float = DEFAULTS.fraud) -> str | None:
    if score > threshold:
        return "review"
    return "watch" if score > threshold / 2 else None


def fraud_recommendations(sums: Mapping[str, Sum]) -> tuple[Recommendation, ...]:
    """The impact is money only where the caller summed it; a fraud score alone has none."""
    return _recommendations(_FRAUD_ACTIONS, sums, money=False)


# segments

# what a group is -> what to do for it; the four groups of the reference, then the standard named segments of RFM
SEGMENT_RECOMMENDATIONS = {
    "reengage": "Send re-engagement emails",
    "vip": "Offer exclusive VIP rewards",
    "retention": "Standard retention campaign",
    "onboarding": "Provide onboarding bonuses",
}
RFM_RECOMMENDATIONS = {
    "Champions": SEGMENT_RECOMMENDATIONS["vip"],
    "Loyal": "Reward loyalty: tier perks and early access",
    "Potential Loyalists": "Offer premium membership",
    "New": SEGMENT_RECOMMENDATIONS["onboarding"],
    "Promising": "Introduce further games with a small reward",
    "Need Attention": SEGMENT_RECOMMENDATIONS["retention"],
    "About to Sleep": "Remind of favourite games before they lapse",
    "At Risk": "Win back in person: personalized offer",
    "Can't Lose Them": "Immediate call by the account manager",
    "Hibernating": SEGMENT_RECOMMENDATIONS["reengage"],
    "Lost": WIN_BACK,
}


def segment_recommendation(key: str) -> str:
    """The words of a group's key. Raises KeyError for a group nobody wrote words for: that is a fault, not a default."""
    return SEGMENT_RECOMMENDATIONS[key]


def segment_recommendations(groups: Iterable[tuple[str, str, Sum]]) -> tuple[Recommendation, ...]:
    """One recommendation a cluster, from (name, key, sum); the impact is the predicted value of its players."""
    return tuple(Recommendation(key, segment_recommendation(key), name, one.users, one.impact) for name, key, one in groups)


# engagement


def engagement_prediction(score: float, threshold: float = DEFAULTS.engagement) -> str:
    """Engaged above the threshold; a score that equals it is not."""
    return ENGAGED if score > threshold else NOT_ENGAGED


def campaign_eligibility(score: float, threshold: float = DEFAULTS.engagement) -> str:
    return "VIP rewards" if score > threshold else "Re-engagement email"


def engagement_trigger(score: float, threshold: float = DEFAULTS.engagement) -> str:
    return "Invite to exclusive tournament" if score > threshold else "Offer free spins on new slot game"


_ENGAGEMENT_ACTIONS = (
    ("engaged", "Invite to exclusive tournament", "score above the threshold"),
    ("not_engaged", "Re-engagement email with free spins on a new slot game", "score up to the threshold"),
)


def engagement_recommendations(sums: Mapping[str, Sum]) -> tuple[Recommendation, ...]:
    """Players only: engagement has no money measure of its own."""
    return _recommendations(_ENGAGEMENT_ACTIONS, sums, money=False)


# what a model looks at


def normalized(importance: Mapping[str, float]) -> dict[str, float]:
    """Shares of the absolute values, largest first; they sum to 1. All zero or empty: empty, because there is nothing to share."""
    sizes = {name: abs(size) for name, size in importance.items()}
    total = sum(sizes.values())
    if total <= 0:
        return {}
    return {name: size / total for name, size in sorted(sizes.items(), key=lambda item: -item[1])}
