"""One player, a described person, what-if, explanations and similar cases: the same figures as the night's."""

import subprocess
import sys
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from players.models import Payment, Player
from predictions import features, registry, selectors, services, wording
from predictions.ml.features import FEATURE_NAMES
from predictions.models import Kind, PastCase
from predictions.selectors import SCORES
from tests.cache import forget_cached
from tests.factories import NOW, PlayerFactory
from tests.predictions.scoring.models import MODELS, all_champions, champion
from tests.predictions.scoring.world import fill, predict

pytestmark = pytest.mark.django_db


def stored(player_id):
    found = selectors.score_of(player_id)
    left_out = {"id", "run_id", "player_id", "reasons", "_state"}
    return {kind: {name: value for name, value in vars(row).items() if name not in left_out} for kind, row in found.items()}


def close(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, float):
            assert other[name] == pytest.approx(value, rel=1e-12, abs=1e-15)
        else:
            assert other[name] == value


def test_score_player__every_player__is_what_the_run_stored():
    ids = fill()
    all_champions()
    predict()
    for player in ids[::7]:
        scored = services.score_player(player, NOW)
        assert scored.withheld == {}
        kept = stored(player)
        assert scored.scores.keys() == kept.keys() == set(SCORES)
        for kind in kept:
            close(kept[kind], scored.scores[kind])


def test_what_if__nothing_changed__is_what_the_run_stored():
    ids = fill()
    all_champions()
    predict()
    answer = services.what_if(ids[6], {}, NOW)
    assert answer.changed == {}
    assert answer.before == answer.after
    for kind, row in stored(ids[6]).items():
        close(row, answer.after.scores[kind])
    same = services.what_if(ids[6], {"sessions_30d": answer.before.features["sessions_30d"]}, NOW)
    assert same.after == answer.after


def test_what_if__more_sessions__lowers_churn_and_says_what_moved():
    ids = fill()
    all_champions()
    predict()
    before = services.score_player(ids[6], NOW)
    answer = services.what_if(ids[6], {"sessions_30d": before.features["sessions_30d"] + 20}, NOW)
    assert answer.after.scores[Kind.CHURN]["probability"] < answer.before.scores[Kind.CHURN]["probability"]
    assert answer.changed["sessions_30d"] == (before.features["sessions_30d"], before.features["sessions_30d"] + 20)
    assert answer.changed["sessions_90d"][1] == answer.changed["sessions_90d"][0] + 20
    assert answer.reasons_after[Kind.CHURN][0].label


def test_what_if__figure_taken_away__is_told_as_not_known_and_not_as_never(monkeypatch):
    ids = fill()
    all_champions()
    predict()
    name = "days_since_last_activity"
    player = next(one for one in ids if services.score_player(one, NOW).features[name] is not None)
    told, in_words = [], wording.in_words
    monkeypatch.setattr(wording, "in_words", lambda *given, not_told: told.append(list(not_told)) or in_words(*given, not_told=not_told))
    answer = services.what_if(player, {name: None}, NOW)
    assert answer.changed[name][1] is None
    kinds = len(answer.after.scores)
    assert told[:kinds] == [[]] * kinds  # before
    assert all(name in one for one in told[kinds:])
    assert len(told) == 2 * kinds


def test_what_if__amounts__are_in_the_players_currency():
    ids = fill()
    all_champions(without=(Kind.FRAUD,))
    player = next(one for one in ids if Player.objects.get(pk=one).currency == "JPY")
    unit = features.currency_units(NOW)["JPY"]
    answer = services.what_if(player, {"deposits_90d": 10 * unit}, NOW)
    assert answer.after.features["deposits_90d"] == pytest.approx(10)
    assert answer.after.currency == "JPY"
    assert set(answer.after.withheld) == {Kind.FRAUD}


