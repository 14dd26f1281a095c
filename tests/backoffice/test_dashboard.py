"""The figures of the start page, on a data set small enough to add up by hand."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.test import Client

from loyalty_site import figures
from loyalty_site.common.clock import day_start, utc_now
from loyalty_site.common.models import JobRun
from loyalty_site.dashboard import comparison, tiles
from loyalty_site.figures import DayTotals
from players.models import PlayerDay
from rewards.models import DecisionStatus, RewardDecision
from tests.factories import PlayerFactory, PlayerMetricsFactory, TierFactory, UserFactory
from tests.wallet.grant_rows import grant_row, void_request
from wallet.models import PayoutInstruction

pytestmark = pytest.mark.django_db
DAY = date(2026, 3, 15)


def day(player: object, when: date, **fields: object) -> None:
    values = {name: Decimal(str(value)) if not isinstance(value, int) else value for name, value in fields.items()}
    PlayerDay.objects.create(player=player, day=when, **values)


def test_day_totals__two_currencies__add_up_per_currency_and_day() -> None:
    anna, bert, carl = PlayerFactory(), PlayerFactory(), PlayerFactory(currency="SEK")
    day(anna, DAY, deposits="100.10", withdrawals="20", refunds="5", stake="300", payout="250.55", rounds=3, deposit_count=1)
    day(bert, DAY, stake="0.01", payout="10", rounds=1)
    day(bert, DAY - timedelta(days=1), deposits="7", deposit_count=1)
    day(carl, DAY, stake="1000", payout="0", rounds=1)
    day(anna, DAY - timedelta(days=2), refunds="1")  # a chargeback alone is no activity of the player
    found = figures.day_totals("EUR", DAY - timedelta(days=2), DAY)
    assert found[DAY] == DayTotals(
        active_players=2, deposits=Decimal("100.10"), net_deposits=Decimal("75.10"), stake=Decimal("300.01"), ggr=Decimal("39.46")
    )
    assert found[DAY - timedelta(days=1)] == DayTotals(active_players=1, deposits=Decimal(7), net_deposits=Decimal(7))
    assert found[DAY - timedelta(days=2)].active_players == 0


def test_reference_day__nothing_today__is_the_latest_day_with_activity() -> None:
    assert figures.reference_day(DAY) is None
    player = PlayerFactory()
    day(player, DAY - timedelta(days=3), rounds=1)
    day(player, DAY + timedelta(days=1), rounds=1)
    assert figures.reference_day(DAY) == DAY - timedelta(days=3)


def test_tiles__against_the_week_before__compare_with_the_mean_of_seven_days() -> None:
    totals = {DAY: DayTotals(active_players=2, deposits=Decimal(120), stake=Decimal(10), ggr=Decimal(-5))}
    totals |= {DAY - timedelta(days=back): DayTotals(active_players=1, deposits=Decimal(140)) for back in (1, 2, 3, 4, 5)}
    shown = {tile.label: tile for tile in tiles("EUR", DAY, totals, DAY + timedelta(days=1), {})}
    assert (shown["Deposits"].figure, shown["Deposits"].compare, shown["Deposits"].tone) == ("120.00", "+20 % on 7-day mean 100.00", "good")
    assert (shown["Active players"].figure, shown["Active players"].compare) == ("2", "+180 % on 7-day mean 0.7")
    assert (shown["GGR"].figure, shown["GGR"].compare, shown["GGR"].tone) == ("-5.00", "7-day mean 0.00", "bad")
    assert shown["Rewards issued today"].tone == ""


def test_tiles__day_still_running__is_no_bad_news_below_the_mean() -> None:
    totals = {DAY: DayTotals(active_players=2, deposits=Decimal(20), ggr=Decimal(-5))}
    totals |= {DAY - timedelta(days=back): DayTotals(active_players=1, deposits=Decimal(100), ggr=Decimal(7)) for back in range(1, 8)}
    shown = {tile.label: tile for tile in tiles("EUR", DAY, totals, DAY, {})}
    assert (shown["Deposits"].compare, shown["Deposits"].tone) == ("7-day mean 100.00", "")
    assert (shown["GGR"].compare, shown["GGR"].tone) == ("7-day mean 7.00", "")
    assert (shown["Active players"].compare, shown["Active players"].tone) == ("+100 % on 7-day mean 1.0", "good")


def test_comparison__no_earlier_activity__names_the_mean_without_a_percentage() -> None:
    assert comparison(Decimal(5), [Decimal(0)] * 7, "EUR", more_is_good=True) == ("7-day mean 0.00", "")


def decision(player: object, number: int, status: str, **fields: object) -> RewardDecision:
    moment = day_start(DAY) + timedelta(hours=12)
    values: dict[str, object] = {
        "player": player,
        "period": f"manual:{number}",
        "source": RewardDecision.Source.MANUAL,
        "idempotency_key": f"key-{number}",
        "unit": "BONUS",
        "currency": "EUR",
        "proposed_minor": 1000,
        "amount_minor": 1000,
        "status": status,
        "proposed_at": moment,
        "issued_at": moment if status == DecisionStatus.ISSUED else None,
    }
    return RewardDecision.objects.create(**(values | fields))


def test_rewards__by_issue_day_and_status__count_units_and_sum_bonus_money() -> None:
    player, other = PlayerFactory(), PlayerFactory(currency="SEK")
    decision(player, 1, DecisionStatus.ISSUED, amount_minor=1000, expected_cost=Decimal("4.2"))
    decision(player, 2, DecisionStatus.ISSUED, unit="LP", currency="", amount_minor=500)
    decision(player, 3, DecisionStatus.REFUSED)
    decision(other, 4, DecisionStatus.ISSUED, currency="SEK", amount_minor=1000)
    issued = figures.issued_totals("EUR", DAY, DAY)
    assert (issued[DAY].count, issued[DAY].bonus_money, issued[DAY].expected_cost) == (2, Decimal("10.00"), Decimal("4.2"))
    assert figures.rewards_by_status("EUR", DAY, DAY) == {DAY: {"ISSUED": 2, "REFUSED": 1}}


def test_workload__one_of_each__counts_and_sums() -> None:
    player, now = PlayerFactory(), day_start(DAY) + timedelta(hours=13)
    decision(player, 1, DecisionStatus.PENDING, amount_minor=2550, proposed_minor=2550)
    decision(player, 2, DecisionStatus.PENDING, unit="LP", currency="")
    decision(player, 3, DecisionStatus.ISSUE_FAILED)
    for back, parent in [(1, None), (8, None)]:
        JobRun.objects.create(name="nightly", status="FAILED", as_of=now, created_at=now - timedelta(days=back), parent=parent)
    work = figures.workload("EUR", now)
    assert (work.pending_rewards, work.pending_reward_sum, work.failed_issues, work.failed_runs) == (2, Decimal("25.50"), 1, 1)
    assert work.oldest_pending_at == day_start(DAY) + timedelta(hours=12)
    assert (work.open_reviews, work.quarantined_rows, work.pending_adjustments, work.expiring_bonuses) == (0, 0, 0, 0)


def test_population__segments_tiers_and_bands__count_every_player_once() -> None:
    gold = TierFactory(name="Gold", rank=7)
    for back, segment in [(0, "VIP"), (6, "NEW"), (7, "NEW"), (89, "LOSING"), (90, "LOSING"), (None, "NEW")]:
        player = PlayerFactory(segment=segment, tier=gold if segment == "VIP" else None)
        PlayerMetricsFactory(player=player, last_play_on=DAY - timedelta(days=back) if back is not None else None)
    PlayerFactory()  # not measured yet
    people = figures.population("EUR", DAY)
    assert people.players == 7
    assert people.segments == {"VIP": 1, "NEW": 4, "LOSING": 2}
    assert people.tiers == [("Gold", gold.color, 1), ("No tier yet", "#94a3b8", 6)]
    assert people.inactivity == [("0–6 days", 2), ("7–29 days", 1), ("30–89 days", 1), ("90 days +", 1), ("Never played", 1)]
    assert people.measured == 6


def test_start_page__empty_site__says_what_to_do(client_of: Callable[..., Client]) -> None:
    body = client_of("CRM manager").get("/admin/").content.decode()
    assert "No players yet" in body
    assert "Nothing waits for you" in body


def test_start_page__member_of_staff_without_role__says_so_and_shows_no_figures(client_of: Callable[..., Client]) -> None:
    day(PlayerFactory(), utc_now().date(), stake="77777", rounds=1)
    body = client_of().get("/admin/").content.decode()
    assert "no role yet" in body
    assert "77,777" not in body


def test_start_page__currency_switch__shows_that_currency(client_of: Callable[..., Client]) -> None:
    today = utc_now().date()
    day(PlayerFactory(), today, stake="111.10", rounds=1)
    day(PlayerFactory(currency="SEK"), today, stake="222.20", rounds=1)
    client = client_of("Finance")
    base, other = client.get("/admin/").content.decode(), client.get("/admin/?currency=SEK").content.decode()
    assert ("111.10" in base, "222.20" in base) == (True, False)
    assert ("111.10" in other, "222.20" in other) == (False, True)
    assert "111.10" in client.get("/admin/?currency=XXX").content.decode()


def test_menu_badges__failed_runs__count_whole_runs_of_seven_days() -> None:
    from loyalty_site.navigation import badge_counts

    now = utc_now()
    recent = JobRun.objects.create(name="nightly", status="FAILED", as_of=now, created_at=now)
    JobRun.objects.create(name="stage", status="FAILED", as_of=now, created_at=now, parent=recent)
    JobRun.objects.create(name="nightly", status="FAILED", as_of=now, created_at=now - timedelta(days=8))
    assert badge_counts()["failed_jobs"] == 1


def test_workload__bonuses__liability_voids_and_failed_payouts_of_the_currency() -> None:
    player = PlayerFactory()
    asked = grant_row(player, "WAGERING", balance="80", locked="20.50", wagered="1", at=utc_now())
    grant_row(PlayerFactory(currency="SEK"), currency="SEK", at=utc_now())
    grant_row(PlayerFactory(), "COMPLETED", at=utc_now())
    PayoutInstruction.objects.update(status="FAILED")
    void_request(asked, UserFactory())
    work = figures.workload("EUR", utc_now())
    assert (work.bonus_liability, work.open_bonuses) == (Decimal("100.50"), 1)
    assert (work.pending_voids, work.failed_payouts) == (1, 1)


def test_start_page__compliance__is_told_of_voids_and_sees_the_liability(client_of: Callable[..., Client]) -> None:
    player = PlayerFactory()
    day(player, utc_now().date(), stake="10", rounds=1)
    void_request(grant_row(player, at=utc_now()), UserFactory())
    context = client_of("Compliance").get("/admin/").context
    assert [todo.text for todo in context["todos"] if "voided" in todo.text] == ["bonuses wait to be voided or kept"]
    tile = next(tile for tile in context["tiles"] if tile.label == "Bonus liability")
    assert (tile.figure, tile.unit, tile.compare) == ("100.00", "EUR", "now, on 1 open bonus")
