"""Earning rules: which rule gives the points of a play, caps, currencies, the programme's start, corrections; reckoned by hand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from players.models import Game, GamePlay, Player, PlayerDay, TierMove
from rewards.earning import credit_play_points, explain_day
from rewards.models import DayEarning, EarningRule, PlayPoints
from tests.factories import NOW, GameFactory, PlayerFactory, TierFactory
from wallet.models import Account, Entry

pytestmark = pytest.mark.django_db
EVERYBODY = (0, 2**62)
DAY = date(2026, 3, 14)


@pytest.fixture(autouse=True)
def no_rules(db: None) -> None:
    EarningRule.objects.all().delete()


def rule(scope: str = "default", key: str = "", **fields: Any) -> EarningRule:
    values = {"name": f"{scope} {key}", "rate": Decimal("0.01"), "valid_from": date(2026, 1, 1), **fields}
    return EarningRule.objects.create(scope=scope, key=key, **values)


def played(player: Player, stake: str, *, game: Game | None = None, bonus: str = "0", day: date = DAY, ref: str = "") -> GamePlay:
    """One play at noon, and the roll-up of its day made to fit."""
    play = GamePlay.objects.create(
        player=player,
        external_id=ref or f"play-{GamePlay.objects.count()}",
        game=game or GameFactory(),
        played_at=datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        stake=Decimal(stake),
        bonus_stake=Decimal(bonus),
        payout=Decimal(0),
    )
    roll_up(player, day)
    return play


def roll_up(player: Player, day: date = DAY) -> None:
    plays = list(GamePlay.objects.filter(player=player, played_at__date=day))
    PlayerDay.objects.filter(player=player, day=day).delete()
    if plays:
        PlayerDay.objects.create(
            player=player,
            day=day,
            stake=sum(play.stake for play in plays),
            bonus_stake=sum(play.bonus_stake for play in plays),
            theo=sum(play.stake * (play.game.house_edge or Decimal("0.05")) for play in plays),
            rounds=len(plays),
            games=len({play.game_id for play in plays}),
            max_stake=max(play.stake for play in plays),
        )


def held(player: Player, unit: str = "LP") -> Decimal:
    account = Account.objects.filter(player=player, unit=unit).first()
    return Decimal(account.balance) / 100 if account else Decimal(0)


def test_rules__most_specific_scope__gives_the_points() -> None:
    rule(rate=Decimal("0.01"))
    rule("category", "slots", rate=Decimal("0.02"))
    rule("provider", "Novo", rate=Decimal("0.03"))
    rule("game", "reel", rate=Decimal("0.04"))
    player = PlayerFactory()
    played(player, "100", game=GameFactory(code="Reel", provider="novo", category="slots"))  # 4; upper and lower case are alike
    played(player, "100", game=GameFactory(code="other", provider="novo", category="slots"))  # 3
    played(player, "100", game=GameFactory(code="wild", provider="", category="slots"))  # 2
    played(player, "100", game=GameFactory(code="wheel", provider="", category="roulette"))  # 1
    credit_play_points(*EVERYBODY, NOW)
    assert held(player) == Decimal(10)
    explained = explain_day(player.pk, DAY)
    assert explained is not None
    assert [(line["rule"].scope, line["points"]) for line in explained["lines"]] == [
        ("game", Decimal(4)),
        ("provider", Decimal(3)),
        ("category", Decimal(2)),
        ("default", Decimal(1)),
    ]


def test_rules__weight_and_tier_multiplier__multiply_the_rate_unless_the_rule_says_otherwise() -> None:
    rule(rate=Decimal("0.1"), weight=Decimal("0.25"))
    rule(unit="RP", rate=Decimal("0.1"), uses_tier_multiplier=False)
    player = PlayerFactory(tier=TierFactory(earn_multiplier=Decimal("1.5")))
    played(player, "100")
    credit_play_points(*EVERYBODY, NOW)
    assert (held(player), held(player, "RP")) == (Decimal("3.75"), Decimal(10))


def test_rules__weight_zero__earns_nothing_for_that_game_and_the_default_for_others() -> None:
    rule()
    rule("category", "roulette", weight=Decimal(0))
    player = PlayerFactory()
    played(player, "500", game=GameFactory(category="roulette"))
    played(player, "100")
    credit_play_points(*EVERYBODY, NOW)
    assert held(player) == Decimal(1)


def test_rules__of_a_currency__go_before_those_of_all_in_the_same_scope() -> None:
    rule(rate=Decimal("0.01"))
    rule(rate=Decimal("0.0001"), currency="JPY")
    rule("category", "slots", rate=Decimal("0.05"), currency="USD")
    euro, yen = PlayerFactory(), PlayerFactory(currency="JPY")
    played(euro, "100")  # the slots rule is for dollars only
    played(yen, "10000")
    credit_play_points(*EVERYBODY, NOW)
    assert (held(euro), held(yen)) == (Decimal(1), Decimal(1))


def test_rules__bonus_stake__counts_only_where_the_rule_says_so() -> None:
    rule()
    rule(unit="RP", counts_bonus_stake=True)
    player = PlayerFactory()
    played(player, "1000", bonus="400")
    credit_play_points(*EVERYBODY, NOW)
    assert (held(player), held(player, "RP")) == (Decimal(6), Decimal(10))


def test_caps__per_play_and_per_day__limit_after_the_multiplier() -> None:
    rule(rate=Decimal("0.01"), event_cap=Decimal(5), daily_cap=Decimal(12))
    player = PlayerFactory(tier=TierFactory(earn_multiplier=Decimal(2)))
    played(player, "1000")  # 20, capped to 5
    played(player, "200")  # 4
    played(player, "400")  # 8, capped to 5; in all 14, capped to 12
    credit_play_points(*EVERYBODY, NOW)
    assert held(player) == Decimal(12)
    explained = explain_day(player.pk, DAY)
    assert explained is not None
    line = explained["lines"][0]
    assert (line["uncapped"], line["points"], line["is_capped"], line["events"]) == (Decimal(32), Decimal(12), True, 3)


def test_caps__are_per_rule_and_per_player() -> None:
    rule(daily_cap=Decimal(1))
    rule("category", "roulette", daily_cap=Decimal(2))
    one, other = PlayerFactory(), PlayerFactory()
    for player in (one, other):
        played(player, "1000")
        played(player, "1000", game=GameFactory(category="roulette"))
    credit_play_points(*EVERYBODY, NOW)
    assert (held(one), held(other)) == (Decimal(3), Decimal(3))


def test_programme__play_before_the_first_rule__earns_nothing_and_is_not_looked_at() -> None:
    rule(valid_from=DAY)
    player = PlayerFactory()
    played(player, "1000", day=DAY - timedelta(days=1))
    played(player, "100", day=DAY)
    credit_play_points(*EVERYBODY, NOW)
    assert held(player) == Decimal(1)
    assert list(DayEarning.objects.values_list("day", flat=True)) == [DAY]


def test_rules__later_rule_of_the_same_scope__takes_over_on_its_first_day_and_an_ended_one_gives_way() -> None:
    rule(rate=Decimal("0.01"))
    rule(rate=Decimal("0.02"), valid_from=date(2026, 3, 13), valid_to=date(2026, 3, 14))
    player = PlayerFactory()
    for day in (12, 13, 14):
        played(player, "100", day=date(2026, 3, day))
    credit_play_points(*EVERYBODY, NOW)
    assert list(DayEarning.objects.order_by("day").values_list("lp", flat=True)) == [Decimal(1), Decimal(2), Decimal(1)]


def test_days__without_single_plays__use_the_rule_for_all_play_on_the_roll_up() -> None:
    rule(event_cap=Decimal(1))
    rule("category", "slots", rate=Decimal(1))
    player = PlayerFactory()
    PlayerDay.objects.create(player=player, day=DAY, stake=Decimal(1000), bonus_stake=Decimal(200))
    credit_play_points(*EVERYBODY, NOW)
    assert held(player) == Decimal(8)


def test_days__no_rule_fits__are_reckoned_once_with_nothing() -> None:
    rule("game", "only-this")
    player = PlayerFactory()
    played(player, "100")
    assert credit_play_points(*EVERYBODY, NOW)["rows"] == 1
    assert credit_play_points(*EVERYBODY, NOW) == {"rows": 0}
    assert (DayEarning.objects.get().lines, Entry.objects.count()) == ([], 0)


def test_days__play_moved_to_another_game__posts_the_difference() -> None:
    rule()
    dear = GameFactory(code="dear", house_edge=Decimal("0.01"))
    rule("game", "dear", rate=Decimal("0.05"))
    player = PlayerFactory()
    play = played(player, "100")
    credit_play_points(*EVERYBODY, NOW)
    play.game = dear
    play.save()
    roll_up(player)
    credit_play_points(*EVERYBODY, NOW)
    assert held(player) == Decimal(5)
    assert list(Entry.objects.order_by("pk").values_list("amount", flat=True)) == [100, 400]


def test_days__all_play_taken_away__takes_the_points_back_and_forgets_the_day() -> None:
    rule()
    player = PlayerFactory()
    played(player, "100")
    credit_play_points(*EVERYBODY, NOW)
    GamePlay.objects.all().delete()
    roll_up(player)
    assert credit_play_points(*EVERYBODY, NOW)["taken_back"] == 1
    assert (held(player), DayEarning.objects.count(), PlayPoints.objects.get().earned) == (Decimal(0), 0, Decimal(0))
    assert credit_play_points(*EVERYBODY, NOW) == {"rows": 0}


def test_multiplier__of_a_past_day__is_that_of_the_tier_held_when_it_ended() -> None:
    rule()
    bronze = TierFactory(rank=0, earn_multiplier=Decimal(1))
    gold = TierFactory(rank=1, earn_multiplier=Decimal(3))
    player = PlayerFactory(tier=gold)
    TierMove.objects.create(player=player, from_tier=bronze, to_tier=gold, moved_at=datetime(2026, 3, 14, 2, tzinfo=UTC), reason="t")
    played(player, "100", day=date(2026, 3, 13))
    played(player, "100", day=date(2026, 3, 14))
    credit_play_points(*EVERYBODY, NOW)
    assert list(DayEarning.objects.order_by("day").values_list("multiplier", "lp")) == [(1, 1), (3, 3)]


def test_multiplier__of_a_corrected_day__stays_what_it_was() -> None:
    rule()
    tier = TierFactory(earn_multiplier=Decimal(2))
    player = PlayerFactory(tier=tier)
    played(player, "100")
    credit_play_points(*EVERYBODY, NOW)
    tier.earn_multiplier = Decimal(5)
    tier.save()
    played(player, "100")
    credit_play_points(*EVERYBODY, NOW)
    assert held(player) == Decimal(4)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plays=st.lists(
        st.tuples(st.integers(1, 14), st.decimals("0.01", "500", places=4), st.sampled_from(["slots", "roulette", "live"])), max_size=12
    ),
    nights=st.sets(st.integers(2, 15)),
)
def test_sum__in_any_nights__is_that_of_one_and_of_plain_arithmetic(plays: list[tuple[int, Decimal, str]], nights: set[int]) -> None:
    EarningRule.objects.all().delete()
    rule(rate=Decimal("0.0137"), daily_cap=Decimal("4.5"))
    rule("category", "roulette", rate=Decimal("0.011"), weight=Decimal("0.333"), event_cap=Decimal(1))
    games = {
        category: Game.objects.get_or_create(code=f"g-{category}", defaults={"category": category})[0]
        for category in ("slots", "roulette", "live")
    }
    tier = TierFactory(earn_multiplier=Decimal("1.125"))
    player = PlayerFactory(tier=tier)
    by_day: dict[int, dict[str, Decimal]] = {}
    for number, (day, stake, category) in enumerate(plays):
        played(player, str(stake), game=games[category], day=date(2026, 3, day), ref=f"p{number}")
        sums = by_day.setdefault(day, {"default": Decimal(0), "roulette": Decimal(0)})
        if category == "roulette":
            sums["roulette"] += min(stake * Decimal("0.011") * Decimal("0.333") * Decimal("1.125"), Decimal(1))
        else:
            sums["default"] += stake * Decimal("0.0137") * Decimal("1.125")
    expected = sum((min(sums["default"], Decimal("4.5")) + sums["roulette"] for sums in by_day.values()), Decimal(0))
    for night in sorted(nights | {15}):
        credit_play_points(player.pk, player.pk + 1, datetime(2026, 3, night, 3, tzinfo=UTC))
    found = PlayPoints.objects.filter(player=player).first()
    assert (found.earned if found else Decimal(0)) == expected
    assert held(player) == expected.quantize(Decimal("0.01"), rounding="ROUND_DOWN")
    DayEarning.objects.filter(player=player).delete()
    GamePlay.objects.filter(player=player).delete()
    PlayerDay.objects.filter(player=player).delete()
    Player.objects.filter(pk=player.pk).update(tier=None)
    tier.delete()
