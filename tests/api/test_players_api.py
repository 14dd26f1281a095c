"""Players, tiers and activity over HTTP."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from loyalty_site.common.models import AuditEvent
from players.models import Game, GamePlay, Jurisdiction, Payment, Player, PlayerDay, PlaySession, Segment, Tier
from tests.api_client import KeyedClient
from tests.cache import forget_cached
from tests.factories import PlayerFactory, TierFactory


@pytest.fixture
def api(db: None) -> KeyedClient:
    forget_cached()
    return KeyedClient()


def test_players__create_read_change_deactivate__each_step_is_audited(api: KeyedClient) -> None:
    malta = Jurisdiction.objects.create(code="MT", name="Malta", countries=["MT"])
    sweden = Jurisdiction.objects.create(code="SE", name="Sweden", countries=["SE"])
    made = api.post("/players", {"player_id": "Ä-1", "country": "MT", "email": "a@example.com", "attributes": {"vip_host": "Kim"}})
    assert made.status_code == 201
    assert made.json()["jurisdiction"] == "MT"
    assert Player.objects.get().jurisdiction == malta

    changed = api.send("PATCH", "/players/Ä-1", {"country": "SE"})
    assert (changed.status_code, changed.json()["jurisdiction"]) == (200, "SE")
    assert Player.objects.get().jurisdiction == sweden
    assert api.get("/players/Ä-1").json()["email"] == "a@example.com"

    closed = api.send("DELETE", "/players/Ä-1")
    assert (closed.status_code, closed.json()["status"]) == (200, "CLOSED")
    events = list(AuditEvent.objects.order_by("id").values_list("action", "before", "after"))
    assert [action for action, _, _ in events if action.startswith("players.")] == [
        "players.player_created",
        "players.player_changed",
        "players.player_changed",
    ]
    assert "a@example.com" not in str(events)


def test_players__same_country_sent_again__keeps_the_market_that_compliance_chose(api: KeyedClient) -> None:
    Jurisdiction.objects.create(code="CA", name="Canada", countries=["CA"])
    ontario = Jurisdiction.objects.create(code="CA-ON", name="Ontario", countries=["CA"])
    PlayerFactory(external_id="P1", country="CA", jurisdiction=ontario)
    PlayerFactory(external_id="P2", country="CA", jurisdiction=None)
    assert api.send("PUT", "/players/P1", {"country": "CA", "language": "fr"}).json()["jurisdiction"] == "CA-ON"
    assert api.send("PUT", "/players/P2", {"country": "CA"}).json()["jurisdiction"] == "CA"


def test_players__currency_left_out__is_the_base_currency(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("players.thresholds.base_currency", lambda: "SEK")
    assert api.post("/players", {"player_id": "P1"}).json()["currency"] == "SEK"
    assert api.post("/players", {"player_id": "P2", "currency": "GBP"}).json()["currency"] == "GBP"


def test_players__own_attributes__their_values_stay_out_of_the_audit_trail(api: KeyedClient) -> None:
    api.post("/players", {"player_id": "P1", "attributes": {"phone": "+356 2123 4567"}})
    api.send("PATCH", "/players/P1", {"attributes": {"phone": "+356 7777 7777", "vip_host": "Kim"}})
    events = AuditEvent.objects.filter(action__startswith="players.player_").order_by("id")
    assert [(event.before.get("attributes"), event.after.get("attributes")) for event in events] == [
        (None, ["phone"]),
        (["phone"], ["phone", "vip_host"]),
    ]
    assert Player.objects.get().attributes == {"phone": "+356 7777 7777", "vip_host": "Kim"}


def test_players__id_taken__409_and_the_player_stays(api: KeyedClient) -> None:
    PlayerFactory(external_id="P1", country="MT")
    answer = api.post("/players", {"player_id": "P1", "country": "SE"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:loyalty:problem:player-exists")
    assert Player.objects.get().country == "MT"


def test_players__currency_of_a_player_with_activity__409_and_stays(api: KeyedClient) -> None:
    player = PlayerFactory(external_id="P1", currency="EUR")
    PlayerDay.objects.create(player=player, day=date(2026, 3, 1))
    answer = api.send("PUT", "/players/P1", {"currency": "SEK"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:loyalty:problem:currency-fixed")
    player.refresh_from_db()
    assert player.currency == "EUR"


def test_players__filters__combine(api: KeyedClient) -> None:
    gold = TierFactory(name="Gold", rank=2)
    PlayerFactory(external_id="A1", segment=Segment.LOSING, tier=gold, risk_score=10, country="MT")
    PlayerFactory(external_id="A2", segment=Segment.LOSING, tier=gold, risk_score=90, country="MT")
    PlayerFactory(external_id="B1", segment=Segment.VIP, country="SE")

    def ids(**params: object) -> list[str]:
        return [row["player_id"] for row in api.get("/players", **params).json()["results"]]

    assert ids() == ["B1", "A2", "A1"]
    assert ids(segment="LOSING") == ["A2", "A1"]
    assert ids(segment=["LOSING", "VIP"], country="se") == ["B1"]
    assert ids(tier="gold", risk_score_min=50) == ["A2"]
    assert ids(player_id="A", ordering="risk_score") == ["A1", "A2"]


def test_players__unknown_filter_value__400_names_the_field(api: KeyedClient) -> None:
    answer = api.get("/players", segment="RICH")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "segment"


def test_players__misspelt_filter__400_names_it_and_the_known_ones(api: KeyedClient) -> None:
    answer = api.get("/players", segmnt="VIP")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "segmnt"
    assert "segment" in answer.json()["errors"][0]["detail"]


def test_players__keyset_pages__visit_every_player_once(api: KeyedClient) -> None:
    made = {PlayerFactory().external_id for _ in range(7)}
    seen: list[str] = []
    answer = api.get("/players", page_size=3).json()
    while True:
        seen += [row["player_id"] for row in answer["results"]]
        if answer["next"] is None:
            break
        answer = api.http.get(answer["next"]).json()
    assert len(seen) == 7
    assert set(seen) == made


def test_state__player_without_activity__has_defined_figures(api: KeyedClient) -> None:
    PlayerFactory(external_id="P1")
    answer = api.get("/players/P1/state")
    assert answer.status_code == 200
    assert Decimal(str(answer.json()["net_pnl"])) == 0
    assert answer.json()["segment"] == "NEW"


def test_timeline__limit_out_of_range__400(api: KeyedClient) -> None:
    PlayerFactory(external_id="P1")
    refused = api.get("/players/P1/timeline", limit=0)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "limit")
    assert api.get("/players/P1/timeline").json() == {"events": []}


def test_timeline__something_happened__is_told_as_plain_values(api: KeyedClient) -> None:
    player = PlayerFactory(external_id="P1")
    Payment.objects.create(
        player=player, external_id="p1", kind="DEPOSIT", amount=Decimal("20.5"), occurred_at=datetime(2026, 3, 1, 9, tzinfo=UTC)
    )
    (event,) = api.get("/players/P1/timeline").json()["events"]
    assert (event["at"], event["kind"], event["title"]) == ("2026-03-01T09:00:00Z", "PAYMENT", "Deposit")
    assert (event["details"]["external_id"], Decimal(event["details"]["amount"])) == ("p1", Decimal("20.5"))


def test_player__unknown__404_problem(api: KeyedClient) -> None:
    answer = api.get("/players/nobody")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_activity__all_kinds__are_stored_exactly_and_rolled_up(api: KeyedClient) -> None:
    at = "2026-03-01T23:30:00+01:00"  # 22:30 UTC
    payment = {"player_id": "P1", "event_id": "d1", "kind": "DEPOSIT", "amount": "50.10", "method": "card", "occurred_at": at}
    session = {"player_id": "P1", "event_id": "s1", "started_at": at, "ended_at": "2026-03-01T23:00:00Z", "ip": "192.0.2.1"}
    play = {
        "player_id": "P1",
        "event_id": "r1",
        "game": "suns",
        "category": "slots",
        "played_at": at,
        "stake": "20.5",
        "payout": "13.25",
        "bonus_stake": "0.5",
        "rounds": 41,
    }
    assert api.post("/activity/payments", {"items": [payment]}).json() == {
        "received": 1,
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "players_created": 1,
    }
    assert api.post("/activity/sessions", {"items": [session]}).json()["created"] == 1
    assert api.post("/activity/plays", {"items": [play, play]}).json()["created"] == 1
    assert Payment.objects.get().occurred_at == datetime(2026, 3, 1, 22, 30, tzinfo=UTC)
    assert PlaySession.objects.get().ip == "192.0.2.1"
    assert (GamePlay.objects.get().stake, Game.objects.get().category) == (Decimal("20.5"), "slots")
    day = PlayerDay.objects.get()
    assert (day.day, day.deposits, day.stake, day.payout, day.bonus_stake, day.rounds, day.sessions, day.playtime_seconds) == (
        date(2026, 3, 1),
        Decimal("50.10"),
        Decimal("20.5"),
        Decimal("13.25"),
        Decimal("0.5"),
        41,
        1,
        1800,
    )
    # the same events under a new key change nothing
    assert api.post("/activity/payments", {"items": [payment]}).json()["unchanged"] == 1


def test_activity__one_bad_item__400_names_item_and_field_and_nothing_is_stored(api: KeyedClient) -> None:
    good = {"player_id": "P1", "event_id": "d1", "kind": "DEPOSIT", "amount": "5", "occurred_at": "2026-03-01T10:00:00Z"}
    bad = {**good, "event_id": "d2", "amount": "-1"}
    naive = {**good, "event_id": "d3", "occurred_at": "2026-03-01T10:00:00"}
    answer = api.post("/activity/payments", {"items": [good, bad, naive]})
    assert answer.status_code == 400
    assert [row["field"] for row in answer.json()["errors"]] == ["items[1].amount", "items[2].occurred_at"]
    assert not Payment.objects.exists()


@pytest.mark.parametrize("body", [{}, {"items": []}, {"items": "x"}, [], {"items": [1]}])
def test_activity__not_a_batch__400(api: KeyedClient, body: object) -> None:
    assert api.post("/activity/payments", body).status_code == 400


def test_tiers__create_and_change__refuse_what_would_flap(api: KeyedClient) -> None:
    body = {"name": "Gold", "rank": 2, "entry_points": "10000", "keep_points": "8000", "benefits": ["host"]}
    made = api.post("/tiers", body)
    assert made.status_code == 201
    tier_id = made.json()["id"]
    refused = api.send("PATCH", f"/tiers/{tier_id}", {"keep_points": "10001"})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "keep_points"
    assert Tier.objects.get().keep_points == 8000
    assert api.send("PATCH", f"/tiers/{tier_id}", {"keep_points": "9000"}).json()["keep_points"] == "9000.00"
    assert AuditEvent.objects.filter(action="players.tier_changed").get().before["keep_points"] == "8000.00"
    assert [row["name"] for row in api.get("/tiers").json()["results"]] == ["Gold"]


def test_tiers__higher_rank_for_fewer_points__400_and_the_ladder_stays(api: KeyedClient) -> None:
    api.post("/tiers", {"name": "Silver", "rank": 1, "entry_points": "1000", "keep_points": "800"})
    refused = api.post("/tiers", {"name": "Gold", "rank": 2, "entry_points": "999", "keep_points": "800"})
    assert refused.status_code == 400
    assert [(one["field"], one["detail"]) for one in refused.json()["errors"]] == [
        ("entry_points", "Silver (rank 1) asks for 1000.00 LP: give at least as many.")
    ]
    gold = api.post("/tiers", {"name": "Gold", "rank": 2, "entry_points": "5000", "keep_points": "800"}).json()["id"]
    assert api.send("PATCH", f"/tiers/{gold}", {"rank": 0}).status_code == 400
    assert dict(Tier.objects.values_list("rank", "entry_points")) == {1: 1000, 2: 5000}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("moment", "refusal"),
    [("2099-01-01T00:00:00Z", "in the future"), ("1969-12-31T23:59:59Z", "before 1970")],
)
def test_payments__time_nobody_believes__refused_and_nothing_is_written(moment: str, refusal: str) -> None:
    item = {"player_id": "P1", "event_id": "e1", "kind": "DEPOSIT", "amount": "5", "occurred_at": moment}
    answer = KeyedClient().post("/activity/payments", {"items": [item]})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "items[0].occurred_at"
    assert refusal in answer.json()["errors"][0]["detail"]
    assert not Payment.objects.exists()
    assert not Player.objects.exists()


def test_payments__largest_batch_with_long_identifiers__is_taken(api: KeyedClient) -> None:
    items = [
        {
            "player_id": "P" * 64, "event_id": f"{number:080}", "kind": "DEPOSIT", "amount": "1", "method": "é" * 40,
            "instrument": "é" * 64, "occurred_at": "2026-01-01T00:00:00Z",
        }
        for number in range(5_000)
    ]  # fmt: skip
    assert api.post("/activity/payments", {"items": items}).json()["created"] == 5_000
