"""Players who are excluded or closed are neither lost nor engaged; who must be asked before being profiled was."""

from datetime import timedelta

import pytest
from constance import config

from players.models import Exclusion, Jurisdiction, JurisdictionPack, Player, Protection
from predictions import eligibility, selectors, services
from predictions.models import ChurnScore, EngagementScore, FraudScore, Kind, PastCase, ScorePoint, SegmentScore, ValueScore
from rewards.facts import load_facts
from tests.factories import NOW
from tests.predictions.scoring.models import all_champions
from tests.predictions.scoring.world import fill, predict

pytestmark = pytest.mark.django_db

FACTS = ("churn_probability", "churn_risk", "engagement_probability", "predicted_value")


def exclude(player_id, starts_at, ends_at=None):
    Exclusion.objects.create(player_id=player_id, kind="SELF_EXCLUSION", starts_at=starts_at, ends_at=ends_at, recorded_at=starts_at)


def night(player_count=60):
    """Scores with the first two players excluded and closed, the third and fourth excluded at another time."""
    ids = fill(player_count)
    all_champions()
    exclude(ids[0], NOW - timedelta(days=1))
    Player.objects.filter(pk=ids[1]).update(status="CLOSED")
    exclude(ids[2], NOW - timedelta(days=9), NOW)
    exclude(ids[3], NOW + timedelta(days=1))
    predict()
    return ids


def test_predict__excluded_and_closed__have_no_churn_and_no_engagement():
    ids = night()
    for model in (ChurnScore, EngagementScore):
        assert list(model.objects.order_by("player_id").values_list("player_id", flat=True)) == ids[2:]
    for model in (ValueScore, FraudScore, SegmentScore):
        assert list(model.objects.order_by("player_id").values_list("player_id", flat=True)) == ids
    weighted = dict(ValueScore.objects.values_list("player_id", "churn_adjusted"))
    assert {player for player, value in weighted.items() if value is None} == set(ids[:2])
    assert not ScorePoint.objects.filter(kind__in=[Kind.CHURN, Kind.ENGAGEMENT], player__in=ids[:2]).exists()
    assert selectors.summary(Kind.CHURN)["players"] == sum(one["players"] for one in selectors.histogram(Kind.CHURN)) == 58
    assert selectors.summary(Kind.LTV)["without_unit"] == {}


def test_predict__excluded_and_closed__leave_the_others_scores_as_they_were():
    ids = fill()
    all_champions()
    predict()
    before = {row.player_id: (row.probability, row.value, row.idle_days) for row in ChurnScore.objects.all()}
    exclude(ids[0], NOW + timedelta(hours=1))
    Player.objects.filter(pk=ids[30]).update(status="CLOSED")
    predict(NOW + timedelta(hours=2))
    after = {row.player_id: (row.probability, row.value, row.idle_days) for row in ChurnScore.objects.filter(run__is_current=True)}
    assert after == {player: row for player, row in before.items() if player not in (ids[0], ids[30])}


def test_reasons__excluded_and_closed__are_kept_of_none():
    config.PREDICTION_REASONS_FOR = 1000
    ids = night()
    assert set(ChurnScore.objects.exclude(reasons=[]).values_list("player_id", flat=True)) <= set(ids[2:])


def test_facts__excluded_and_closed__have_no_value():
    ids = night()
    table = load_facts(FACTS, NOW, player_ids=ids[:3])
    found = {player: [table.value(name, row) is None for name in FACTS] for row, player in enumerate(table.player_ids.tolist())}
    assert found == {ids[0]: [True, True, True, False], ids[1]: [True, True, True, False], ids[2]: [False] * 4}


def test_score_player__excluded_or_closed__withholds_with_the_reason():
    ids = night()
    for player in ids[:2]:
        scored = services.score_player(player, NOW)
        assert set(scored.scores) == {Kind.LTV, Kind.FRAUD, Kind.SEGMENTATION}
        assert scored.withheld == {Kind.CHURN: eligibility.NOT_FREE, Kind.ENGAGEMENT: eligibility.NOT_FREE}
        assert scored.scores[Kind.LTV]["churn_adjusted"] is None
        assert services.what_if(player, {"sessions_30d": 9}, NOW).after.withheld == scored.withheld
    assert services.score_player(ids[2], NOW).withheld == {}


