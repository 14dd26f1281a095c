"""The demo's players: their bonuses come to every state that takes some days, and the ledger proves."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from loyalty_site import demo_bonuses
from loyalty_site.common.clock import utc_now
from players.models import Game, Jurisdiction, Payment
from players.simulation import catalogue
from tests.factories import PlayerFactory
from wallet.models import BonusGrant, GrantStatus, Lot, PayoutInstruction, Redemption
from wallet.reconciliation import verify

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(monkeypatch, settings):
    """Sample settings, the simulated games, and players of two markets who deposited in the last weeks."""
    monkeypatch.setenv("LOYALTY_DEMO_PASSWORD", "a-long-password")
    call_command("setup_demo", verbosity=0)
    Game.objects.bulk_create(Game(**row) for row in catalogue.games().to_dict("records"))
    at = utc_now()
    markets = [Jurisdiction.objects.get(code=code) for code in ("FI", "AT", "MT")]
    for number in range(84):
        player = PlayerFactory(jurisdiction=markets[number % 3], currency="EUR", registered_at=at - timedelta(days=90))
        Payment.objects.create(
            player=player, external_id=f"p{number}", kind="DEPOSIT", amount=Decimal(40 + number * 3), method="card",
            occurred_at=at - timedelta(days=3 + number % 36),
        )  # fmt: skip
    return at


def test_play_bonuses__some_weeks__every_state_has_rows_and_the_books_close(operator):
    made = demo_bonuses.play_bonuses(operator, seed=1)

    assert made["events"] > 500
    states = Counter(BonusGrant.objects.values_list("status", flat=True))
    assert set(GrantStatus) - set(states) <= {"PAUSED", "LOST"}, states
    assert set(PayoutInstruction.objects.values_list("status", flat=True)) == {"PENDING", "DELIVERED"}
    assert {"ACTIVE", "EXPIRED", "PENDING"} <= set(Lot.objects.values_list("status", flat=True))
    assert {"FULFILLED", "CANCELLED"} <= set(Redemption.objects.values_list("status", flat=True))
    report = verify()
    assert [f"{one.check}: {one}" for one in report.differences] == []
    assert demo_bonuses.play_bonuses(operator, seed=1) == {}  # safe to run again


def test_demo_bonuses__without_the_sample_staff__says_what_to_do(monkeypatch):
    PlayerFactory()
    with pytest.raises(CommandError, match="run manage.py setup_demo first"):
        call_command("demo_bonuses")


def test_demo_bonuses__production__is_refused(settings):
    settings.IS_PRODUCTION = True
    with pytest.raises(CommandError, match="refused in production"):
        call_command("demo_bonuses")
