"""Keys, scopes, idempotency, problem details and throttling, on the player endpoints."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, connections, transaction
from django.test import Client

from loyalty_site.common.api import keys
from loyalty_site.common.api.idempotency import IdempotentRequest
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import AuditEvent
from players.models import Player
from tests.api_client import KeyedClient
from tests.cache import forget_cached
from tests.factories import PlayerFactory, UserFactory

PROBLEM = "application/problem+json"


@pytest.fixture(autouse=True)
def fresh_throttles() -> None:
    forget_cached()


@pytest.mark.django_db
def test_request__no_credentials__401_problem() -> None:
    answer = Client().get("/api/v1/players")
    assert answer.status_code == 401
    assert answer["Content-Type"] == PROBLEM
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.json()["status"] == 401


@pytest.mark.django_db
@pytest.mark.parametrize("spoil", ["unknown", "expired", "revoked", "client off"])
def test_request__key_not_live__401(spoil: str) -> None:
    api = KeyedClient()
    now = utc_now()
    if spoil == "unknown":
        api = KeyedClient()
        api.http = Client(headers={"Authorization": f"Bearer {api.plain_text[:-1]}x"})
    elif spoil == "expired":
        type(api.key).objects.filter(pk=api.key.pk).update(expires_at=now - timedelta(seconds=1))
    elif spoil == "revoked":
        keys.revoke_key(api.key, at=now, actor=None, reason="lost laptop")
    else:
        api.client.is_active = False
        api.client.save(update_fields=["is_active"])
    answer = api.get("/players")
    assert answer.status_code == 401
    assert "unknown, expired or revoked" in answer.json()["detail"]


@pytest.mark.django_db
def test_request__key_without_scope__403_names_the_scope_and_nothing_is_written() -> None:
    api = KeyedClient(["players:read"])
    answer = api.post("/players", {"player_id": "P1"})
    assert answer.status_code == 403
    assert "players:write" in answer.json()["detail"]
    assert not Player.objects.exists()


@pytest.mark.django_db
def test_request__staff_session__follows_django_permissions() -> None:
    user = UserFactory()
    http = Client()
    http.force_login(user)
    assert http.get("/api/v1/players").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_player"))
    PlayerFactory(external_id="P1", email="someone@example.com", attributes={"phone": "+356 2123 4567"})
    answer = http.get("/api/v1/players")
    assert answer.status_code == 200
    assert answer.json()["results"][0]["player_id"] == "P1"
    assert answer.json()["results"][0]["email"] == ""  # no permission to see personal data
    assert "2123" not in answer.content.decode() + http.get("/api/v1/players/P1/state").content.decode()
    user.user_permissions.add(Permission.objects.get(codename="view_player_pii"))
    http.force_login(type(user).objects.get(pk=user.pk))
    shown = http.get("/api/v1/players").json()["results"][0]
    assert (shown["email"], shown["attributes"]) == ("someone@example.com", {"phone": "+356 2123 4567"})
    assert http.get("/api/v1/players/P1/state").json()["attributes"] == {"phone": "+356 2123 4567"}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v1/wallet/spend", "/api/v1/wallet/wagers"])
@pytest.mark.parametrize("superuser", [False, True])
def test_write__for_systems_only__person_is_refused_whatever_their_rights(path: str, superuser: bool) -> None:
    user = UserFactory(is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="wallet"))
    http = Client()
    http.force_login(user)
    body = {"player_id": "P1", "unit": "LP", "amount": "5", "reference": "r1", "reason": "mug", "items": []}
    answer = http.post(path, body, content_type="application/json", headers={"Idempotency-Key": "k1"})
    assert answer.status_code == 403
    assert "Only a system with an API key" in answer.json()["detail"]


@pytest.mark.django_db(transaction=True)
def test_write__row_held_by_a_job__503_to_retry_and_the_key_stays_free() -> None:
    api = KeyedClient()
    player = PlayerFactory(external_id="P1", country="MT")
    holding, let_go = threading.Event(), threading.Event()

    def job() -> None:
        try:
            with transaction.atomic():
                Player.objects.select_for_update().get(pk=player.pk)
                holding.set()
                let_go.wait(20)
        finally:
            connections.close_all()

    thread = threading.Thread(target=job)
    thread.start()
    holding.wait(20)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '50ms'")
    try:
        busy = api.send("PATCH", "/players/P1", {"country": "IE"}, key="k1")
    finally:
        let_go.set()
        thread.join(20)
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    assert (busy.status_code, busy["Content-Type"], busy["Retry-After"]) == (503, PROBLEM, "2")
    assert busy.json()["type"] == "urn:loyalty:problem:busy"
    assert not IdempotentRequest.objects.exists()
    assert api.send("PATCH", "/players/P1", {"country": "IE"}, key="k1").status_code == 200


@pytest.mark.django_db
def test_write__same_key_and_body__first_answer_again_and_one_effect() -> None:
    api = KeyedClient()
    first = api.post("/players", {"player_id": "P1", "country": "MT"}, key="create-1")
    again = api.post("/players", {"country": "MT", "player_id": "P1"}, key="create-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["Idempotency-Replayed"] == "true"
    assert Player.objects.count() == 1
    assert AuditEvent.objects.filter(action="players.player_created").count() == 1


@pytest.mark.django_db
def test_write__same_key_other_body__409_and_nothing_moves() -> None:
    api = KeyedClient()
    api.post("/players", {"player_id": "P1"}, key="k")
    answer = api.post("/players", {"player_id": "P2"}, key="k")
    assert answer.status_code == 409
    assert answer["Content-Type"] == PROBLEM
    assert answer.json()["type"] == "urn:loyalty:problem:idempotency-key-reused"
    assert list(Player.objects.values_list("external_id", flat=True)) == ["P1"]


@pytest.mark.django_db
def test_write__same_key_of_another_client__is_a_request_of_its_own() -> None:
    assert KeyedClient().post("/players", {"player_id": "P1"}, key="k").status_code == 201
    assert KeyedClient().post("/players", {"player_id": "P2"}, key="k").status_code == 201


@pytest.mark.django_db
def test_write__refused__the_refusal_is_repeated() -> None:
    api = KeyedClient()
    first = api.post("/players", {"player_id": ""}, key="bad")
    again = api.post("/players", {"player_id": ""}, key="bad")
    assert first.status_code == again.status_code == 400
    assert first.json() == again.json()
    assert again["Content-Type"] == PROBLEM
    assert again["Idempotency-Replayed"] == "true"


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "x" * 256])
def test_write__idempotency_key_missing_or_too_long__400_with_remedy(key: str) -> None:
    answer = KeyedClient().post("/players", {"player_id": "P1"}, key=key)
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]
    assert not Player.objects.exists()


@pytest.mark.django_db
def test_write__first_request_still_running__409_and_after_it_was_abandoned_taken_over() -> None:
    api = KeyedClient()
    api.post("/players", {"player_id": "P1"}, key="k")
    IdempotentRequest.objects.update(response_status=None, response_body=None, finished_at=None)
    Player.objects.all().delete()
    answer = api.post("/players", {"player_id": "P1"}, key="k")
    assert (answer.status_code, answer["Retry-After"]) == (409, "1")
    assert answer.json()["type"] == "urn:loyalty:problem:request-in-progress"
    IdempotentRequest.objects.update(created_at=utc_now() - timedelta(minutes=6))
    assert api.post("/players", {"player_id": "P1"}, key="k").status_code == 201


@pytest.mark.django_db(transaction=True)
def test_write__eight_threads_with_one_key__one_effect() -> None:
    api = KeyedClient()
    codes: list[int] = []

    def send() -> None:
        codes.append(api.post("/players", {"player_id": "P1"}, key="same").status_code)
        connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Player.objects.count() == 1
    assert set(codes) <= {201, 409}
    assert 201 in codes
    # control: without a shared key the second request is refused by the player's own uniqueness
    assert api.post("/players", {"player_id": "P1"}, key="other").json()["type"] == "urn:loyalty:problem:player-exists"


@pytest.mark.django_db
def test_validation__several_bad_fields__each_named_with_remedy() -> None:
    answer = KeyedClient().post(
        "/players", {"player_id": "P1", "country": "Malta", "registered_at": "2026-01-01T10:00:00", "email": "nobody"}
    )
    body = answer.json()
    assert answer.status_code == 400
    assert {row["field"] for row in body["errors"]} == {"country", "registered_at", "email"}
    by_field = {row["field"]: row for row in body["errors"]}
    assert by_field["registered_at"]["detail"] == "The time has no zone; add Z or an offset such as +01:00."
    assert all(row["remedy"] for row in body["errors"])


@pytest.mark.django_db
def test_request__malformed_json__400_problem() -> None:
    api = KeyedClient()
    answer = api.http.generic(
        "POST", "/api/v1/players", data=b"{not json", content_type="application/json", headers={"Idempotency-Key": "j"}
    )
    assert answer.status_code == 400
    assert answer["Content-Type"] == PROBLEM


@pytest.mark.django_db
def test_throttle__key_over_its_rate__429_with_retry_after() -> None:
    api = KeyedClient(rate_per_minute=2)
    assert [api.get("/players").status_code for _ in range(3)] == [200, 200, 429]
    answer = api.get("/players")
    assert answer["Content-Type"] == PROBLEM
    assert 1 <= int(answer["Retry-After"]) <= 61
    # control: another key has a rate of its own
    assert KeyedClient(rate_per_minute=2).get("/players").status_code == 200


@pytest.mark.django_db
def test_rotate_key__grace__both_work_then_only_the_new_one() -> None:
    api = KeyedClient()
    now = utc_now()
    issued = keys.rotate_key(api.key, at=now, grace=timedelta(hours=1), actor=None)
    assert keys.find_key(api.plain_text, now) == api.key
    assert keys.find_key(issued.plain_text, now) == issued.key
    later = now + timedelta(hours=1)
    assert keys.find_key(api.plain_text, later) is None
    assert keys.find_key(issued.plain_text, later) == issued.key
    assert issued.key.scopes == api.key.scopes


@pytest.mark.django_db
def test_rotate_key__revoked__has_no_successor() -> None:
    api = KeyedClient()
    now = utc_now()
    keys.revoke_key(api.key, at=now, actor=None, reason="lost laptop")
    with pytest.raises(ValueError, match="a revoked key has no successor"):
        keys.rotate_key(api.key, at=now, grace=timedelta(hours=1), actor=None)
    assert type(api.key).objects.count() == 1


@pytest.mark.django_db
def test_issue_key__secret__is_not_stored() -> None:
    api = KeyedClient()
    secret = api.plain_text.split("_", 2)[2]
    assert secret not in str(vars(api.key))
    assert len(api.key.secret_hash) == 64


@pytest.mark.django_db
def test_issue_key__unknown_scope__refused() -> None:
    with pytest.raises(keys.UnknownScope, match="unknown scopes: money:print"):
        KeyedClient(["money:print"])


@pytest.mark.django_db
def test_request__body_too_large__413_problem_that_names_the_limit() -> None:
    api = KeyedClient()
    answer = api.post("/players", {"player_id": "x" * 11_000_000})
    assert (answer.status_code, answer["Content-Type"]) == (413, PROBLEM)
    assert "at most" in answer.json()["detail"]
    assert not IdempotentRequest.objects.exists()


@pytest.mark.django_db
def test_request__json_nested_too_deeply__400_problem() -> None:
    api = KeyedClient()
    answer = api.http.generic(
        "POST", "/api/v1/players", data=b"[" * 200_000, content_type="application/json", headers={"Idempotency-Key": "deep"}
    )
    assert (answer.status_code, answer["Content-Type"]) == (400, PROBLEM)
    assert "nested too deeply" in answer.json()["detail"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/players/%00", "/rules/%00", "/wallet/%00/balances"])
def test_request__nul_in_the_path__400_problem(path: str) -> None:
    answer = KeyedClient().get(path)
    assert (answer.status_code, answer["Content-Type"]) == (400, PROBLEM)


@pytest.mark.django_db
def test_request__method_that_no_path_has__405_before_the_scope_but_after_the_key() -> None:
    answer = KeyedClient(["players:read"]).post("/analytics/dashboard", {})
    assert (answer.status_code, answer["Content-Type"]) == (405, PROBLEM)
    assert "Allow" in answer.json()["detail"]
    assert "GET" in answer["Allow"]
    assert Client().post("/api/v1/analytics/dashboard").status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "status", "hint"),
    [
        ("GET", "/players/nobody", 404, "Check the path and the identifier"),
        ("GET", "/no-such-endpoint", 404, "/api/v1/docs lists every endpoint"),
        ("DELETE", "/players", 405, "The header Allow names the methods"),
    ],
)
def test_problem__without_a_field__says_what_to_do(method: str, path: str, status: int, hint: str) -> None:
    answer = KeyedClient().send(method, path)
    assert answer.status_code == status
    assert hint in answer.json()["detail"]


@pytest.mark.django_db
def test_request__fault_of_ours__500_problem_and_the_key_may_be_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("broken")

    api = KeyedClient()
    api.http.raise_request_exception = False
    monkeypatch.setattr("players.profile.create_player", broken)
    answer = api.post("/players", {"player_id": "P1"}, key="again")
    assert (answer.status_code, answer["Content-Type"]) == (500, PROBLEM)
    assert answer.json()["type"] == "urn:loyalty:problem:server-error"
    monkeypatch.undo()
    assert api.post("/players", {"player_id": "P1"}, key="again").status_code == 201
