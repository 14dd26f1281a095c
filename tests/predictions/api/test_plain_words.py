"""What answers must not claim: that a kind is well, a player certain to stay, a value known, a file's secrets."""

import dataclasses
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from loyalty_site.common.clock import utc_now
from predictions import artifacts, gate, registry, selectors, services
from predictions.api import told
from predictions.api.kinds.base import shares
from predictions.models import Kind, ModelVersion
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory
from tests.predictions.api.factories import AS_OF, IMPORTANCE, REASONS, churn, ltv, make_run, make_version
from tests.predictions.api.test_players_and_models import DEPOSITOR, PURCHASES, REASON

pytestmark = pytest.mark.django_db

INTERNALS = ("joblib", "DJANGO", "SECRET", "database", "storage", "libraries", "lightgbm")


def kept(version: ModelVersion) -> ModelVersion:
    """The version with a file that is as it was written."""
    artifact = artifacts.write(version.kind, f"model {version.pk}".encode())
    facts = vars(artifact)
    facts = {"artifact": facts["name"], **{name: facts[name] for name in ("sha256", "signature", "size_bytes", "libraries")}}
    ModelVersion.objects.filter(pk=version.pk).update(**facts)
    version.refresh_from_db()
    return version


@pytest.fixture
def well(model_folder: Any) -> Any:
    """A published run, and a version in use with an intact file for every kind."""
    for kind in Kind.values:
        kept(make_version(kind))
    make_run(summary={"units": {"EUR": 20.0}})
    return model_folder


def health(api: KeyedClient) -> tuple[str, dict[str, tuple[str, str | None]]]:
    body = api.get("/predictions/health").json()
    return body["status"], {one["kind"]: (one["status"], one["reason"]) for one in body["kinds"]}


def test_health__every_file_intact__ok(api: KeyedClient, well: Any) -> None:
    status, kinds = health(api)
    assert (status, {one for one, _ in kinds.values()}) == ("ok", {"ok"})


def test_health__stale__degraded_though_every_kind_answers(api: KeyedClient, well: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors, "stale_since", lambda run: AS_OF)
    status, kinds = health(api)
    assert (status, {one for one, _ in kinds.values()}) == ("degraded", {"ok"})


@pytest.mark.parametrize("fault", ["altered", "missing", "deleted", "signed by another"])
def test_health__version_in_use_cannot_be_opened__degraded_and_the_cause_stays_inside(api: KeyedClient, well: Any, fault: str) -> None:
    rows = ModelVersion.objects.filter(kind=Kind.CHURN)
    file = well / rows.get().artifact
    if fault == "altered":
        file.write_bytes(b"x" * rows.get().size_bytes)
    elif fault == "missing":
        file.unlink()
    elif fault == "deleted":
        rows.update(artifact_deleted_at=utc_now())
    else:
        rows.update(signature="0" * 64)
    status, kinds = health(api)
    assert (status, kinds["churn"]) == ("degraded", ("degraded", told.CANNOT_BE_OPENED))
    assert kinds["ltv"] == ("ok", None)
    answer = api.post("/predictions/churn/score", {"features": {"sessions_30d": 2}})
    assert (answer.status_code, answer.json()["detail"]) == (409, told.CANNOT_BE_OPENED)
    assert not [word for word in INTERNALS if word in answer.content.decode()]


def test_health__profile_cannot_be_opened__withheld_as_nothing_of_it_is_stored(api: KeyedClient, well: Any) -> None:
    (well / ModelVersion.objects.get(kind=Kind.PROFILE).artifact).unlink()
    assert health(api)[1]["profile"] == ("withheld", told.CANNOT_BE_OPENED)


def test_player__model_cannot_be_opened__score_with_a_neutral_notice(api: KeyedClient, well: Any) -> None:
    churn(selectors.current_run(), PlayerFactory(external_id="P1"), 0.75)  # type: ignore[arg-type] # published by the fixture
    (well / ModelVersion.objects.get(kind=Kind.CHURN).artifact).write_bytes(b"planted")
    answer = api.get("/predictions/churn/players/P1")
    (result,), (notice,) = answer.json()["data"]["results"], answer.json()["errors"]
    assert (result["churn_probability"], result["feature_importance_of"]) == (0.75, "reasons")
    assert (notice["code"], notice["detail"]) == ("explanation-unavailable", told.CANNOT_BE_OPENED)
    assert "Ask the operator" in notice["remedy"]
    assert not [word for word in INTERNALS if word in str(notice)]


