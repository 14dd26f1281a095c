"""What other parts of the product get from a scoring run, and what they give to it."""

from datetime import timedelta
from decimal import Decimal

import pandas as pd
import pytest
from constance import config
from django.db import connection, transaction

from fraud.models import AbuseSignal, AccountLink, ReviewFlag
from loyalty_site.nightly import NIGHTLY
from players.imports import hooks as import_hooks
from players.models import Player
from predictions import hooks, selectors
from predictions.ml import cases
from predictions.models import ChurnScore, EngagementScore, FraudScore, Kind, PastCase, ScorePoint, SegmentScore, ValueScore
from predictions.selectors import SCORES
from rewards.facts import load_facts
from rewards.rules.facts import CATALOGUE
from tests.factories import NOW, UserFactory
from tests.predictions.scoring.models import all_champions
from tests.predictions.scoring.world import fill, predict

pytestmark = pytest.mark.django_db

FACTS = ("churn_probability", "churn_risk", "predicted_value", "engagement_probability", "rfm_segment", "predicted_cluster")


def facts_of(player_id, as_of=NOW):
    table = load_facts(FACTS, as_of, player_ids=[player_id])
    return {name: table.value(name, 0) for name in FACTS}


def test_facts__published_run__are_its_scores():
    ids = fill()
    all_champions()
    predict()
    for player in ids[::9]:
        churn, value = ChurnScore.objects.get(player=player), ValueScore.objects.get(player=player)
        segment, engagement = SegmentScore.objects.get(player=player), EngagementScore.objects.get(player=player)
        p = churn.probability
        assert facts_of(player) == {
            "churn_probability": Decimal(repr(p)).quantize(Decimal("0.000001")),
            "churn_risk": "high" if p >= 0.6 else "medium" if p >= 0.3 else "low",
            "predicted_value": value.value,
            "engagement_probability": Decimal(repr(engagement.probability)).quantize(Decimal("0.000001")),
            "rfm_segment": segment.rfm_segment,
            "predicted_cluster": segment.cluster,
        }
    table = load_facts(FACTS, NOW)
    assert set(table.columns["rfm_segment"].categories) == {"Champions", "Can't Lose Them"}


def test_facts__bands__follow_the_settings():
    ids = fill(20)
    all_champions()
    predict()
    p = ChurnScore.objects.get(player=ids[3]).probability
    config.RISK_HIGH_FROM = Decimal(repr(p))
    assert facts_of(ids[3])["churn_risk"] == "high"
    config.RISK_MEDIUM_FROM = config.RISK_HIGH_FROM = Decimal(repr(p)) + Decimal("0.001")
    assert facts_of(ids[3])["churn_risk"] == "low"


def test_facts__no_run__are_unknown_and_never_zero():
    ids = fill(20)
    assert facts_of(ids[0]) == dict.fromkeys(FACTS)
    assert all(CATALOGUE[name].nullable for name in FACTS)


def test_facts__withheld_kind__is_unknown():
    ids = fill(60)
    all_champions(without=(Kind.CHURN, Kind.LTV))
    predict()
    found = facts_of(ids[1])  # in euro, of which there are deposits enough to know a typical one
    assert {name for name, value in found.items() if value is None} == {"churn_probability", "churn_risk", "predicted_value"}


def test_facts__instant_before_the_run__knows_nothing_of_it():
    ids = fill(20)
    all_champions()
    predict()
    assert facts_of(ids[0], NOW - timedelta(seconds=1)) == dict.fromkeys(FACTS)
    assert facts_of(ids[0], NOW)["churn_risk"] is not None


def test_nightly__stages__score_after_the_detectors_and_before_rewards():
    stages = NIGHTLY.stages
    place = stages.index("predictions.score")
    # after the detectors, whose findings the fraud score reads, and before the rules, which read the scores
    assert stages[place - 2 : place + 4] == (
        "fraud.links",
        "fraud.signals",
        "predictions.score",
        "predictions.prepare",
        "predictions.publish",
        "rewards.tier_points",
    )
    assert stages[-2:] == ("predictions.prune", "predictions.prune_artifacts")
    assert place < stages.index("rewards.evaluate")


