"""A deposit triggers a bonus once."""

from decimal import Decimal

import pytest

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_source, a_template, offer
from wallet import services
from wallet.errors import GrantRefused
from wallet.models import BonusGrant

pytestmark = pytest.mark.django_db

PAID = {"deposit": Decimal(40), "deposit_ref": "D-1"}


def test_deposit__second_bonus_of_the_template__is_refused() -> None:
    player, reload = PlayerFactory(), a_template("reload", match_percent=Decimal(50))
    first = offer(player.pk, reload, **PAID)
    with pytest.raises(GrantRefused, match=f"has triggered bonus grant {first.pk} of the same template"):
        offer(player.pk, reload, **PAID)
    assert BonusGrant.objects.count() == 1


def test_deposit__second_claim_of_the_template__is_refused_and_the_offer_stays() -> None:
    player, welcome = PlayerFactory(), a_template("welcome", match_percent=Decimal(100), needs_claim=True)
    first, second = offer(player.pk, welcome), offer(player.pk, welcome)
    services.claim_grant(first.pk, at=NOW, **PAID)
    with pytest.raises(GrantRefused, match="a bonus is given once for a deposit"):
        services.claim_grant(second.pk, at=NOW, **PAID)
    second.refresh_from_db()
    assert (second.status, second.deposit_ref) == ("OFFERED", "")


def test_deposit__bonuses_of_two_templates_and_of_two_players__are_given() -> None:
    player, other = PlayerFactory(), PlayerFactory()
    casino, sports = a_template("casino", match_percent=Decimal(50)), a_template("sports", match_percent=Decimal(10), products=["sports"])
    given = [offer(player.pk, casino, **PAID), offer(player.pk, sports, **PAID), offer(other.pk, casino, **PAID)]
    assert [grant.status for grant in given] == ["ACTIVE"] * 3


def test_deposit__told_with_another_amount__is_refused() -> None:
    player = PlayerFactory()
    offer(player.pk, a_template("casino", match_percent=Decimal(50)), **PAID)
    with pytest.raises(GrantRefused, match="'D-1' was 40.00 EUR"):
        offer(player.pk, a_template("more", match_percent=Decimal(50)), deposit=Decimal(4000), deposit_ref="D-1")


def test_deposit__charged_back__triggers_no_other_bonus() -> None:
    player = PlayerFactory()
    offer(player.pk, a_template("casino", match_percent=Decimal(50)), **PAID)
    services.reverse_deposit(player_id=player.pk, deposit_ref="D-1", at=NOW, source=a_source())
    with pytest.raises(GrantRefused, match="was charged back"):
        offer(player.pk, a_template("more", match_percent=Decimal(50)), **PAID)


def test_deposit__charged_back_before_it_was_used__triggers_no_bonus() -> None:
    player, welcome = PlayerFactory(), a_template("welcome", match_percent=Decimal(100), needs_claim=True)
    offered = offer(player.pk, welcome)
    services.reverse_deposit(player_id=player.pk, deposit_ref="D-1", at=NOW, source=a_source())
    with pytest.raises(GrantRefused, match="'D-1' was charged back; it triggers no bonus"):
        services.claim_grant(offered.pk, at=NOW, **PAID)
    # control: another deposit of the player does
    assert services.claim_grant(offered.pk, at=NOW, deposit=Decimal(40), deposit_ref="D-2").status == "ACTIVE"
