"""The risk pages: what they show, to whom, and what their actions do."""

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from fraud.models import AbuseProfile, AbuseSignal, ReviewFlag
from fraud.services import flag_for_review, scan
from players.models import Player
from tests.factories import GameFactory, PlayerFactory, UserFactory
from tests.fraud.factories import payment, play, session

pytestmark = pytest.mark.django_db
SEE = ("view_abuseprofile", "view_abusesignal", "view_reviewflag")


def _client(*codenames: str, username: str = "") -> Client:
    user = UserFactory(**({"username": username} if username else {}))
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="fraud", codename__in=codenames))
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


@pytest.fixture
def suspect(now: datetime) -> Player:
    """A player with a finding of every kind."""
    GameFactory(code="slot-test")
    for name in ("RING-1", "RING-2", "RING-3"):
        PlayerFactory(external_id=name)
        session(name, now - timedelta(hours=5), device="phone", ip="203.0.113.9")
    hour = timedelta(hours=1)
    for day in range(4):
        play("RING-1", now - timedelta(days=day + 1), "2000", "5000", bonus="2000", rounds=5000)
    play("RING-1", now - 4 * hour, "48", "0", rounds=1)
    payment("RING-2", now - 3 * hour, "100")
    payment("RING-2", now - 2 * hour, "90", kind="WITHDRAWAL")
    for hours in range(7, 13):
        play("RING-1", now - hours * hour, "200", "500", rounds=500)
    scan(0, 2**62, now)
    return Player.objects.get(external_id="RING-1")


def test_fixture__every_kind__is_there(suspect: Player) -> None:
    assert set(AbuseSignal.objects.values_list("kind", flat=True)) == {
        "BONUS_ONLY",
        "IMMEDIATE_WITHDRAWAL",
        "BET_MANIPULATION",
        "MULTI_ACCOUNT",
        "WIN_RATE",
    }


def test_profile_list__band_and_reasons__are_shown(suspect: Player) -> None:
    client = _client(*SEE)
    page = client.get(reverse("admin:fraud_abuseprofile_changelist")).content.decode()
    assert page.index("RING-1") < page.index("RING-3")  # highest score first
    assert "multi-account" in page
    band = AbuseProfile.objects.get(player=suspect).band
    filtered = client.get(reverse("admin:fraud_abuseprofile_changelist"), {"band__exact": band}).content.decode()
    assert "RING-1" in filtered
    by_kind = client.get(reverse("admin:fraud_abuseprofile_changelist"), {"kind": "IMMEDIATE_WITHDRAWAL"}).content.decode()
    assert "RING-2" in by_kind
    assert "RING-1" not in by_kind
    found = client.get(reverse("admin:fraud_abuseprofile_changelist"), {"q": "RING-3"}).content.decode()
    assert "RING-3" in found
    assert "RING-2" not in found


def test_profile_page__evidence_and_cluster__can_be_read(suspect: Player) -> None:
    page = _client(*SEE).get(reverse("admin:fraud_abuseprofile_change", args=[suspect.pk])).content.decode()
    for text in (
        "Who shares what",
        "RING-2",
        "RING-3",
        "Device 1",
        "Address 1",
        "One of 3 accounts that share",
        "of the stake was bonus money",
    ):
        assert text in page
    assert "203.0.113.9" not in page


def test_profile_page__without_sight_of_signals__hides_evidence(suspect: Player) -> None:
    page = _client("view_abuseprofile").get(reverse("admin:fraud_abuseprofile_change", args=[suspect.pk])).content.decode()
    assert "Who shares what" not in page
    assert "open to people who may see abuse signals" in page


def test_signal_pages__every_kind__read_as_sentences(suspect: Player) -> None:
    client = _client(*SEE)
    listing = client.get(reverse("admin:fraud_abusesignal_changelist"))
    assert listing.status_code == 200
    sentences = {
        "BONUS_ONLY": "of the stake was bonus money",
        "IMMEDIATE_WITHDRAWAL": "withdrawal soon after money came in",
        "BET_MANIPULATION": "with bonus money the bet jumped",
        "MULTI_ACCOUNT": "One of 3 accounts that share",
        "WIN_RATE": "an honest player does so once in",
    }
    for signal in AbuseSignal.objects.all():
        page = client.get(reverse("admin:fraud_abusesignal_change", args=[signal.pk]))
        assert sentences[signal.kind] in page.content.decode()


