"""The reference arithmetic of labels, bands, priorities and recommendations, vector by vector."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictions.ml import advice, rfm, segmentation_names
from predictions.ml.advice import Sum

CHANCES = st.floats(0, 1)
VALUES = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("probability", "threshold", "expected"),
    [
        (0.0, 0.5, 0.95),
        (0.19, 0.5, 0.95),
        (0.2, 0.5, 0.925),  # a distance of 0.3 is not over 0.3
        (0.8, 0.5, 0.925),  # as a float the distance is 0.30000000000000004
        (0.81, 0.5, 0.95),
        (0.4, 0.5, 0.90),
        (0.6, 0.5, 0.90),
        (0.61, 0.5, 0.925),
        (0.5, 0.5, 0.90),
        (0.75, 0.4, 0.95),
        (0.75, 0.5, 0.925),
    ],
)
def test_churn_confidence__distance_from_threshold__three_steps(probability: float, threshold: float, expected: float) -> None:
    assert advice.churn_confidence(probability, threshold) == expected


@pytest.mark.parametrize(
    ("probability", "value", "expected"),
    [
        (0.75, 2500, 0.90),  # the reference's example
        (0.75, 1000, 0.75),
        (0.75, 1000.01, 0.90),
        (0.75, 5000, 0.90),
        (0.75, 5000.01, 1.0),
        (0.5, 6000, 0.75),
        (0.9, 2500, 1.0),
        (0.0, 9000, 0.0),
        (1.0, 0, 1.0),
    ],
)
def test_priority__value_bands__multiplies_and_stops_at_one(probability: float, value: float, expected: float) -> None:
    assert advice.priority(probability, value) == expected


@pytest.mark.parametrize(
    ("probability", "level"),
    [(0.0, "low"), (0.299999, "low"), (0.3, "medium"), (0.599999, "medium"), (0.6, "high"), (1.0, "high")],
)
def test_risk_level__bounds__belong_to_the_upper_level(probability: float, level: str) -> None:
    assert advice.risk_level(probability) == level


@given(CHANCES)
def test_risk_bounds__any_probability__lies_in_the_bounds_of_its_level(probability: float) -> None:
    start, end = advice.risk_bounds(advice.risk_level(probability))
    assert start is None or probability >= start
    assert end is None or probability < end


@pytest.mark.parametrize(("probability", "threshold", "label"), [(0.5, 0.5, "Churn"), (0.49, 0.5, "Not Churn"), (0.49, 0.4, "Churn")])
def test_churn_label__threshold__churn_from_it_on(probability: float, threshold: float, label: str) -> None:
    assert advice.churn_label(probability, threshold) == label


@pytest.mark.parametrize(
    ("probability", "value", "idle", "words"),
    [
        (0.8, 5000.01, 0, "Immediate VIP manager call + exclusive bonus package"),
        (0.8, 5000, 0, "Priority support call + personalized offer"),
        (0.8, 1000.01, 0, "Priority support call + personalized offer"),
        (0.8, 1000, 30, "Urgent retention campaign + free spins"),
        (0.79, 9000, 8, "Re-engagement campaign with comeback bonus"),
        (0.6, 10, 8, "Re-engagement campaign with comeback bonus"),
        (0.6, 10, 7, "Offer targeted promotion based on preferences"),
        (0.8, 1000, 90, "Urgent retention campaign + free spins"),
        (0.8, 1000, 91, "One low-cost win-back, then leave in peace"),
        (0.6, 10, 91, "One low-cost win-back, then leave in peace"),
        (0.8, 1000.01, 91, "Priority support call + personalized offer"),
        (0.8, 9.99, 1, "No contact worth its cost"),
        (0.99, 3, 357, "No contact worth its cost"),
        (0.6, 0, 8, "No contact worth its cost"),
        (0.59, 0, 200, "Reminder of favourite games + missions"),
        (0.59, 1001, 0, "Personal check-in + loyalty reward"),
        (0.3, 1000, 8, "Reminder of favourite games + missions"),
        (0.3, 1000, 7, "Missions and regular newsletter"),
        (0.29, 1001, 0, "Recognition without a bonus: tier news and early access"),
        (0.0, 0, 0, "No action: regular communication"),
    ],
)
def test_retention_recommendation__every_range__its_words(probability: float, value: float, idle: int, words: str) -> None:
    assert advice.retention_recommendation(probability, value, idle) == words


@pytest.mark.parametrize(("alive", "shown"), [(None, None), (1.0, None), (0.999, 0.999), (0.0, 0.0)])
def test_still_customer__no_repeat_deposit__says_nothing(alive: float | None, shown: float | None) -> None:
    assert advice.still_customer(alive) == shown


def test_churn_recommendations__sums_of_some_groups__all_in_order_of_urgency() -> None:
    found = advice.churn_recommendations({"win_back": advice.Sum(2, 30.0), "urgent_action": advice.Sum(1, 700.5)})
    assert [(one.type, one.user_count, one.estimated_impact) for one in found] == [
        ("urgent_action", 1, 700.5),
        ("retention_campaign", 0, 0.0),
        ("engagement_boost", 0, 0.0),
        ("win_back", 2, 30.0),
        ("no_contact", 0, 0.0),
    ]
    assert found[3].action == "One low-cost win-back, then leave in peace"


@pytest.mark.parametrize(("probability", "value", "impact"), [(0.75, 2500, 1875.0), (0.0, 100, 0.0), (0.5, -40, 0.0)])
def test_estimated_impact__expected_loss__never_negative(probability: float, value: float, impact: float) -> None:
    assert advice.estimated_impact(probability, value) == impact


@pytest.mark.parametrize(
    ("value", "segment", "offer"),
    [
        (499.99, "low_value", "Offer premium membership"),
        (500, "medium_value", "Offer premium membership"),
        (999.99, "medium_value", "Offer premium membership"),
        (1000, "high_value", "Promote live tournaments"),
        (-5, "low_value", "Offer premium membership"),
    ],
)
def test_value_segment__bounds__segment_and_cross_sell(value: float, segment: str, offer: str) -> None:
    assert (advice.value_segment(value), advice.cross_sell(value)) == (segment, offer)


@given(VALUES)
def test_value_bounds__any_value__lies_in_the_bounds_of_its_segment(value: float) -> None:
    start, end = advice.value_bounds(advice.value_segment(value))
    assert start is None or value >= start
    assert end is None or value < end


@pytest.mark.parametrize(("score", "label"), [(0.8, "Not Fraud"), (0.81, "Fraud"), (1.0, "Fraud"), (0.0, "Not Fraud")])
def test_fraud_label__threshold__fraud_above_it(score: float, label: str) -> None:
    assert advice.fraud_label(score) == label


@pytest.mark.parametrize(
    ("severity", "word"),
    [(0, "none"), (0.01, "low"), (0.3, "low"), (0.31, "medium"), (0.6, "medium"), (0.61, "high"), (0.8, "high"), (0.81, "critical")],
)
def test_severity_word__bands_of_the_abuse_score(severity: float, word: str) -> None:
    assert advice.severity_word(severity) == word


def test_fraud_type_word__kinds__words_and_none() -> None:
    assert advice.fraud_type_word("IMMEDIATE_WITHDRAWAL") == "Payment Fraud"
    assert advice.fraud_type_word("") is None
    assert advice.fraud_type_word("CARD_TESTING") == "Card Testing"


def test_fraud_confidence__with_and_without_outcomes__says_which() -> None:
    assert advice.fraud_confidence(0.9, 0.7, 0.6, (0.85, 0.95), 0.8) == (0.9, "outcomes")
    assert advice.fraud_confidence(0.2, 0.7, 0.6, (0.1, 0.3), 0.8) == (0.8, "outcomes")
    confidence, basis = advice.fraud_confidence(0.9, 0.7, 0.6, (0.0, 1.0), 0.8)
    assert (round(confidence, 9), basis) == (0.9, "agreement")


@pytest.mark.parametrize(("score", "group"), [(0.81, "review"), (0.8, "watch"), (0.41, "watch"), (0.4, None)])
def test_fraud_group__threshold_and_half_of_it(score: float, group: str | None) -> None:
    assert advice.fraud_group(score) == group


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (0.51, ("Engaged", "VIP rewards", "Invite to exclusive tournament")),
        (0.5, ("Not Engaged", "Re-engagement email", "Offer free spins on new slot game")),
    ],
)
def test_engagement__threshold__prediction_eligibility_and_trigger(score: float, words: tuple[str, str, str]) -> None:
    found = (advice.engagement_prediction(score), advice.campaign_eligibility(score), advice.engagement_trigger(score))
    assert found == words
    assert advice.TIMEFRAME == "next 7 days"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("reengage", "Send re-engagement emails"),
        ("vip", "Offer exclusive VIP rewards"),
        ("retention", "Standard retention campaign"),
        ("onboarding", "Provide onboarding bonuses"),
    ],
)
def test_segment_recommendation__the_four_groups(key: str, words: str) -> None:
    assert advice.segment_recommendation(key) == words


def test_segment_recommendation__unknown_group__is_a_fault() -> None:
    with pytest.raises(KeyError):
        advice.segment_recommendation("whales")


def test_segment_words__clusters_and_named_segments__are_those_of_the_models() -> None:
    assert set(advice.SEGMENT_RECOMMENDATIONS) == {segmentation_names.key(number) for number in range(8)}
    assert set(advice.RFM_RECOMMENDATIONS) == set(rfm.SEGMENTS)


def test_other_recommendations__sums__counts_and_money_where_there_is_some() -> None:
    values = advice.value_recommendations({"high_value": Sum(2, 5000.0)})
    assert [(one.type, one.user_count, one.estimated_impact) for one in values] == [
        ("high_value", 2, 5000.0),
        ("medium_value", 0, 0.0),
        ("low_value", 0, 0.0),
    ]
    assert [one.estimated_impact for one in advice.fraud_recommendations({"review": Sum(1, 0.0)})] == [None, None]
    assert [one.user_count for one in advice.engagement_recommendations({"not_engaged": Sum(7)})] == [0, 7]
    (group,) = advice.segment_recommendations([("High rollers", "vip", Sum(3, 9000.0))])
    assert (group.action, group.group, group.user_count) == ("Offer exclusive VIP rewards", "High rollers", 3)


@given(st.dictionaries(st.text(max_size=5), st.floats(-1e6, 1e6), max_size=8))
def test_normalized__any_contributions__shares_that_sum_to_one(importance: dict[str, float]) -> None:
    shares = advice.normalized(importance)
    if any(importance.values()):
        assert sum(shares.values()) == pytest.approx(1.0)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
    else:
        assert shares == {}
