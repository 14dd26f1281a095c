"""Rules, grants, batches and the wallet over HTTP, in exact figures."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from loyalty_site.common.clock import utc_now
from players.models import Exclusion, Jurisdiction, JurisdictionPack, Player, Protection
from rewards.models import RewardDecision, RewardRule, RuleVersion
from tests.api_client import KeyedClient
from tests.cache import forget_cached
from tests.factories import PlayerFactory
from wallet import services
from wallet.models import Account, BonusGrant, Entry


@pytest.fixture
def api(db: None) -> KeyedClient:
    forget_cached()
    return KeyedClient()


@pytest.fixture
def player(db: None) -> Player:
    market = Jurisdiction.objects.create(code="MT", name="Malta", countries=["MT"])
    JurisdictionPack.objects.create(jurisdiction=market, valid_from="2020-01-01")
    player = PlayerFactory(external_id="P1", jurisdiction=market, birth_date="1980-01-01")
    now = utc_now()
    Protection.objects.create(player=player, marketing_consent=True, marketing_consent_at=now)
    return player


def points_rule(**changes: Any) -> dict[str, Any]:
    return {
        "rule_id": "WELCOME_POINTS",
        "name": "Welcome points",
        "is_active": True,
        "conditions": {"segment": "NEW"},
        "reward_config": {"type": "LOYALTY_POINTS", "formula": "25", "max_amount": 25},
        "period": "ONCE",
        **changes,
    }


def test_rules__create_change_delete__versions_stay(api: KeyedClient) -> None:
    made = api.post("/rules", points_rule())
    assert made.status_code == 201, made.json()
    assert (made.json()["version"], made.json()["is_active"]) == (1, True)
    changed = api.send("PATCH", "/rules/WELCOME_POINTS", {"reward_config": {"type": "LOYALTY_POINTS", "formula": "30", "max_amount": 30}})
    assert changed.json()["version"] == 2
    renamed = api.send("PATCH", "/rules/WELCOME_POINTS", {"name": "Hello"})
    assert (renamed.json()["version"], renamed.json()["name"]) == (2, "Hello")
    deleted = api.send("DELETE", "/rules/WELCOME_POINTS")
    assert (deleted.status_code, deleted.json()["is_active"]) == (200, False)
    assert RuleVersion.objects.count() == 2
    assert api.get("/rules", is_active="true").json()["results"] == []


def test_rules__error_in_formula__400_with_place_and_nearest_name_and_nothing_stored(api: KeyedClient) -> None:
    answer = api.post("/rules", points_rule(reward_config={"type": "LOYALTY_POINTS", "formula": "net_los * 0.1", "max_amount": 5}))
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert "formula" in error["field"]
    assert "net_los" in error["detail"]
    assert "net_loss" in error["detail"] + error["remedy"]
    assert not RewardRule.objects.exists()


def test_rules__id_taken__409(api: KeyedClient) -> None:
    api.post("/rules", points_rule())
    assert api.post("/rules", points_rule(name="Other")).json()["type"] == "urn:loyalty:problem:rule-exists"
    assert RewardRule.objects.get().name == "Welcome points"


def test_rule_test__one_player__conditions_amount_and_gates_and_nothing_written(api: KeyedClient, player: Player) -> None:
    api.post("/rules", points_rule())
    answer = api.post("/rules/WELCOME_POINTS/test", {"player_id": "P1"})
    assert answer.status_code == 200
    body = answer.json()
    assert body["player_id"] == "P1"
    assert {verdict["name"] for verdict in body["gates"]["verdicts"]} >= {"eligibility", "protection", "jurisdiction", "abuse"}
    assert not RewardDecision.objects.exists()
    everybody = api.post("/rules/WELCOME_POINTS/test", {}).json()
    assert (everybody["players"], everybody["matched"]) == (1, 1)


def test_batch__rewards_triggered__player_is_paid_once(api: KeyedClient, player: Player) -> None:
    api.post("/rules", points_rule())
    answer = api.post("/batch/process", {"player_ids": ["P1"], "trigger_rewards": True})
    assert answer.status_code == 200, answer.json()
    assert answer.json()["rewards"]["issued"] == 1
    again = api.post("/batch/process", {"player_ids": ["P1"], "trigger_rewards": True})
    assert (again.json()["rewards"]["issued"], again.json()["rewards"]["duplicates"]) == (0, 1)
    balances = api.get("/wallet/P1/balances").json()["balances"]
    assert {one["unit"]: Decimal(one["amount"]) for one in balances if Decimal(one["amount"])} == {"LP": Decimal(25)}
    history = api.get("/analytics/rewards", player_id="P1").json()["results"]
    assert [(one["rule_id"], one["status"], one["amount"]) for one in history] == [("WELCOME_POINTS", "ISSUED", "25.00")]


def test_batch__unknown_player__400_names_it_and_nothing_runs(api: KeyedClient, player: Player) -> None:
    answer = api.post("/batch/process", {"player_ids": ["P1", "ghost"], "trigger_rewards": True})
    assert answer.status_code == 400
    assert "ghost" in answer.json()["detail"]
    assert not RewardDecision.objects.exists()


def test_add_lp__twice_with_one_reference__one_credit(api: KeyedClient, player: Player) -> None:
    body = {"player_id": "P1", "amount": "12.50", "reference": "crm-1", "reason": "birthday"}
    first = api.post("/wallet/add-lp", body)
    assert (first.status_code, first.json()["status"], first.json()["amount"]) == (201, "ISSUED", "12.50")
    again = api.post("/wallet/add-lp", body)
    assert again.json()["id"] == first.json()["id"]
    other = api.post("/wallet/add-lp", {**body, "amount": "13"})
    assert (other.status_code, other.json()["type"]) == (409, "urn:loyalty:problem:reference-reused")
    assert Account.objects.get().balance == 1250


def test_add_lp__excluded_player__422_with_verdict_kept_and_no_money_moved(api: KeyedClient, player: Player) -> None:
    now = utc_now()
    Exclusion.objects.create(player=player, kind="SELF_EXCLUSION", starts_at=now - timedelta(days=1), recorded_at=now)
    answer = api.post("/wallet/add-lp", {"player_id": "P1", "amount": "5", "reference": "r1", "reason": "goodwill"})
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["decision"]["refused_by"] == "protection"
    assert RewardDecision.objects.get().status == "REFUSED"
    assert not Entry.objects.exists()


def test_reward_history__key_for_analytics__learns_nothing_of_exclusions(api: KeyedClient, player: Player) -> None:
    now = utc_now()
    Exclusion.objects.create(player=player, kind="SELF_EXCLUSION", starts_at=now - timedelta(days=1), recorded_at=now)
    api.post("/wallet/add-lp", {"player_id": "P1", "amount": "10", "reference": "r1", "reason": "gift"})
    found = KeyedClient(["analytics:read"]).get("/analytics/rewards").json()["results"]
    assert [(one["player_id"], one["status"], one["proposed_amount"]) for one in found] == [("P1", "REFUSED", "10.00")]
    assert "SELF_EXCLUSION" not in str(found)
    assert "verdicts" not in found[0]


def test_add_lp__unknown_player__400_names_the_field(api: KeyedClient, player: Player) -> None:
    answer = api.post("/wallet/add-lp", {"player_id": "ghost", "amount": "5", "reference": "r1", "reason": "goodwill"})
    assert answer.json()["errors"][0]["field"] == "player_id"


def test_wagers__batch__each_bet_stands_for_itself(api: KeyedClient, player: Player) -> None:
    bonus = {
        "player_id": "P1",
        "amount": "10",
        "reference": "b1",
        "reason": "reload",
        "wagering_multiple": "3",
        "expiry_hours": 48,
        "max_bet": "5",
        "eligible_games": ["slots"],
    }
    given = api.post("/wallet/add-bonus", bonus)
    if given.status_code == 422:  # the reference profit figures refuse a bonus to a player without any history
        assert given.json()["decision"]["refused_by"] == "profit"
        services.add_bonus(
            player_id=player.pk,
            currency="EUR",
            amount=Decimal(10),
            wagering_required=Decimal(30),
            expires_at=utc_now() + timedelta(hours=48),
            max_bet=Decimal(5),
            eligible_games=["slots"],
            source=services.Source("test", "b1"),
            at=utc_now() - timedelta(minutes=1),
        )
    at = (utc_now()).isoformat()

    def bet(number: int, **changes: Any) -> dict[str, Any]:
        return {
            "player_id": "P1",
            "activity_id": f"a{number}",
            "currency": "EUR",
            "stake": "5",
            "game": "suns",
            "category": "slots",
            "placed_at": at,
            **changes,
        }

    items = [bet(1), bet(2, stake="6"), bet(3, category="roulette"), bet(4, player_id="ghost"), bet(1)]
    body = api.post("/wallet/wagers", {"items": items}).json()
    counted = {one["activity_id"]: (Decimal(one["counted"]), one["repeated"]) for one in body["accepted"] if not one["repeated"]}
    assert counted == {"a1": (Decimal(5), False), "a2": (Decimal(0), False), "a3": (Decimal(0), False)}
    assert sum(one["repeated"] for one in body["accepted"]) == 1
    assert [(one["activity_id"], one["type"]) for one in body["refused"]] == [("a4", "urn:loyalty:problem:unknown-player")]
    assert BonusGrant.objects.get().wagered == Decimal(5)
    grant = api.get("/wallet/grants", player_id="P1").json()["results"][0]
    assert (grant["status"], Decimal(grant["left_to_wager"]), grant["balance"]) == ("WAGERING", Decimal(25), "10.00")


def test_spend__more_than_owned__422_and_balance_stays(api: KeyedClient, player: Player) -> None:
    api.post("/wallet/add-lp", {"player_id": "P1", "amount": "10", "reference": "r1", "reason": "gift"})
    body = {"player_id": "P1", "unit": "LP", "amount": "10.01", "reference": "s1", "reason": "mug"}
    refused = api.post("/wallet/spend", body)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:loyalty:problem:insufficient-funds")
    assert Account.objects.get().balance == 1000
    taken = api.post("/wallet/spend", {**body, "amount": "9.99"})
    assert (taken.status_code, taken.json()["amount"], taken.json()["balance_after"]) == (201, "-9.99", "0.01")
    entries = api.get("/analytics/transactions", player_id="P1").json()["results"]
    assert [one["amount"] for one in entries] == ["-9.99", "10.00"]


def test_dashboard__figures_of_the_currency(api: KeyedClient, player: Player) -> None:
    body = api.get("/analytics/dashboard", currency="EUR", days=7).json()
    assert (body["currency"], body["players"], body["segments"]) == ("EUR", 1, {"NEW": 1})
    assert api.get("/analytics/dashboard", days=0).json()["errors"][0]["field"] == "days"
    assert api.get("/analytics/dashboard", currency="eur").json()["errors"][0]["field"] == "currency"