def test_ltv_score__model_cannot_be_opened__neutral(api: KeyedClient, well: Any) -> None:
    (well / ModelVersion.objects.get(kind=Kind.LTV).artifact).unlink()
    answer = api.post("/predictions/ltv/score", DEPOSITOR)
    assert (answer.status_code, answer.json()["detail"]) == (409, told.CANNOT_BE_OPENED)


def test_withheld_kind__of_a_file__neutral_everywhere(api: KeyedClient) -> None:
    inside = "Churn 1 is in use but cannot be opened. The file churn/a8.joblib is not what was written at training. Find out who wrote it."
    run = make_run(withheld={Kind.CHURN: inside})
    ltv(run, PlayerFactory(external_id="P1"), "5", churn_adjusted=None)
    page = api.get("/predictions/churn/predict")
    assert page.json()["data"]["metadata"]["withheld_reason"] == page.json()["errors"][0]["detail"] == told.CANNOT_BE_OPENED
    assert "Ask the operator" in page.json()["errors"][0]["remedy"]
    others = [api.get(path) for path in ("/predictions/churn/players/P1", "/predictions/ltv/predict?sort_by=churn_adjusted_ltv")]
    for answer in (page, *others, api.get("/predictions/health")):
        assert "joblib" not in answer.content.decode()
        assert "cannot be opened at present" in answer.content.decode()


def test_before_the_first_run__trained_and_waiting__says_so(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "shortfall", lambda kind, as_of: "")
    version = make_version(Kind.CHURN, status=ModelVersion.Status.CANDIDATE)
    waiting = f"{version} is trained and waits to be put into use: somebody asks for its promotion, and another person decides."
    assert api.get("/predictions/churn/predict").json()["errors"][0]["detail"] == waiting
    assert health(api)[1]["churn"] == ("no_model", waiting)
    make_version(Kind.LTV)
    assert api.get("/predictions/ltv/predict").json()["errors"][0]["detail"] == selectors.NEVER_SCORED
    assert "Train" not in selectors.NEVER_SCORED