@pytest.mark.parametrize("model", ["abuseprofile", "abusesignal", "reviewflag"])
def test_pages__without_permission__are_refused(suspect: Player, model: str) -> None:
    assert _client().get(reverse(f"admin:fraud_{model}_changelist")).status_code == 403


def test_forms__nobody__can_edit_or_delete(suspect: Player) -> None:
    client = _client(*SEE, "change_abuseprofile", "delete_abuseprofile", "add_abuseprofile")
    assert client.post(reverse("admin:fraud_abuseprofile_delete", args=[suspect.pk])).status_code == 403
    assert client.get(reverse("admin:fraud_abuseprofile_add")).status_code == 403
    assert client.post(reverse("admin:fraud_abuseprofile_change", args=[suspect.pk]), {"score": 0}).status_code == 403


def _post(client: Client, name: str, pk: int | None = None, **data: str):
    url = reverse(f"admin:{name}", args=[] if pk is None else [pk])
    return client.post(url, {"_form_submitted": "on", **data})


def test_ask__from_the_profile__opens_a_review(suspect: Player) -> None:
    client = _client(*SEE, "add_reviewflag", username="asker")
    _post(client, "fraud_abuseprofile_ask_for_review", suspect.pk, reason="three accounts on one phone")
    flag = ReviewFlag.objects.get()
    assert (flag.player, flag.reason, flag.flagged_by.username) == (suspect, "three accounts on one phone", "asker")


def test_ask__from_the_profile_without_permission__is_refused(suspect: Player) -> None:
    response = _post(_client(*SEE), "fraud_abuseprofile_ask_for_review", suspect.pk, reason="why not")
    assert response.status_code == 403
    assert not ReviewFlag.objects.exists()


def test_ask__by_player_id__opens_a_review_or_says_why_not(suspect: Player) -> None:
    client = _client(*SEE, "add_reviewflag")
    response = _post(client, "fraud_reviewflag_ask", player="NOBODY", reason="odd mails")
    assert "No player has this id" in response.content.decode()
    assert not ReviewFlag.objects.exists()
    _post(client, "fraud_reviewflag_ask", player="RING-3", reason="odd mails")
    assert ReviewFlag.objects.get().player.external_id == "RING-3"


def test_close__by_another__through_the_dialog(suspect: Player, now: datetime) -> None:
    flag = flag_for_review(suspect.pk, "look", UserFactory(), now)
    _post(_client(*SEE, "close_reviewflag"), "fraud_reviewflag_close_review", flag.pk, outcome="CONFIRMED", reason="same photo")
    flag.refresh_from_db()
    assert (flag.status, flag.outcome_note) == ("CONFIRMED", "same photo")
    page = _client(*SEE).get(reverse("admin:fraud_reviewflag_change", args=[flag.pk])).content.decode()
    assert "same photo" in page


def test_close__own_review__has_no_button_and_is_refused(suspect: Player, now: datetime) -> None:
    client = _client(*SEE, "close_reviewflag", username="asker")
    flag = flag_for_review(suspect.pk, "look", User.objects.get(username="asker"), now)
    page = client.get(reverse("admin:fraud_reviewflag_change", args=[flag.pk])).content.decode()
    assert "You asked for this review" in page
    assert "Close the review" not in page
    _post(client, "fraud_reviewflag_close_review", flag.pk, outcome="CONFIRMED", reason="mine")
    assert ReviewFlag.objects.get(pk=flag.pk).status == "OPEN"


def test_close__without_permission__is_refused(suspect: Player, now: datetime) -> None:
    flag = flag_for_review(suspect.pk, "look", UserFactory(), now)
    response = _post(_client(*SEE), "fraud_reviewflag_close_review", flag.pk, outcome="CONFIRMED", reason="x y z")
    assert response.status_code == 403
    assert ReviewFlag.objects.get(pk=flag.pk).status == "OPEN"


def test_ask__for_several__one_review_each(suspect: Player) -> None:
    client = _client(*SEE, "add_reviewflag")
    url = reverse("admin:fraud_abuseprofile_changelist")
    ids = list(AbuseProfile.objects.values_list("pk", flat=True))
    data = {"action": "ask_for_reviews", "_selected_action": [str(one) for one in ids]}
    assert client.post(url, data).status_code == 200
    assert not ReviewFlag.objects.exists()
    client.post(url, {**data, "confirm_action": "1", "reason": "one phone for all", "_form_submitted": "on"})
    assert ReviewFlag.objects.filter(reason="one phone for all").count() == len(ids)
