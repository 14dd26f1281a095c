"""The board, the pages of a standing and of a clearance, the API and the facts."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import AuditEvent
from players.models import Exclusion, Player, PlayerTier, Tier, TierProgramme, VipClearance
from rewards.admin.tiers.board import board, picture
from rewards.facts import load_facts
from rewards.tiers.settlement import settle_range
from tests.api_client import KeyedClient
from tests.cache import forget_cached
from tests.factories import PlayerFactory, TierFactory
from wallet.services import Source, add_points

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture(autouse=True)
def ladder(db: None) -> dict[str, Tier]:
    forget_cached()
    TierProgramme.objects.create(pk=1, window="rolling", rolling_days=30)  # so that the day of the test does not matter
    steps = (("Bronze", 0, 0, False), ("Silver", 1000, 800, False), ("Gold", 10_000, 8_000, False), ("Platinum", 50_000, 40_000, True))
    return {
        name: TierFactory(rank=rank, name=name, entry_points=D(entry), keep_points=D(keep), needs_gate=gate)
        for rank, (name, entry, keep, gate) in enumerate(steps)
    }


@pytest.fixture
def gold() -> Player:
    """Gold by 12,000 points of today."""
    player = PlayerFactory(external_id="P001")
    earn(player, 12_000)
    settle_range(0, 2**62, utc_now())
    return player


def earn(player: Player, amount: int) -> None:
    add_points(player_id=player.pk, unit="LP", amount=D(amount), source=Source("test", f"{player.pk}"), at=utc_now(), house="game")


@pytest.fixture
def client_of() -> Callable[[str], Client]:
    def make(role: str) -> Client:
        user = User.objects.create_user(role.lower().replace(" ", "_"), is_staff=True)
        user.groups.set(Group.objects.filter(name=role))
        client = Client()
        client.force_login(user)
        return client

    return make


def post(client: Client, action: str, pk: int | None = None, model: str = "playertier", **data: object) -> None:
    name = f"admin:players_{model}_{action}"
    client.post(reverse(name, args=[pk] if pk else []), {"_form_submitted": "True", **data})


def offered(client: Client, clearance_id: int) -> set[str]:
    """The decisions that the page of a clearance has a button for."""
    page = client.get(reverse("admin:players_vipclearance_change", args=[clearance_id])).content.decode()
    urls = {name: reverse(f"admin:players_vipclearance_{name}", args=[clearance_id]) for name in ("approve", "reject", "withdraw")}
    return {name for name, url in urls.items() if url in page}


def test_board__counts__agree_with_the_standings_and_lead_to_their_lists(gold: Player, client_of: Callable[[str], Client]) -> None:
    PlayerFactory.create_batch(3)
    settle_range(0, 2**62, utc_now())
    forget_cached()
    shown = board(utc_now())
    assert [(line.tier.name, line.players) for line in shown["lines"]] == [("Platinum", 0), ("Gold", 1), ("Silver", 0), ("Bronze", 3)]
    assert shown["totals"] == [0, 4, 0, 0, 0, 0]  # all keep: Gold by the pace of the last 30 days
    client = client_of("Read-only")
    page = client.get(reverse("admin:players_playertier_changelist"))
    assert page.status_code == 200
    assert "At the next review" in page.content.decode()
    cell = shown["lines"][1].cells[1]
    listed = client.get(cell.url).context["cl"].result_list
    assert [row.player_id for row in listed] == [gold.pk]


def test_picture__bands__are_as_high_on_both_sides_as_the_players_in_them(ladder: dict[str, Tier]) -> None:
    bronze, silver = ladder["Bronze"].pk, ladder["Silver"].pk
    groups = [
        {"tier_id": bronze, "outcome": "KEEPS", "projected_tier_id": bronze, "players": 900},
        {"tier_id": bronze, "outcome": "UP", "projected_tier_id": silver, "players": 100},
        {"tier_id": silver, "outcome": "GRACE", "projected_tier_id": bronze, "players": 25},
    ]
    drawn = picture(list(ladder.values()), groups)
    assert [band["title"] for band in drawn["bands"]] == [
        "Keeps: 900 from Bronze to Bronze", "Goes up: 100 from Bronze to Silver", "Into grace: 25 from Silver to Bronze",
    ]  # fmt: skip
    assert [(node["name"], node["players"]) for node in drawn["nodes"]] == [
        ("Platinum", 0), ("Gold", 0), ("Silver", 25), ("Bronze", 1000), ("Platinum", 0), ("Gold", 0), ("Silver", 100), ("Bronze", 925),
    ]  # fmt: skip
    assert picture(list(ladder.values()), []) == {}


def test_override__by_a_manager__moves_and_is_audited(gold: Player, ladder: dict[str, Tier], client_of: Callable[[str], Client]) -> None:
    client = client_of("CRM manager")
    until = utc_now().date() + timedelta(days=5)
    post(client, "override", gold.pk, tier=ladder["Bronze"].pk, last_day=until.isoformat(), reason="asked for it by letter")
    assert PlayerTier.objects.get(player=gold).override_tier == ladder["Bronze"]
    assert Player.objects.get(pk=gold.pk).tier == ladder["Bronze"]
    page = client.get(reverse("admin:players_playertier_change", args=[gold.pk])).content.decode()
    assert "asked for it by letter" in page
    assert "Lift the override" in page
    assert "Tier of P001" in page
    assert f"player {gold.pk}" not in page
    post(client, "lift", gold.pk, reason="withdrew the letter")
    assert "Lift the override" not in client.get(reverse("admin:players_playertier_change", args=[gold.pk])).content.decode()
    assert Player.objects.get(pk=gold.pk).tier == ladder["Gold"]
    assert AuditEvent.objects.filter(action__startswith="players.tier_over").count() == 2


def test_override__by_an_agent__is_refused(gold: Player, ladder: dict[str, Tier], client_of: Callable[[str], Client]) -> None:
    client = client_of("CRM agent")
    until = utc_now().date() + timedelta(days=5)
    post(client, "override", gold.pk, tier=ladder["Bronze"].pk, last_day=until.isoformat(), reason="just so")
    assert PlayerTier.objects.get(player=gold).override_tier is None


def test_clearance__asked_by_a_manager_and_approved_by_compliance(gold: Player, client_of: Callable[[str], Client]) -> None:
    manager, compliance = client_of("CRM manager"), client_of("Compliance")
    evidence = {"identity": "passport", "affordability": "payslips", "harm_check": "no marker"}
    until = (utc_now().date() + timedelta(days=90)).isoformat()
    post(manager, "ask", model="vipclearance", player="P001", recheck_on=until, reason="near Platinum", **evidence)
    clearance = VipClearance.objects.get()
    assert offered(manager, clearance.pk) == set()
    assert offered(compliance, clearance.pk) == {"approve", "reject"}
    post(manager, "approve", clearance.pk, model="vipclearance", reason="mine")
    assert VipClearance.objects.get().status == "REQUESTED"
    post(compliance, "approve", clearance.pk, model="vipclearance", reason="evidence seen")
    assert VipClearance.objects.get().status == "APPROVED"
    assert offered(compliance, clearance.pk) == {"withdraw"}
    page = compliance.get(reverse("admin:players_vipclearance_change", args=[clearance.pk])).content.decode()
    assert "payslips" in page


def test_player_page__tier__shows_what_is_missing_and_the_history(gold: Player, client_of: Callable[[str], Client]) -> None:
    page = client_of("Read-only").get(reverse("admin:players_player_change", args=[gold.pk])).content.decode()
    assert "12,000 of 50,000" in page
    assert "points earned" in page


def test_export__without_permission__is_not_offered(gold: Player, client_of: Callable[[str], Client]) -> None:
    assert client_of("Read-only").get(reverse("admin:players_playertier_export")).status_code == 403
    assert client_of("Compliance").get(reverse("admin:players_playertier_export")).status_code == 200


def test_api__tier__gives_standing_and_projection(gold: Player) -> None:
    answer = KeyedClient(["players:read"]).get("/players/P001/tier").json()
    assert (answer["tier"]["name"], answer["metric"], answer["to_next"], answer["to_keep"]) == ("Gold", "12000.00", "38000.00", "8000.00")
    assert (answer["next_tier"], answer["next_needs_clearance"], answer["in_grace"], answer["may_be_told"]) == (
        "Platinum",
        True,
        False,
        True,
    )
    assert (answer["projected_outcome"], answer["projected_tier"], answer["days_left"]) == ("KEEPS", "Gold", 31)
    assert answer["keep_text"].startswith("8,000 points before ")


def test_api__player_under_cool_off__is_told_nothing_of_losing_the_tier(gold: Player) -> None:
    now = utc_now()
    Exclusion.objects.create(player=gold, kind="COOL_OFF", starts_at=now, ends_at=now + timedelta(days=7), recorded_at=now)
    answer = KeyedClient(["players:read"]).get("/players/P001/tier").json()
    hidden = ("review_metric", "to_keep", "in_grace", "grace_until", "projected_outcome", "projected_tier")
    hidden += ("valid_until", "next_review_at", "days_left")  # a review beyond the validity would give a grace away
    assert (answer["may_be_told"], answer["keep_text"], [answer[name] for name in hidden]) == (False, "", [None] * 9)
    state = KeyedClient(["players:read"]).get("/players/P001/state").json()
    assert state["tier_standing"].keys() == {"points_to_next", "may_be_told", "looked_at"}
    assert (answer["tier"]["name"], answer["frozen"], answer["to_next"]) == ("Gold", "EXCLUDED", "38000.00")


def test_api__unknown_player_or_no_ladder__says_so(gold: Player) -> None:
    client = KeyedClient(["players:read"])
    assert client.get("/players/nobody/tier").status_code == 404
    assert KeyedClient(["rules:read"]).get("/players/P001/tier").status_code == 403


FACTS = ["points_to_next", "points_to_keep", "days_to_review", "in_grace", "tier_may_be_told", "tier_rank", "tier_earn_multiplier"]


def test_facts__of_a_standing__are_those_of_the_last_look(gold: Player) -> None:
    facts = load_facts(FACTS, utc_now())
    assert [facts.value(name, 0) for name in FACTS] == [D(38_000), D(8_000), 31, False, True, 2, D(1)]


def test_facts__player_flagged_for_harm__have_no_value_that_says_loss(gold: Player) -> None:
    from players.services import set_harm_flag

    set_harm_flag(gold.pk, True, "chases losses", None, utc_now())
    facts = load_facts(FACTS, utc_now())
    assert [facts.value(name, 0) for name in FACTS] == [D(38_000), None, None, None, False, 2, D(1)]