def test_what_if__nobody__scores_the_description_alone():
    fill()
    all_champions()
    answer = services.what_if(None, {"days_since_last_activity": 3, "sessions_30d": 4}, NOW)
    assert answer.before is None
    assert answer.after.player_id is None
    assert answer.after.currency == ""
    assert set(answer.after.withheld) == {Kind.FRAUD}
    assert 0 < answer.after.scores[Kind.CHURN]["probability"] < 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"sesions_30d": 3}, "sesions_30d"), ({"sessions_30d": "many"}, "sessions_30d"), ({"sessions_30d": float("nan")}, "sessions_30d"),
     ({"sessions_30d": float("inf")}, "sessions_30d"), ({"sessions_30d": -1}, "sessions_30d"), ({"sessions_30d": 1.5}, "sessions_30d"),
     ({"weekend_share": 1.1}, "weekend_share"), ({"sessions_30d": True}, "sessions_30d"), ({"deposits_90d": 10**400}, "deposits_90d")],
)  # fmt: skip
def test_what_if__figure_that_cannot_be__is_refused_by_name(changes, field):
    ids = fill(20)
    all_champions()
    for player in (ids[6], None):
        with pytest.raises(services.InvalidProfile) as caught:
            services.what_if(player, changes, NOW)
        assert set(caught.value.errors) == {field}


def test_explain__current_run__adds_up_to_the_stored_score():
    ids = fill()
    all_champions()
    predict()
    explained = services.explain_player(Kind.CHURN, ids[6])
    assert explained.as_of == NOW
    assert explained.base + sum(one.contribution for one in explained.reasons) == pytest.approx(explained.raw, abs=1e-4)
    probability = selectors.score_of(ids[6])[Kind.CHURN].probability
    frame = features.frame_for([ids[6]], NOW)
    assert explained.raw == pytest.approx(float(MODELS[Kind.CHURN].raw(frame)[0]))
    assert probability == pytest.approx(float(MODELS[Kind.CHURN].probability(frame)[0]))
    assert sum(explained.importance.values()) == pytest.approx(1)
    assert {one.feature for one in explained.reasons} == set(MODELS[Kind.CHURN].features)


def test_explain__withheld_kind__says_why():
    ids = fill()
    all_champions(without=(Kind.CHURN,))
    predict()
    with pytest.raises(services.Unavailable, match="No model has been trained yet"):
        services.explain_player(Kind.CHURN, ids[0])


def test_explain__promotion_since__explains_by_the_version_that_scored():
    ids = fill()
    versions = all_champions()
    predict()
    champion(Kind.CHURN, type(MODELS[Kind.CHURN])("other", ("devices",), (9.0,), 0.0))
    assert services.explain_player(Kind.CHURN, ids[0]).version_id == versions[Kind.CHURN].pk


def other_churn():
    return champion(Kind.CHURN, type(MODELS[Kind.CHURN])("other", ("devices",), (9.0,), 0.0))


def test_what_if__promotion_since__starts_from_the_figure_that_is_shown():
    ids = fill()
    versions = all_champions()
    predict()
    other = other_churn()
    shown = selectors.score_of(ids[6])[Kind.CHURN].probability
    answer = services.what_if(ids[6], {"sessions_30d": 30}, NOW)
    assert answer.before.scores[Kind.CHURN]["probability"] == shown
    assert answer.before.versions[Kind.CHURN] == versions[Kind.CHURN].pk
    assert {one.feature for one in answer.reasons_before[Kind.CHURN]} <= set(MODELS[Kind.CHURN].features)
    # the control: at an instant that is not shown it is the model in use
    assert services.score_player(ids[6], NOW + timedelta(hours=1)).versions[Kind.CHURN] == other.pk


def test_counterfactual__promotion_since__begins_at_the_figure_that_is_shown():
    fill()
    all_champions()
    predict()
    risky = SCORES[Kind.CHURN].objects.order_by("-probability").first()
    other_churn()
    found = services.counterfactual(risky.player_id, target=risky.probability - 0.05)
    assert found.before == pytest.approx(risky.probability)
    assert found.after < risky.probability - 0.05