def test_explanations__excluded_or_closed__say_why_there_are_none():
    ids = night(80)
    for player in ids[:2]:
        for ask in (
            lambda player=player: services.explain_player(Kind.CHURN, player),
            lambda player=player: services.explain_player(Kind.ENGAGEMENT, player),
            lambda player=player: services.counterfactual(player),
            lambda player=player: services.similar_cases(player),
        ):
            with pytest.raises(services.Unavailable, match="excluded or the account is closed"):
                ask()
    assert services.explain_player(Kind.FRAUD, ids[0]).raw


def test_explain__closed_since_the_run__still_explains_the_score_that_is_shown():
    ids = night()
    Player.objects.filter(pk=ids[5]).update(status="CLOSED")
    assert services.explain_player(Kind.CHURN, ids[5]).reasons


def ask_consent(player_ids, given_by=()):
    market = Jurisdiction.objects.create(code="DE", name="Germany")
    first = NOW.date() - timedelta(days=30)
    JurisdictionPack.objects.create(jurisdiction=market, valid_from=first - timedelta(days=30), scores_need_profiling_consent=False)
    JurisdictionPack.objects.create(jurisdiction=market, valid_from=first, scores_need_profiling_consent=True)
    Player.objects.filter(pk__in=player_ids).update(jurisdiction=market)
    for player in given_by:
        Protection.objects.create(player_id=player, profiling_consent=True)


def test_predict__market_asks_for_consent__only_fraud_of_who_has_not_given_it():
    ids = fill(60)
    all_champions()
    ask_consent(ids[:3], given_by=ids[1:2])
    predict()
    for model in (ChurnScore, EngagementScore, ValueScore, SegmentScore):
        assert list(model.objects.order_by("player_id").values_list("player_id", flat=True)) == [ids[1], *ids[3:]]
    assert list(FraudScore.objects.order_by("player_id").values_list("player_id", flat=True)) == ids
    assert selectors.summary(Kind.LTV)["without_unit"] == {}
    scored = services.score_player(ids[0], NOW)
    assert set(scored.scores) == {Kind.FRAUD}
    assert set(scored.withheld.values()) == {eligibility.NOT_CONSENTED}
    with pytest.raises(services.Unavailable, match="asks for consent"):
        services.explain_player(Kind.LTV, ids[0])


def test_consent__taken_back_after_the_run__single_answers_stop_at_once_and_history_the_next_night():
    ids = fill(80)
    all_champions()
    ask_consent(ids[:40], given_by=ids[:40])
    predict()
    assert services.explain_player(Kind.LTV, ids[0]).reasons
    similar = services.similar_cases(ids[79], 79)
    assert set(ids[:40]) & {case.player_id for case in similar}
    Protection.objects.filter(player_id__in=ids[:40]).update(profiling_consent=False)
    for ask in (
        lambda: services.explain_player(Kind.LTV, ids[0]),
        lambda: services.counterfactual(ids[0]),
        lambda: services.similar_cases(ids[0]),
    ):
        with pytest.raises(services.Unavailable, match="asks for consent"):
            ask()
    assert services.explain_player(Kind.FRAUD, ids[0]).raw
    assert {case.player_id for case in services.similar_cases(ids[79], 79)} <= set(ids[40:])
    predict(NOW + timedelta(days=1))
    assert set(ScorePoint.objects.filter(player_id__in=ids[:40]).values_list("kind", flat=True)) == {Kind.FRAUD}
    assert set(PastCase.objects.filter(run__is_current=True).values_list("player_id", flat=True)) <= set(ids[40:])


def test_predict__rules_that_ask_begin_tomorrow__everybody_is_scored():
    ids = fill(60)
    all_champions()
    market = Jurisdiction.objects.create(code="DE", name="Germany")
    JurisdictionPack.objects.create(jurisdiction=market, valid_from=NOW.date() + timedelta(days=1), scores_need_profiling_consent=True)
    Player.objects.update(jurisdiction=market)
    predict()
    assert EngagementScore.objects.count() == ValueScore.objects.count() == len(ids)
