"""Qualification and review on the database: the specification's vectors from the ledger up, time zones, freeze, gate, overrides."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext

from loyalty_site.common.models import AuditEvent
from players.imports.undoing import _remove_players
from players.models import Exclusion, ImportJob, Player, PlayerTier, Tier, TierMove, TierProgramme, VipClearance
from players.services import exclude_player, move_tiers, set_harm_flag
from rewards.models import QualifyingDay, QualifyingMark
from rewards.tiers.clearances import ClearanceRefused, Evidence, approve_clearance, reject_clearance, request_clearance, withdraw_clearance
from rewards.tiers.overrides import OverrideRefused, lift_override, override_tier
from rewards.tiers.projection import tier_view
from rewards.tiers.qualification import Outcome
from rewards.tiers.qualifying import points_by_day
from rewards.tiers.settlement import settle_players, settle_range
from tests.factories import PlayerFactory, TierFactory, UserFactory
from wallet.models import Account, Entry
from wallet.services import Source, add_points, reverse_entry, spend

pytestmark = pytest.mark.django_db
D = Decimal
EVERYBODY = (0, 2**62)
DAY_40 = datetime(2026, 2, 9, 12, 0, tzinfo=UTC)
REVIEW = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def ladder(db: None) -> dict[str, Tier]:
    steps = (("Bronze", 0, 0, False), ("Silver", 1000, 800, False), ("Gold", 10_000, 8_000, False), ("Platinum", 50_000, 40_000, True))
    return {
        name: TierFactory(rank=rank, name=name, entry_points=D(entry), keep_points=D(keep), needs_gate=gate)
        for rank, (name, entry, keep, gate) in enumerate(steps)
    }


@pytest.fixture
def player() -> Player:
    return PlayerFactory()


@pytest.fixture
def staff() -> Callable[..., User]:
    def make(*permissions: str) -> User:
        user = UserFactory()
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        return User.objects.get(pk=user.pk)

    return make


def earn(player: Player, amount: str, at: datetime, *, house: str = "game") -> Entry:
    source = Source("test", f"{player.pk}-{Entry.objects.count()}")
    return add_points(player_id=player.pk, unit="LP", amount=D(amount), source=source, at=at, house=house)


def settle(at: datetime) -> dict[str, int]:
    return settle_range(*EVERYBODY, at)


def tier_of(player: Player) -> str | None:
    tier = Player.objects.get(pk=player.pk).tier
    return tier.name if tier else None


def last_move(player: Player) -> tuple[str, str | None, str, Decimal | None]:
    move = TierMove.objects.filter(player=player).order_by("-pk").first()
    assert move is not None
    return move.kind, move.from_tier and move.from_tier.name, move.to_tier.name, move.points


# The vectors.


def test_vector__ten_thousand_on_day_40__gold_now_and_valid_to_the_end_of_next_quarter(player: Player) -> None:
    earn(player, "10000", DAY_40)
    assert settle(DAY_40)["up"] == 1
    standing = PlayerTier.objects.get(player=player)
    assert (tier_of(player), standing.since, standing.valid_until) == ("Gold", DAY_40, REVIEW)
    assert last_move(player) == ("UPGRADE", None, "Gold", D(10_000))


def test_vector__7500_next_quarter__grace_of_14_days_then_silver(player: Player) -> None:
    earn(player, "10000", DAY_40)
    settle(DAY_40)
    earn(player, "7500", datetime(2026, 5, 1, tzinfo=UTC))
    assert settle(REVIEW - timedelta(seconds=1))["graces_begun"] == 0
    assert settle(REVIEW)["graces_begun"] == 1
    standing = PlayerTier.objects.get(player=player)
    assert (tier_of(player), standing.grace_until, standing.to_keep) == ("Gold", REVIEW + timedelta(days=14), D(500))
    settle(REVIEW + timedelta(days=14, seconds=-1))
    assert tier_of(player) == "Gold"
    assert settle(REVIEW + timedelta(days=14))["down"] == 1
    assert last_move(player) == ("GRACE_END", "Gold", "Silver", D(7_500))
    assert PlayerTier.objects.get(player=player).valid_until == datetime(2026, 10, 1, tzinfo=UTC)


def test_vector__8100_next_quarter__keeps(player: Player) -> None:
    earn(player, "10000", DAY_40)
    settle(DAY_40)
    earn(player, "8100", datetime(2026, 5, 1, tzinfo=UTC))
    assert settle(REVIEW)["rows"] == 0
    standing = PlayerTier.objects.get(player=player)
    assert (tier_of(player), standing.grace_until, standing.valid_until) == ("Gold", None, datetime(2026, 10, 1, tzinfo=UTC))


def test_vector__bet_voided_after_the_upgrade__9900_stays_until_the_review(player: Player) -> None:
    earn(player, "9900", DAY_40)
    bet = earn(player, "100", DAY_40)
    settle(DAY_40)
    assert tier_of(player) == "Gold"
    reverse_entry(bet.pk, source=Source("test", "void"), at=DAY_40 + timedelta(days=2), reason="bet voided", actor=None)
    settle(DAY_40 + timedelta(days=2))
    assert (tier_of(player), PlayerTier.objects.get(player=player).metric) == ("Gold", D(9_900))
    settle(REVIEW - timedelta(days=1))
    assert tier_of(player) == "Gold"


# What counts.


def test_metric__spending_and_adjustments__never_count(player: Player) -> None:
    earn(player, "1200", DAY_40)
    earn(player, "5000", DAY_40, house="manual")
    spend(player_id=player.pk, unit="LP", currency="", amount=D(6_200), source=Source("t", "s"), at=DAY_40, reason="shop")
    settle(DAY_40)
    assert (tier_of(player), PlayerTier.objects.get(player=player).metric) == ("Silver", D(1_200))


def test_metric__reversal_in_a_later_quarter__counts_in_the_window_of_the_entry(player: Player) -> None:
    voided = earn(player, "600", datetime(2026, 3, 31, 23, 0, tzinfo=UTC))
    later = datetime(2026, 4, 2, tzinfo=UTC)
    earn(player, "1000", later)
    reverse_entry(voided.pk, source=Source("t", "v"), at=later, reason="void", actor=None)
    settle(later)
    assert PlayerTier.objects.get(player=player).metric == D(1_000)
    assert dict(QualifyingDay.objects.values_list("day", "points")) == {date(2026, 3, 31): 0, date(2026, 4, 2): 1_000_00}


def test_roll_up__any_number_of_passes__equals_the_ledger(player: Player) -> None:
    entries = []
    for day in range(20):
        entries.append(earn(player, f"{day + 1}.25", DAY_40 + timedelta(days=day)))
        if day % 3 == 2:
            reverse_entry(entries[day - 1].pk, source=Source("t", f"v{day}"), at=DAY_40 + timedelta(days=day), reason="void", actor=None)
        if day % 4 == 0:
            settle(DAY_40 + timedelta(days=day))
        assert sum(points_by_day(player.pk, "UTC").values()) == Account.objects.get(player=player).earned_total
    settle(DAY_40 + timedelta(days=20))
    oracle: dict[date, int] = {}
    for entry in Entry.objects.select_related("reversal_of"):
        day = (entry.reversal_of or entry).occurred_at.date()
        oracle[day] = oracle.get(day, 0) + entry.amount
    assert dict(QualifyingDay.objects.values_list("day", "points")) == oracle == points_by_day(player.pk, "UTC")
    assert QualifyingMark.objects.get().through_seq == Account.objects.get(player=player).version


@pytest.mark.parametrize(("zone", "in_window"), [("UTC", False), ("America/New_York", True), ("Pacific/Auckland", False)])
def test_zone__points_an_hour_before_midnight_at_the_end_of_a_period__fall_into_the_zones_own(
    player: Player, zone: str, in_window: bool
) -> None:
    TierProgramme.objects.update_or_create(pk=1, defaults={"zone": zone})
    moment = datetime(2026, 4, 1, 1, 0, tzinfo=UTC)  # still 31 March in New York, 1 April in London, afternoon in Auckland
    earn(player, "600", datetime(2026, 3, 20, tzinfo=UTC))
    earn(player, "400", moment)
    settle(moment)
    assert (tier_of(player) == "Silver") is in_window


def test_zone__changed__days_are_counted_again(player: Player) -> None:
    earn(player, "10", datetime(2026, 4, 1, 1, 0, tzinfo=UTC))
    settle(DAY_40 + timedelta(days=60))
    TierProgramme.objects.filter(pk=1).update(zone="America/New_York")
    settle(DAY_40 + timedelta(days=60))
    assert dict(QualifyingDay.objects.values_list("day", "points")) == {date(2026, 3, 31): 1_000}


@pytest.mark.parametrize(("zone", "end"), [("Europe/Malta", datetime(2026, 6, 30, 22, 0, tzinfo=UTC)), ("UTC", REVIEW)])
def test_zone__review__comes_at_midnight_there_whatever_the_clocks_do(player: Player, zone: str, end: datetime) -> None:
    TierProgramme.objects.update_or_create(pk=1, defaults={"zone": zone, "grace_days": 0})
    earn(player, "1000", DAY_40)  # winter time; the review is in summer time
    settle(DAY_40)
    assert PlayerTier.objects.get(player=player).valid_until == end
    assert settle(end - timedelta(seconds=1))["down"] == 0
    assert settle(end)["down"] == 1


# Standing.


def test_adoption__tier_without_standing__is_respected_and_remembered(ladder: dict[str, Tier]) -> None:
    player = PlayerFactory(tier=ladder["Gold"])
    settle(DAY_40)
    assert (tier_of(player), PlayerTier.objects.get(player=player).valid_until) == ("Gold", REVIEW)
    assert last_move(player) == ("IMPORT", None, "Gold", None)


def test_adoption__moved_by_hand_since__takes_that_tier_over_without_a_second_move(player: Player, ladder: dict[str, Tier]) -> None:
    settle(DAY_40)
    move_tiers([player.pk], [ladder["Gold"].pk], [None], DAY_40, "agreed with the player")
    settle(DAY_40 + timedelta(days=1))
    assert (tier_of(player), TierMove.objects.filter(player=player, kind="IMPORT").count()) == ("Gold", 0)
    assert PlayerTier.objects.get(player=player).tier == ladder["Gold"]


def test_settle__again__writes_nothing(player: Player) -> None:
    earn(player, "10000", DAY_40)
    settle(DAY_40)
    before = list(PlayerTier.objects.values())
    with CaptureQueriesContext(connection):
        assert settle(DAY_40 + timedelta(hours=1))["rows"] == 0
    assert list(PlayerTier.objects.values()) == before
    assert TierMove.objects.count() == 1


def test_settle__many_players__takes_the_same_number_of_queries() -> None:
    def queries(count: int) -> int:
        for player in PlayerFactory.create_batch(count):
            earn(player, "1500", DAY_40)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            settle(DAY_40)
        return len(captured)

    settle(DAY_40)  # the programme's row is made once
    assert queries(1) == queries(30)


def test_frozen__excluded_and_suspended__do_not_move(player: Player) -> None:
    suspended = PlayerFactory(status="SUSPENDED")
    Exclusion.objects.create(player=player, kind="SELF_EXCLUSION", starts_at=DAY_40, recorded_at=DAY_40)
    for one in (player, suspended):
        earn(one, "10000", DAY_40)
    figures = settle(DAY_40)
    assert (figures["rows"], figures["frozen"]) == (0, 2)
    assert set(PlayerTier.objects.values_list("frozen", "outcome")) == {("EXCLUDED", "FROZEN"), ("SUSPENDED", "FROZEN")}
    Player.objects.filter(pk=suspended.pk).update(status="ACTIVE")
    settle(DAY_40 + timedelta(days=1))
    assert (tier_of(player), tier_of(suspended)) == (None, "Gold")


# Overrides.


def test_override__until_a_day__beats_the_rules_and_ends_by_itself(
    player: Player, ladder: dict[str, Tier], staff: Callable[..., User]
) -> None:
    earn(player, "1000", DAY_40)
    settle(DAY_40)
    actor = staff("override_tier")
    override_tier(player.pk, ladder["Gold"].pk, date(2026, 3, 31), reason="kept from the old programme", actor=actor, at=DAY_40)
    assert last_move(player) == ("OVERRIDE", "Silver", "Gold", D(1_000))
    standing = PlayerTier.objects.get(player=player)
    assert (standing.tier, standing.override_until) == (ladder["Silver"], datetime(2026, 4, 1, tzinfo=UTC))
    settle(datetime(2026, 3, 31, 23, 59, tzinfo=UTC))
    assert tier_of(player) == "Gold"
    settle(datetime(2026, 4, 1, tzinfo=UTC))
    assert last_move(player)[:3] == ("OVERRIDE_END", "Gold", "Silver")
    assert PlayerTier.objects.get(player=player).override_tier is None
    event = AuditEvent.objects.get(action="players.tier_overridden")
    assert (event.actor, event.reason, event.after["override"]) == (actor, "kept from the old programme", "Gold")


def test_override__lifted__the_rules_decide_at_once(player: Player, ladder: dict[str, Tier], staff: Callable[..., User]) -> None:
    earn(player, "10000", DAY_40)
    actor = staff("override_tier")
    override_tier(player.pk, ladder["Bronze"].pk, date(2026, 12, 31), reason="asked for it", actor=actor, at=DAY_40)
    assert tier_of(player) == "Bronze"
    lift_override(player.pk, reason="changed their mind", actor=actor, at=DAY_40 + timedelta(hours=1))
    assert (tier_of(player), last_move(player)[0]) == ("Gold", "OVERRIDE_END")
    with pytest.raises(OverrideRefused, match="has no override"):
        lift_override(player.pk, reason="again", actor=actor, at=DAY_40)


def test_override__wrong_call__is_refused_and_nothing_moves(player: Player, ladder: dict[str, Tier], staff: Callable[..., User]) -> None:
    settle(DAY_40)
    gold, actor = ladder["Gold"].pk, staff("override_tier")
    with pytest.raises(PermissionDenied):
        override_tier(player.pk, gold, date(2026, 3, 1), reason="why", actor=staff(), at=DAY_40)
    with pytest.raises(OverrideRefused, match="needs a reason"):
        override_tier(player.pk, gold, date(2026, 3, 1), reason=" ", actor=actor, at=DAY_40)
    with pytest.raises(OverrideRefused, match="last day: 2026-02-08 is over"):
        override_tier(player.pk, gold, date(2026, 2, 8), reason="why", actor=actor, at=DAY_40)
    with pytest.raises(OverrideRefused, match="last day: 9999-12-31 is more than ten years away"):
        override_tier(player.pk, gold, date.max, reason="why", actor=actor, at=DAY_40)
    with pytest.raises(OverrideRefused, match="Platinum needs a VIP clearance"):
        override_tier(player.pk, ladder["Platinum"].pk, date(2026, 3, 1), reason="why", actor=actor, at=DAY_40)
    exclude_player(player.pk, "OPERATOR", DAY_40, None, "check", None, DAY_40)
    with pytest.raises(OverrideRefused, match="the player is excluded"):
        override_tier(player.pk, gold, date(2026, 3, 1), reason="why", actor=actor, at=DAY_40)
    assert (tier_of(player), AuditEvent.objects.filter(action="players.tier_overridden").exists()) == ("Bronze", False)


# The gate.

EVIDENCE = Evidence("passport, file 12", "payslips, file 13", "no marker in 12 months, file 14", date(2026, 8, 1))


def test_gate__points_without_clearance__waits_and_goes_up_with_the_approval(player: Player, staff: Callable[..., User]) -> None:
    earn(player, "50000", DAY_40)
    assert settle(DAY_40)["waiting"] == 1
    assert (tier_of(player), PlayerTier.objects.get(player=player).waiting_since) == ("Gold", DAY_40)
    asker, approver = staff("request_vipclearance", "approve_vipclearance"), staff("approve_vipclearance")
    clearance = request_clearance(player.pk, EVIDENCE, actor=asker, reason="reached Platinum", at=DAY_40)
    with pytest.raises(ClearanceRefused, match="waits for approval already"):
        request_clearance(player.pk, EVIDENCE, actor=asker, reason="again", at=DAY_40)
    with pytest.raises(PermissionDenied, match="somebody else"):
        approve_clearance(clearance.pk, actor=asker, note="fine", at=DAY_40)
    with pytest.raises(PermissionDenied):
        approve_clearance(clearance.pk, actor=staff("request_vipclearance"), note="fine", at=DAY_40)
    assert tier_of(player) == "Gold"
    approve_clearance(clearance.pk, actor=approver, note="evidence seen", at=DAY_40 + timedelta(days=1))
    assert (tier_of(player), PlayerTier.objects.get(player=player).waiting_tier) == ("Platinum", None)
    assert list(AuditEvent.objects.filter(action__startswith="players.clearance").order_by("pk").values_list("action", "actor")) == [
        ("players.clearance_requested", asker.pk),
        ("players.clearance_approved", approver.pk),
    ]


def test_gate__superuser_who_asked__may_not_approve(player: Player) -> None:
    chief = UserFactory(is_superuser=True)
    clearance = request_clearance(player.pk, EVIDENCE, actor=chief, reason="because", at=DAY_40)
    with pytest.raises(PermissionDenied, match="somebody else"):
        approve_clearance(clearance.pk, actor=chief, note="fine", at=DAY_40)
    reject_clearance(clearance.pk, actor=UserFactory(is_superuser=True), note="payslips too old", at=DAY_40)
    assert VipClearance.objects.get().status == "REJECTED"


@pytest.mark.parametrize("missing", ["identity", "affordability", "harm_check"])
def test_gate__evidence_missing__is_refused(player: Player, missing: str) -> None:
    parts = {"identity": "a", "affordability": "b", "harm_check": "c", "recheck_on": date(2026, 8, 1), missing: " "}
    with pytest.raises(ClearanceRefused, match=missing.replace("_", " ")):
        request_clearance(player.pk, Evidence(**parts), actor=UserFactory(is_superuser=True), reason="why", at=DAY_40)  # type: ignore[arg-type]
    assert not VipClearance.objects.exists()


def test_gate__recheck_not_in_the_future_or_too_far_or_harm__is_refused(player: Player) -> None:
    chief = UserFactory(is_superuser=True)
    with pytest.raises(ClearanceRefused, match="not in the future"):
        request_clearance(player.pk, Evidence("a", "b", "c", DAY_40.date()), actor=chief, reason="why", at=DAY_40)
    with pytest.raises(ClearanceRefused, match="more than two years away"):
        request_clearance(player.pk, Evidence("a", "b", "c", date.max), actor=chief, reason="why", at=DAY_40)
    clearance = request_clearance(player.pk, EVIDENCE, actor=chief, reason="why", at=DAY_40)
    set_harm_flag(player.pk, True, "chases losses", None, DAY_40)
    with pytest.raises(ClearanceRefused, match="flagged for harm"):
        approve_clearance(clearance.pk, actor=UserFactory(is_superuser=True), note="ok", at=DAY_40)
    with pytest.raises(ClearanceRefused, match="not in the future"):
        approve_clearance(clearance.pk, actor=UserFactory(is_superuser=True), note="ok", at=datetime(2026, 8, 1, tzinfo=UTC))


def test_gate__recheck_due__clearance_ends_and_the_review_no_longer_keeps_the_tier(player: Player) -> None:
    asker, approver = UserFactory(is_superuser=True), UserFactory(is_superuser=True)
    evidence = Evidence("a", "b", "c", date(2026, 6, 1))
    approve_clearance(request_clearance(player.pk, evidence, actor=asker, reason="why", at=DAY_40).pk, actor=approver, note="ok", at=DAY_40)
    earn(player, "50000", DAY_40)
    settle(DAY_40)
    earn(player, "60000", datetime(2026, 5, 1, tzinfo=UTC))
    settle(datetime(2026, 5, 31, 23, 0, tzinfo=UTC))
    assert VipClearance.objects.get().status == "APPROVED"
    settle(datetime(2026, 6, 1, tzinfo=UTC))
    assert (VipClearance.objects.get().status, tier_of(player)) == ("EXPIRED", "Platinum")
    assert AuditEvent.objects.filter(action="players.clearance_expired").count() == 1
    settle(REVIEW)
    settle(REVIEW + timedelta(days=14))
    assert tier_of(player) == "Gold"


def test_gate__withdrawn__ends_at_once(player: Player) -> None:
    asker, approver = UserFactory(is_superuser=True), UserFactory(is_superuser=True)
    clearance = request_clearance(player.pk, EVIDENCE, actor=asker, reason="why", at=DAY_40)
    with pytest.raises(ClearanceRefused, match="not in force"):
        withdraw_clearance(clearance.pk, actor=approver, reason="too early", at=DAY_40)
    approve_clearance(clearance.pk, actor=approver, note="ok", at=DAY_40)
    withdraw_clearance(clearance.pk, actor=approver, reason="new information", at=DAY_40)
    earn(player, "50000", DAY_40)
    settle(DAY_40)
    assert tier_of(player) == "Gold"


# Projection.


def test_view__live__equals_what_the_next_pass_stores(player: Player) -> None:
    earn(player, "10000", DAY_40)
    settle(DAY_40)
    earn(player, "2345.67", datetime(2026, 5, 20, tzinfo=UTC))
    now = datetime(2026, 5, 31, 12, 0, tzinfo=UTC)
    view = tier_view(player.pk, now)
    settle(now)
    row = PlayerTier.objects.get(player=player)
    assert view is not None
    assert (
        (view.metric, view.to_next, view.to_keep) == (row.metric, row.to_next, row.to_keep) == (D("2345.67"), D("47654.33"), D("5654.33"))
    )
    assert (view.next_review_at, view.outcome, view.projected) == (row.next_review_at, row.outcome, row.projected_tier)
    assert (view.days_left, view.outcome, view.next_needs_clearance) == (31, Outcome.GRACE, True)
    assert view.keep_text == "5,654.33 points before 2026-07-01 00:00 UTC keep Gold."


@pytest.mark.parametrize("protection", ["SELF_EXCLUSION", "COOL_OFF", "harm"])
def test_view__player_under_protection__says_nothing_of_losing_the_tier(player: Player, protection: str) -> None:
    earn(player, "10000", DAY_40)
    settle(DAY_40)
    if protection == "harm":
        set_harm_flag(player.pk, True, "chases losses", None, DAY_40)
    else:
        Exclusion.objects.create(player=player, kind=protection, starts_at=DAY_40, ends_at=REVIEW, recorded_at=DAY_40)
    view = tier_view(player.pk, datetime(2026, 5, 31, tzinfo=UTC))
    assert view is not None
    assert (view.may_be_told, view.keep_text) == (False, "")


def test_settle_players__named__leaves_others_alone(player: Player) -> None:
    other = PlayerFactory()
    for one in (player, other):
        earn(one, "10000", DAY_40)
    settle_players([player.pk], DAY_40)
    assert (tier_of(player), tier_of(other)) == ("Gold", None)


def test_undone_import__players_with_a_standing__go_with_it_unless_staff_overrode_their_tier(
    ladder: dict[str, Tier], staff: Callable[..., User]
) -> None:
    job = ImportJob.objects.create(kind="players", created_at=DAY_40)
    plain, held = PlayerFactory(import_job=job), PlayerFactory(import_job=job)
    settle(DAY_40)
    override_tier(held.pk, ladder["Gold"].pk, date(2026, 3, 1), reason="agreed", actor=staff("override_tier"), at=DAY_40)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE touched_player (player_id bigint) ON COMMIT DROP")
        assert _remove_players(cursor, job) == (1, 1)
    assert list(Player.objects.values_list("pk", flat=True)) == [held.pk]
    assert not PlayerTier.objects.filter(player_id=plain.pk).exists()