def test_on_demand__version_of_the_run_cannot_be_opened__says_so(model_folder):
    ids = fill()
    versions = all_champions()
    predict()
    other_churn()
    (model_folder / versions[Kind.CHURN].artifact).write_bytes(b"something else")
    registry.forget_opened()
    scored = services.score_player(ids[6], NOW)
    assert "The model cannot be opened" in scored.withheld[Kind.CHURN]
    assert f"The scores shown come from {versions[Kind.CHURN]}." in scored.withheld[Kind.CHURN]
    assert Kind.CHURN not in scored.scores
    for ask in (lambda: services.explain_player(Kind.CHURN, ids[6]), lambda: services.counterfactual(ids[6])):
        with pytest.raises(services.Unavailable, match="cannot be opened"):
            ask()


def test_on_demand__file_damaged_while_the_model_is_open__withheld_within_seconds(model_folder, monkeypatch):
    ids = fill()
    versions = all_champions()
    predict()
    profile = {"sessions_30d": 3}
    asks = (
        lambda: services.score_profile(Kind.CHURN, profile),
        lambda: services.explain_player(Kind.CHURN, ids[6]),
        lambda: services.counterfactual(ids[6]),
    )
    for ask in asks:
        ask()
    (model_folder / versions[Kind.CHURN].artifact).write_bytes(b"something else")
    now = registry.monotonic()
    monkeypatch.setattr(registry, "monotonic", lambda: now + registry.FILE_TRUSTED_SECONDS)
    for ask in asks:
        with pytest.raises(services.Unavailable, match="cannot be opened"):
            ask()
    assert services.score_profile(Kind.LTV, profile)  # the others go on


def test_on_demand__deposits_of_another_size_since__keeps_the_units_of_the_run():
    ids = fill()
    all_champions()
    predict()
    run = selectors.current_run()
    kept = {kind: row.value for kind, row in selectors.score_of(ids[6]).items() if kind == Kind.LTV}
    # whoever wrote these into the past moved the median, but not the features of this player
    other = next(one for one in ids if Player.objects.get(pk=one).currency == Player.objects.get(pk=ids[6]).currency and one != ids[6])
    Payment.objects.bulk_create(
        Payment(
            player_id=other, external_id=f"late{n}", kind="DEPOSIT", status="COMPLETED", amount=9_000, occurred_at=NOW - timedelta(days=9)
        )
        for n in range(3_000)
    )
    forget_cached()
    currency = Player.objects.get(pk=ids[6]).currency
    assert features.currency_units(NOW)[currency] != run.units[currency]
    scored = services.score_player(ids[6], NOW)
    assert scored.scores[Kind.LTV]["value"] == kept[Kind.LTV]
    assert scored.currency_unit == run.units[currency]
    with CaptureQueriesContext(connection) as queries:
        services.score_profile(Kind.LTV, {"deposits_90d": 400, "currency": currency})
    assert not any("percentile_cont" in one["sql"] for one in queries.captured_queries)


def test_explain__value__adds_up_in_the_currency_of_the_player():
    ids = fill()
    all_champions()
    predict()
    explained = services.explain_player(Kind.LTV, ids[6])
    row = selectors.score_of(ids[6])[Kind.LTV]
    unit = services.money_unit(selectors.current_run(), row.currency)
    assert (explained.currency, unit.currency) == (row.currency, row.currency)
    frame = features.frame_for([ids[6]], NOW)
    found = MODELS[Kind.LTV].explain(frame)
    assert unit.amount == frame["currency_unit"].iloc[0] != 1
    assert explained.base == pytest.approx(float(found.base[0]) * unit.amount)
    assert explained.base + sum(one.contribution for one in explained.reasons) == pytest.approx(explained.raw, rel=1e-4)
    told = next(one for one in explained.reasons if one.amount is not None)
    assert told.amount == Decimal(repr(told.value * unit.amount)).quantize(Decimal("0.0001"))
    assert f"{told.amount:,.2f} {row.currency}" in told.words


def test_score_profile__missing_figure__is_not_known_and_never_no_activity_yet():
    fill()
    all_champions()
    answer = services.score_profile(Kind.CHURN, {"sessions_30d": 1})
    assert not any("yet" in one.words for one in answer.reasons)