def test_undone_import__players_it_created__leave_no_prediction():
    ids = fill()
    all_champions()
    predict()
    before = selectors.current_run()
    gone = [one for one in ids if PastCase.objects.filter(player=one).exists()][:2]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE undone_player ON COMMIT DROP AS SELECT unnest(%s::bigint[]) AS player_id", [gone])
        import_hooks.run_undo_cleaners(cursor)
        run = selectors.current_run()
        for kind in SCORES:
            assert selectors.summary(kind, run)["players"] == selectors.scores(kind, run).count() == len(ids) - len(gone)
        assert run.summary["cases"]["count"] == PastCase.objects.filter(run=run).count()
        assert (run.revision, run.units) == (1, before.units)
        assert run.summary["drift"] == before.summary["drift"]
        for model in (*SCORES.values(), ScorePoint, PastCase):
            assert not model.objects.filter(player__in=gone).exists()
            assert model.objects.exclude(player__in=gone).exists()
        cursor.execute("DROP TABLE undone_player")


def signal(player_id, kind, strength, **evidence):
    return AbuseSignal.objects.create(
        player_id=player_id, kind=kind, strength=Decimal(strength), first_seen_at=NOW, seen_at=NOW, evidence=evidence
    )


def test_fraud_evidence__signals_and_links__are_told_in_words():
    ids = fill(20)
    bonus = {"bonus_share_of_stake": 0.9, "bonus_days": 7, "deposit_count": 1, "stake": "10", "bonus_stake": "9", "net_deposits": "5",
             "grants": 2, "window_days": 90}  # fmt: skip
    luck = {"observed_return": 1.4, "expected_return": 0.95, "rounds": 5000, "records": 40, "z": 4.5, "p": 1e-6, "stake": "100",
            "payout": "140", "largest_surplus_left_out": "3", "window_days": 30}  # fmt: skip
    signal(ids[0], "BONUS_ONLY", "0.4", **bonus)
    signal(ids[0], "WIN_RATE", "0.9", **luck)
    for player, tokens in ((ids[0], ("d1", "d2")), (ids[1], ("d1",)), (ids[2], ("d2",)), (ids[3], ("d9",))):
        for token in tokens:
            AccountLink.objects.create(player_id=player, kind="DEVICE", token=token, uses=3, first_seen_at=NOW, last_seen_at=NOW)
    AccountLink.objects.create(player_id=ids[0], kind="IP", token="i1", uses=1, first_seen_at=NOW, last_seen_at=NOW)
    AccountLink.objects.create(player_id=ids[2], kind="IP", token="i1", uses=1, first_seen_at=NOW, last_seen_at=NOW)
    found = hooks.fraud_evidence([ids[0], ids[3], ids[4]])
    detail = found[ids[0]]
    name = dict(Player.objects.values_list("pk", "external_id"))
    assert (detail.fraud_type, detail.severity, detail.seen_at) == ("WIN_RATE", 0.9, NOW)
    assert [text.split(":")[0] for text in detail.suspicious_activity] == ["Abnormal win rate", "Bonus-only play"]
    assert detail.linked_accounts == (name[ids[2]], name[ids[1]])
    assert detail.shared_attributes == {name[ids[2]]: "device, network address", name[ids[1]]: "device"}
    assert found[ids[3]] == found[ids[4]] == hooks.FraudDetail()


def test_fraud_signals__of_a_range__reach_the_scores():
    ids = fill(20)
    signal(ids[5], "BONUS_ONLY", "0.25")
    signal(ids[5], "MULTI_ACCOUNT", "0.75")
    all_champions()
    predict()
    row = FraudScore.objects.get(player=ids[5])
    assert (row.fraud_type, row.severity) == ("MULTI_ACCOUNT", 0.75)


def test_fraud_outcomes__closed_reviews__are_cases_by_their_last_word():
    ids = fill(20)
    boss = UserFactory()
    closings = [(0, "CONFIRMED", 1), (1, "FALSE_POSITIVE", 1), (2, "INCONCLUSIVE", 1), (3, "CONFIRMED", 1), (3, "FALSE_POSITIVE", 2)]
    for number, status, day in closings:
        ReviewFlag.objects.create(
            player_id=ids[number],
            status=status,
            reason="x",
            flagged_at=NOW,
            score_at_flag=72,
            closed_at=NOW + timedelta(days=day),
            closed_by=boss,
        )
    ReviewFlag.objects.create(player_id=ids[4], reason="x", flagged_at=NOW)
    found = hooks.fraud_outcomes()
    assert found["confirmed"].to_dict() == {ids[0]: 1, ids[1]: 0, ids[3]: 0}
    assert found.loc[ids[3]].to_dict() == {
        "confirmed": 0,
        "opened_at": NOW,
        "decided_at": NOW + timedelta(days=2),
        "detectors": 0.72,
    }
    assert found.dtypes.to_dict() == cases.none().dtypes.to_dict()


def test_fraud_outcomes__no_review_closed__no_case():
    pd.testing.assert_frame_equal(hooks.fraud_outcomes(), cases.none())