def test_importance__one_player__of_all_features_though_reasons_are_stored(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    player = PlayerFactory(external_id="P1")
    churn(make_run(), player, 0.75)
    whole = {"days_since_last_deposit": 0.4, "sessions_30d": 0.35, "deposits_90d": 0.25}
    found = services.Explained("churn", player.pk, AS_OF, 1, "log-odds", 0.1, -0.5, [REASON], whole)
    monkeypatch.setattr(services, "explain_player", lambda kind, player_id: found)
    (result,) = api.get("/predictions/churn/players/P1").json()["data"]["results"]
    assert (result["feature_importance"], result["feature_importance_of"]) == (whole, "player")
    assert [one["feature"] for one in result["reasons"]] == ["days_since_last_deposit", "sessions_30d"]  # the stored ones
    (row,) = api.get("/predictions/churn/predict").json()["data"]["results"]
    assert (row["feature_importance"].keys(), row["feature_importance_of"]) == (IMPORTANCE.keys(), "reasons")


THIRDS = {"days_since_last_deposit": 1 / 3, "sessions_30d": 1 / 3, "deposits_90d": 1 / 3}


def test_importance__after_rounding__still_sums_to_one(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def total(importance: dict[str, float]) -> Decimal:
        return sum((Decimal(str(share)) for share in importance.values()), Decimal(0))

    run, player = make_run(), PlayerFactory(external_id="P1")
    churn(run, player, 0.75, reasons=[{**REASONS[0], "feature": name, "contribution": 0.2} for name in THIRDS])
    ModelVersion.objects.filter(kind="churn").update(importance=THIRDS)
    churn(run, PlayerFactory(external_id="P2"), 0.5, reasons=[])
    found = services.Explained("churn", player.pk, AS_OF, 1, "log-odds", 0.1, -0.5, [REASON], THIRDS)
    monkeypatch.setattr(services, "explain_player", lambda kind, player_id: found)
    drivers = [dataclasses.replace(REASON, feature=name, contribution=0.2) for name in THIRDS]
    answer = {"probability": 0.75, "lower": 0.7, "upper": 0.8}
    monkeypatch.setattr(services, "score_profile", lambda kind, profile: services.ProfileScore(kind, answer, drivers, [], 7, True))
    told = [row["feature_importance"] for row in api.get("/predictions/churn/predict").json()["data"]["results"]]
    told.append(api.get("/predictions/churn/players/P1").json()["data"]["results"][0]["feature_importance"])
    told.append(api.post("/predictions/churn/score", {"features": {"sessions_30d": 2}}).json()["feature_importance"])
    assert [sorted(one.values()) for one in told] == [[0.333333, 0.333333, 0.333334]] * 4
    assert [total(one) for one in told] == [Decimal(1)] * 4


@pytest.mark.parametrize(
    ("parts", "rounded"),
    [
        ({"a": 0.5, "b": 0.4999996, "c": 0.0000004}, {"a": 0.5, "b": 0.5, "c": 0.0}),
        ({"a": 1 / 7, "b": 2 / 7, "c": 4 / 7}, {"a": 0.142857, "b": 0.285714, "c": 0.571429}),
        ({"a": 0.1} | {str(number): 0.0000015 for number in range(2)} | {"z": 0.899997}, {"a": 0.1, "0": 2e-6, "1": 1e-6, "z": 0.899997}),
        ({"a": 1.0}, {"a": 1.0}),
        ({}, {}),
    ],
)
def test_shares__largest_remainder__exact_sum(parts: dict[str, float], rounded: dict[str, float]) -> None:
    assert shares(parts) == rounded


@pytest.mark.parametrize(("alive", "shown"), [(1.0, None), (None, None), (0.84, 0.84)])
def test_probability_active__without_a_repeat_deposit__null(api: KeyedClient, alive: float | None, shown: float | None) -> None:
    ltv(make_run(), PlayerFactory(), "5", alive=alive)
    (row,) = api.get("/predictions/ltv/predict").json()["data"]["results"]
    assert row["probability_active"] == shown


@pytest.fixture
def described(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> Any:
    make_run(summary={"units": {"EUR": 20.0}})
    monkeypatch.setattr(registry, "load", lambda version: SimpleNamespace(deposits=PURCHASES))

    def score(*deposits: tuple[int, float]) -> dict[str, Any]:
        rows = [{"occurred_at": (AS_OF - timedelta(days=ago)).isoformat(), "amount": amount} for ago, amount in deposits]
        answer: dict[str, Any] = api.post("/predictions/ltv/score", {**DEPOSITOR, "as_of": AS_OF.isoformat(), "deposits": rows}).json()
        return answer

    return score


def test_ltv_score__one_deposit_day_long_ago__not_called_a_customer(described: Any) -> None:
    answer = described((2000, 50), (2000, 20))
    words = {one["feature"]: (one["value"], one["words"]) for one in answer["drivers"]}
    assert answer["probability_active"] is None
    assert words["bg_recency"] == (None, "one deposit day tells nothing of leaving")
    assert 0 < described((2000, 50), (1900, 20))["probability_active"] < 0.1


def test_ltv_score__first_amount__does_not_count_and_the_answer_says_how_many_do(described: Any) -> None:
    little, much = described((60, 1), (40, 30), (10, 30)), described((60, 900), (60, 100), (40, 30), (10, 30))
    assert (little["predicted_ltv"], little["amounts_used"]) == (much["predicted_ltv"], 2)
    assert much["amounts_used"] == 2
    assert described((60, 1), (40, 90), (10, 90))["predicted_ltv"] > little["predicted_ltv"]
    one, other = described((60, 1)), described((60, 5000))
    assert (one["amounts_used"], one["predicted_ltv"]) == (0, other["predicted_ltv"])


def test_ltv_score__beyond_what_the_model_knows__flagged(described: Any) -> None:
    assert described((60, 80), (10, 60.5))["outside"] == []
    assert described((60, 1e12), (10, 1e12))["outside"] == ["bg_spend"]
    assert described((60, 1e12))["outside"] == []  # the first day is no repeat: its amount is not used
    assert described(*((ago, 20) for ago in range(300)))["outside"] == ["bg_frequency"]