def test_score_profile__churn__lists_what_is_missing():
    fill()
    all_champions()
    answer = services.score_profile(Kind.CHURN, {"days_since_last_activity": 12, "sessions_30d": 1})
    assert answer.missing == ["deposit_count_90d"]
    assert 0 < answer.answer["probability"] < 1
    assert answer.reasons[0].feature == "days_since_last_activity"


def test_score_profile__amounts_in_a_currency__are_brought_to_units():
    fill()
    all_champions()
    unit = features.currency_units(NOW)["EUR"]
    plain = services.score_profile(Kind.LTV, {"deposits_90d": 4})
    in_euro = services.score_profile(Kind.LTV, {"deposits_90d": 4 * unit, "currency": "EUR"})
    assert in_euro.answer["value"] == (plain.answer["value"] * Decimal(repr(unit))).quantize(Decimal("0.0001"))
    with pytest.raises(services.InvalidProfile, match="too few deposits in SEK"):
        services.score_profile(Kind.LTV, {"deposits_90d": 4, "currency": "SEK"})


def test_score_player__not_registered_yet__is_unavailable():
    fill()
    all_champions()
    late = PlayerFactory(registered_at=NOW + timedelta(days=2))
    with pytest.raises(services.Unavailable, match="was not registered"):
        services.score_player(late.pk, NOW)
    with pytest.raises(Player.DoesNotExist):
        services.score_player(10**12, NOW)


def test_counterfactual__visits__bring_the_probability_below_the_target():
    ids = fill()
    all_champions()
    predict()
    risky = SCORES[Kind.CHURN].objects.order_by("-probability").first()
    found = services.counterfactual(risky.player_id, target=risky.probability - 0.05)
    assert found.after < risky.probability - 0.05
    safe = SCORES[Kind.CHURN].objects.order_by("probability").first()
    assert services.counterfactual(safe.player_id, target=0.99) is None
    assert ids


def test_similar_cases__player__finds_who_looked_alike_and_what_became_of_them():
    ids = fill(80)
    all_champions()
    predict()
    description = selectors.current_run().summary["cases"]
    assert description["features"] == ["days_since_last_activity", "sessions_30d", "deposit_count_90d"]
    assert description["value_days"] == 90
    cases = services.similar_cases(ids[6], count=4)
    assert len(cases) == 4
    assert [one.distance for one in cases] == sorted(one.distance for one in cases)
    assert ids[6] not in [one.player_id for one in cases]
    outcome = features.labels(ids[0], ids[-1] + 1, cases[0].cutoff, 30, NOW)
    frame = features.frame(ids[0], ids[-1] + 1, cases[0].cutoff)
    for case in cases:
        assert case.churned == bool(outcome.at[case.player_id, "churned"])
        assert float(case.value) == pytest.approx(
            outcome.at[case.player_id, "ngr_90d"] * frame.at[case.player_id, "currency_unit"], abs=1e-4
        )
    nearest = next(one for one in cases[0].compared if one.label == "sessions in 30 days")
    assert nearest.theirs == frame.at[cases[0].player_id, "sessions_30d"]
    assert nearest.theirs_told == f"{nearest.theirs:,.0f}"
    assert PastCase.objects.count() == description["count"]


def test_similar_cases__history_too_short__says_so():
    ids = fill(40)  # fewer than make a comparison
    all_champions()
    predict()
    with pytest.raises(services.Unavailable, match="past cases"):
        services.similar_cases(ids[6])


def test_imports__web_processes__load_no_learning_library():
    code = (
        "import django; django.setup()\n"
        "import sys\n"
        "import predictions.services, predictions.selectors, predictions.hooks, predictions.tasks, predictions.wording\n"
        "import fraud.prediction_evidence, rewards.facts\n"
        "print(sorted({'sklearn', 'lightgbm', 'joblib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_features__of_a_scored_player__are_all_named():
    ids = fill(20)
    all_champions()
    assert tuple(services.score_player(ids[6], NOW).features) == FEATURE_NAMES
