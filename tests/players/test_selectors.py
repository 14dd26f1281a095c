"""What others read: state, protection columns, market rules, timeline."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from players.activity import ActivityKind
from players.metrics import METRIC_COLUMNS
from players.models import Exclusion, Jurisdiction, JurisdictionPack, Player, Protection
from players.selectors import barred_players, pack_in_force, player_state, player_timeline, protection_columns
from players.services import apply_abuse_scores, exclude_player, ingest, move_tiers
from tests.factories import NOW, PlayerFactory, ProtectionFactory, TierFactory

from .factories import moment, payment, play, session

pytestmark = pytest.mark.django_db
D = Decimal
DAY = timedelta(days=1)


def test_pack__several__the_one_in_force_on_the_day(now: datetime) -> None:
    market = Jurisdiction.objects.create(code="UK", name="United Kingdom")
    old = JurisdictionPack.objects.create(jurisdiction=market, valid_from=date(2025, 1, 1))
    ended = JurisdictionPack.objects.create(jurisdiction=market, valid_from=date(2026, 1, 19), valid_to=date(2026, 2, 1))
    assert pack_in_force(market.pk, date(2024, 12, 31)) is None
    assert pack_in_force(market.pk, date(2026, 1, 18)) == old
    assert pack_in_force(market.pk, date(2026, 1, 19)) == ended
    assert pack_in_force(market.pk, date(2026, 2, 1)) == old
    assert pack_in_force(None, date(2026, 2, 1)) is None


def test_protection__mixed_players__are_aligned_columns(now: datetime) -> None:
    market = Jurisdiction.objects.create(code="UK", name="United Kingdom")
    JurisdictionPack.objects.create(jurisdiction=market, valid_from=date(2026, 1, 1), max_wagering_multiple=D(10))
    bare = PlayerFactory(birth_date=None)
    full = PlayerFactory(jurisdiction=market, birth_date=date(2008, 3, 16), status=Player.Status.SUSPENDED)
    Protection.objects.create(player=full, marketing_consent=True, harm_flag=True)
    exclude_player(full.pk, "COOL_OFF", now - DAY, now + DAY, "", None, now)
    exclude_player(full.pk, "OPERATOR", now - DAY, now + 2 * DAY, "checks", None, now)
    Exclusion.objects.create(player=bare, kind="COOL_OFF", starts_at=now - 2 * DAY, ends_at=now, recorded_at=now)  # over: half-open
    Exclusion.objects.create(player=bare, kind="COOL_OFF", starts_at=now + DAY, recorded_at=now)  # not begun
    columns = protection_columns(np.array([full.pk, bare.pk]), now)
    assert columns.player_ids.tolist() == [bare.pk, full.pk]
    assert columns.excluded.tolist() == [False, True]
    assert columns.exclusion_kind.tolist() == ["", "OPERATOR"]
    assert columns.harm_flag.tolist() == [False, True]
    assert columns.marketing_consent.tolist() == [False, True]
    assert columns.profiling_consent.tolist() == [False, False]
    assert columns.age.tolist() == [-1, 17]  # eighteen tomorrow
    assert columns.status.tolist() == ["ACTIVE", "SUSPENDED"]
    assert columns.rule("max_wagering_multiple").tolist() == [None, D(10)]
    assert protection_columns([full.pk], now + DAY).age.tolist() == [18]


def test_protection__unknown_player__is_named(now: datetime) -> None:
    with pytest.raises(LookupError, match="player 424242 does not exist"):
        protection_columns([PlayerFactory().pk, 424242], now)


def test_protection__nobody__is_empty_columns(now: datetime) -> None:
    columns = protection_columns([], now)
    assert columns.excluded.tolist() == columns.age.tolist() == []


def test_state__of_a_player__holds_figures_profile_and_protection(now: datetime) -> None:
    market = Jurisdiction.objects.create(code="MT", name="Malta")
    JurisdictionPack.objects.create(jurisdiction=market, valid_from=date(2026, 1, 1))
    tier = TierFactory(rank=70, name="Gilt")
    player = PlayerFactory(external_id="P1", jurisdiction=market, registered_at=moment(1), tier=tier)
    ingest(ActivityKind.PLAYS, [play("P1", "a", moment(2), stake=D(10), payout=D(4)), play("P1", "b", moment(16), stake=D(99))], at=now)
    apply_abuse_scores([player.pk], [D(12)], now)
    state = player_state(player.pk, now)
    assert set(METRIC_COLUMNS) <= set(state)
    assert (state["player_id"], state["tier"], state["segment"], state["jurisdiction"]) == ("P1", "Gilt", "NEW", "MT")
    assert (state["total_wagered"], state["net_pnl"], state["bonus_abuse_score"]) == (D(10), D(-6), D(12))
    assert (state["days_since_registration"], state["metrics_stored_as_of"]) == (14, now)
    assert state["jurisdiction_rules"]["bonuses_allowed"] is True
    assert state["protection"] == {
        "excluded": False,
        "exclusion_kind": "",
        "harm_flag": False,
        "marketing_consent": False,
        "profiling_consent": False,
        "age": None,
    }


def test_state__never_measured__has_figures_all_the_same(now: datetime) -> None:
    state = player_state(PlayerFactory(registered_at=None).pk, now)
    assert (state["total_wagered"], state["bonus_abuse_score"], state["metrics_stored_as_of"]) == (0, 0, None)
    assert (state["jurisdiction_rules"], state["days_since_registration"]) == (None, None)
    with pytest.raises(Player.DoesNotExist):
        player_state(424242, now)


def test_timeline__all_sources__newest_first_and_paged(now: datetime) -> None:
    player = PlayerFactory(external_id="P1")
    ingest(ActivityKind.PAYMENTS, [payment("P1", "d", moment(1), amount=D(50)), payment("P1", "f", moment(2), status="FAILED")], at=now)
    ingest(ActivityKind.SESSIONS, [session("P1", "s", moment(3), moment(3, 13))], at=now)
    ingest(
        ActivityKind.PLAYS,
        [play("P1", "a", moment(3), stake=D(5), payout=D(9)), play("P1", "b", moment(3, 13), stake=D(1), game_code="wheel", rounds=3)],
        at=now,
    )
    move_tiers([player.pk], [TierFactory(rank=70, name="Gilt").pk], [None], moment(4), "by hand")
    exclude_player(player.pk, "COOL_OFF", moment(5), moment(20), "", None, moment(5))
    items = player_timeline(player.pk, 10)
    assert [(item.kind, item.title) for item in items] == [
        ("EXCLUSION", "Cool-off"),
        ("TIER", "Tier - to Gilt"),
        ("PLAY", "Played 4 rounds of 2 games"),
        ("SESSION", "Session of 60 minutes"),
        ("PAYMENT", "Deposit: Failed"),
        ("PAYMENT", "Deposit"),
    ]
    played = items[2]
    assert (played.details["stake"], played.details["net"], played.details["games"]) == (D(6), D(3), ["reel", "wheel"])
    assert player_timeline(player.pk, 2) == items[:2]
    assert player_timeline(player.pk, 2, before=items[1].at) == items[2:4]


@pytest.mark.django_db
def test_barred_players__same_as_the_columns_of_protection() -> None:
    free, closed, flagged, away, back = (PlayerFactory() for _ in range(5))
    Player.objects.filter(pk=closed.pk).update(status=Player.Status.CLOSED)
    ProtectionFactory(player=flagged, harm_flag=True)
    ProtectionFactory(player=free)
    Exclusion.objects.create(player=away, kind="COOL_OFF", starts_at=NOW - timedelta(days=1), recorded_at=NOW)
    Exclusion.objects.create(player=back, kind="COOL_OFF", starts_at=NOW - timedelta(days=2), ends_at=NOW, recorded_at=NOW)
    ids = [one.pk for one in (free, closed, flagged, away, back)]
    assert barred_players(ids, NOW) == {closed.pk, flagged.pk, away.pk}
    columns = protection_columns(ids, NOW)
    assert set(columns.player_ids[columns.excluded | columns.harm_flag | (columns.status != "ACTIVE")].tolist()) == {
        closed.pk,
        flagged.pk,
        away.pk,
    }
    assert barred_players([], NOW) == set()
