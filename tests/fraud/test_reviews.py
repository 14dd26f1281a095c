"""Asking for a review and closing it: second pair of eyes, audit, refusals that move nothing."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from fraud.models import AbuseProfile, AbuseSignal, ReviewFlag
from fraud.services import close_review, flag_for_review, scan
from loyalty_site.common.models import AuditEvent
from players.models import Player
from tests.factories import PlayerFactory, UserFactory
from tests.fraud.factories import session

pytestmark = pytest.mark.django_db
LATER = timedelta(hours=1)


@pytest.fixture
def suspect(now: datetime) -> Player:
    for name in ("A", "B", "C"):
        PlayerFactory(external_id=name)
        session(name, now - LATER, device="phone")
    scan(0, 2**62, now)
    return Player.objects.get(external_id="A")


def test_flag__with_reason__opens_and_is_audited(suspect: Player, now: datetime) -> None:
    actor = UserFactory()
    flag = flag_for_review(suspect.pk, "  three accounts, one phone ", actor, now)
    assert (flag.status, flag.reason, flag.flagged_by) == ("OPEN", "three accounts, one phone", actor)
    assert flag.score_at_flag == AbuseProfile.objects.get(player=suspect).score > 0
    event = AuditEvent.objects.get(action="fraud.review_opened")
    assert (event.subject_id, event.actor, event.reason) == (str(flag.pk), actor, "three accounts, one phone")


def test_flag__no_profile__score_zero(now: datetime) -> None:
    assert flag_for_review(PlayerFactory().pk, "odd mails", None, now).score_at_flag == Decimal(0)


@pytest.mark.parametrize("reason", ["", "   "])
def test_flag__no_reason__is_refused(suspect: Player, now: datetime, reason: str) -> None:
    with pytest.raises(ValidationError, match="Give a reason"):
        flag_for_review(suspect.pk, reason, UserFactory(), now)
    assert not ReviewFlag.objects.exists()


def test_flag__already_open__is_refused(suspect: Player, now: datetime) -> None:
    flag_for_review(suspect.pk, "first", UserFactory(), now)
    with pytest.raises(ValidationError, match="A review of player A is open already"):
        flag_for_review(suspect.pk, "second", UserFactory(), now)
    assert ReviewFlag.objects.count() == AuditEvent.objects.filter(action="fraud.review_opened").count() == 1


def test_close__by_another__keeps_outcome_and_is_audited(suspect: Player, now: datetime) -> None:
    flag = flag_for_review(suspect.pk, "look", UserFactory(), now)
    closer = UserFactory()
    closed = close_review(flag, "CONFIRMED", "same passport photo", closer, now + LATER)
    assert (closed.status, closed.closed_by, closed.closed_at, closed.outcome_note) == (
        "CONFIRMED",
        closer,
        now + LATER,
        "same passport photo",
    )
    event = AuditEvent.objects.get(action="fraud.review_closed")
    assert (event.before, event.after["status"], event.reason) == ({"status": "OPEN"}, "CONFIRMED", "same passport photo")
    assert AbuseProfile.objects.get(player=suspect).score > 0


def test_close__false_positive__clears_the_score_at_once(suspect: Player, now: datetime) -> None:
    flag = flag_for_review(suspect.pk, "look", UserFactory(), now)
    close_review(flag, "FALSE_POSITIVE", "a family", UserFactory(), now + LATER)
    profile = AbuseProfile.objects.get(player=suspect)
    assert (profile.score, profile.band, profile.contributions) == (0, "NONE", [])
    suspect.refresh_from_db()
    assert suspect.risk_score == 0
    assert AbuseSignal.objects.filter(player=suspect).exists()  # the observation stays on record


def test_close__by_the_person_who_asked__is_refused(suspect: Player, now: datetime) -> None:
    asker = UserFactory(is_superuser=True)
    flag = flag_for_review(suspect.pk, "look", asker, now)
    with pytest.raises(PermissionDenied, match="somebody else must close it"):
        close_review(flag, "FALSE_POSITIVE", "mine", asker, now + LATER)
    flag.refresh_from_db()
    assert (flag.status, flag.closed_at) == ("OPEN", None)
    assert not AuditEvent.objects.filter(action="fraud.review_closed").exists()


def test_close__asked_by_the_system__anybody_may(suspect: Player, now: datetime) -> None:
    flag = flag_for_review(suspect.pk, "score above 80", None, now)
    assert close_review(flag, "INCONCLUSIVE", "no documents yet", UserFactory(), now).status == "INCONCLUSIVE"


def test_close__twice__is_refused(suspect: Player, now: datetime) -> None:
    flag = flag_for_review(suspect.pk, "look", UserFactory(), now)
    close_review(flag, "CONFIRMED", "yes", UserFactory(), now)
    with pytest.raises(ValidationError, match="was closed on 2026-03-15 as: Abuse confirmed"):
        close_review(flag, "FALSE_POSITIVE", "no", UserFactory(), now)
    flag.refresh_from_db()
    assert (flag.status, flag.outcome_note) == ("CONFIRMED", "yes")


@pytest.mark.parametrize(("outcome", "note", "message"), [("OPEN", "x", "is no outcome"), ("CONFIRMED", " ", "Write what was found")])
def test_close__bad_answer__is_refused(suspect: Player, now: datetime, outcome: str, note: str, message: str) -> None:
    flag = flag_for_review(suspect.pk, "look", UserFactory(), now)
    with pytest.raises(ValidationError, match=message):
        close_review(flag, outcome, note, UserFactory(), now)
    assert ReviewFlag.objects.get(pk=flag.pk).status == "OPEN"
