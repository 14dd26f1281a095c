"""The page of one player: what each role sees of it, and what its actions do or refuse."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from fraud.models import ReviewFlag
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import AuditEvent
from players.models import Exclusion, Payment, Player, PlayerDay, Protection
from rewards.models import RewardDecision
from tests.factories import PlayerFactory, PlayerMetricsFactory
from tests.wallet.factories import a_template
from tests.wallet.grant_rows import grant_row
from wallet.models import AdjustmentRequest, Entry

pytestmark = pytest.mark.django_db


@pytest.fixture
def player() -> Player:
    made = PlayerFactory(
        external_id="P-1", username="anna77", first_name="Anna", last_name="Berg", email="anna@example.com", attributes={"shoe": "38"}
    )
    PlayerMetricsFactory(player=made, total_deposited=Decimal("1234.5"), net_pnl=Decimal("-10"))
    return made


def url(player: Player, action: str = "change") -> str:
    if action == "change":
        return reverse("admin:players_player_change", args=[player.pk])
    return reverse(f"admin:players_player_{action}", args=[player.pk])


def post(client: Client, player: Player, action: str, **data: object) -> tuple[int, list[str]]:
    """Send a dialog as the browser does; the status and the messages it left."""
    answer = client.post(url(player, action), {"_form_submitted": "True", **data}, headers={"HX-Request": "true"})
    return answer.status_code, [str(one) for one in get_messages(answer.wsgi_request)]


@pytest.mark.parametrize(
    ("role", "sees"), [("CRM agent", True), ("CRM manager", True), ("Compliance", True), ("Finance", False), ("Read-only", False)]
)
def test_page__personal_data__only_for_those_who_may_see_it(
    role: str, sees: bool, player: Player, client_of: Callable[..., Client]
) -> None:
    body = client_of(role).get(url(player)).content.decode()
    assert "1,234.50 EUR" in body
    assert {text: text in body for text in ("anna77", "Anna Berg", "anna@example.com", "shoe")} == dict.fromkeys(
        ("anna77", "Anna Berg", "anna@example.com", "shoe"), sees
    )


def test_page__no_role__is_refused(player: Player, client_of: Callable[..., Client]) -> None:
    assert client_of().get(url(player)).status_code == 403


def test_page__unknown_player__says_so_and_goes_back(client_of: Callable[..., Client]) -> None:
    answer = client_of("CRM agent").get(reverse("admin:players_player_change", args=[987654]))
    assert answer.status_code == 302


def test_page__excluded_and_harm_flag__stand_in_the_banner(player: Player, client_of: Callable[..., Client]) -> None:
    now = utc_now()
    Exclusion.objects.create(player=player, kind="SELF_EXCLUSION", starts_at=now - timedelta(days=1), recorded_at=now)
    Exclusion.objects.create(
        player=player, kind="COOL_OFF", starts_at=now - timedelta(days=9), ends_at=now - timedelta(days=8), recorded_at=now
    )
    Protection.objects.create(player=player, harm_flag=True, harm_note="Chases losses")
    banners = client_of("CRM agent").get(url(player)).context["page"].banners
    assert [one.text for one in banners] == ["Self-exclusion without end", "Harm flag"]


def test_page__timeline__merges_money_play_and_reviews_newest_first(player: Player, client_of: Callable[..., Client]) -> None:
    now = utc_now()
    Payment.objects.create(player=player, external_id="d1", kind="DEPOSIT", amount=50, occurred_at=now - timedelta(hours=3))
    ReviewFlag.objects.create(player=player, reason="Many cards", flagged_at=now - timedelta(hours=1))
    page = client_of("CRM manager").get(url(player)).context["page"]
    assert [(line.kind, line.title) for line in page.timeline] == [
        ("Review", "Flagged for review by the system"),
        ("Payment", "Deposit"),
    ]


def test_page__number_of_queries__does_not_grow_with_activity(
    player: Player, client_of: Callable[..., Client], django_assert_max_num_queries: Callable
) -> None:
    now = utc_now()
    for back in range(60):
        PlayerDay.objects.create(player=player, day=(now - timedelta(days=back)).date(), stake=1, rounds=1)
        Payment.objects.create(player=player, external_id=f"d{back}", kind="DEPOSIT", amount=5, occurred_at=now - timedelta(days=back))
    client = client_of("CRM manager")
    client.get(url(player))
    with django_assert_max_num_queries(55):
        client.get(url(player))


def actions_of(client: Client, player: Player) -> set[str]:
    found: set[str] = set()
    for entry in client.get(url(player)).context["actions_detail"]:
        found |= {item["title"] for item in entry["items"]} if entry.get("items") else {entry["title"]}
    return found


@pytest.mark.parametrize(
    ("role", "offered"),
    [
        ("CRM agent", {"Give a reward", "Flag for review"}),
        ("CRM manager", {"Give a reward", "Flag for review", "Adjust wallet"}),
        ("Risk analyst", {"Flag for review"}),
        ("Finance", {"Adjust wallet"}),
        ("Read-only", set()),
        (
            "Compliance",
            {
                "Flag for review",
                "Exclude",
                "Lift exclusion",
                "Harm flag",
                "Consents",
                "Deposit limit",
            },
        ),
    ],
)
def test_actions__each_role__is_offered_its_own(role: str, offered: set[str], player: Player, client_of: Callable[..., Client]) -> None:
    assert actions_of(client_of(role), player) == offered


@pytest.mark.parametrize(
    "action", ["give_reward", "adjust_wallet", "flag", "record_exclusion", "lift_exclusion", "harm", "consent", "deposit_limit"]
)
def test_actions__read_only__are_refused_and_change_nothing(action: str, player: Player, client_of: Callable[..., Client]) -> None:
    data = {"reason": "because", "kind": "OPERATOR", "unit": "LP", "amount": "5", "harm_flag": "1", "period": "DAY", "key": "k"}
    status, _ = post(client_of("Read-only"), player, action, **data)
    assert status == 403
    assert (Exclusion.objects.count(), Entry.objects.count(), ReviewFlag.objects.count(), AuditEvent.objects.count()) == (0, 0, 0, 0)


def test_exclude__compliance_with_last_day__holds_to_the_end_of_that_day(player: Player, client_of: Callable[..., Client]) -> None:
    last = utc_now().date() + timedelta(days=10)
    client = client_of("Compliance")
    assert post(client, player, "record_exclusion", kind="COOL_OFF", ends_on=last.isoformat(), reason="Player called") == (
        200,
        ["Cool-off is recorded."],
    )
    made = Exclusion.objects.get()
    assert (made.kind, made.ends_at.date(), made.recorded_by.username) == ("COOL_OFF", last + timedelta(days=1), "compliance")
    event = AuditEvent.objects.get(action="players.exclusion_recorded")
    assert (event.reason, event.subject_id) == ("Player called", str(player.pk))


def test_exclude__cool_off_without_last_day__asks_for_it_and_records_nothing(player: Player, client_of: Callable[..., Client]) -> None:
    data = {"_form_submitted": "True", "kind": "COOL_OFF", "ends_on": "", "reason": "Player called"}
    answer = client_of("Compliance").post(url(player, "record_exclusion"), data)
    assert "A cool-off is a pause: give its last day." in answer.content.decode()
    assert not Exclusion.objects.exists()


def test_exclude__without_reason_or_with_past_day__asks_again_and_records_nothing(player: Player, client_of: Callable[..., Client]) -> None:
    client = client_of("Compliance")
    answer = client.post(url(player, "record_exclusion"), {"_form_submitted": "True", "kind": "OPERATOR", "ends_on": "2020-01-01"})
    body = answer.content.decode()
    assert "Give a reason: it is kept with the change." in body
    assert "This day is past" in body
    assert Exclusion.objects.count() == 0


def test_harm_flag__set_twice__is_recorded_once(player: Player, client_of: Callable[..., Client]) -> None:
    client = client_of("Compliance")
    for _ in range(2):
        post(client, player, "harm", harm_flag="1", reason="Chases losses")
    assert Protection.objects.get(player=player).harm_flag is True
    assert AuditEvent.objects.filter(action="players.harm_flag_changed").count() == 1


def test_adjust__small_amount_of_points__is_posted_with_its_reason(player: Player, client_of: Callable[..., Client]) -> None:
    status, said = post(client_of("CRM manager"), player, "adjust_wallet", unit="LP", amount="12.50", reason="Lost points")
    assert (status, said) == (200, [f"Adjustment {AdjustmentRequest.objects.get().pk}: posted."])
    assert Entry.objects.get().amount == 1250


def test_adjust__more_than_there_is__is_refused_in_words_and_posts_nothing(player: Player, client_of: Callable[..., Client]) -> None:
    fields = {"_form_submitted": "1", "unit": "LP", "amount": "-12.50", "reason": "Wrong"}
    answer = client_of("CRM manager").post(reverse("admin:players_player_adjust_wallet", args=[player.pk]), fields)
    assert len(answer.context["form"].errors["amount"]) == 1  # the refusal stands beside what was typed
    assert "-12.50" in answer.content.decode()
    assert Entry.objects.count() == 0


def test_give_reward__with_a_bonus_template__proposes_its_terms(player: Player, client_of: Callable[..., Client]) -> None:
    a_template("welcome", multiple=Decimal(20), wagering_hours=72)
    fields = {"unit": "BONUS", "amount": "10", "wagering_multiple": "0", "bonus_template": "welcome", "key": "k", "reason": "Lost a prize"}
    status, said = post(client_of("CRM manager"), player, "give_reward", **fields)
    decision = RewardDecision.objects.get()
    assert (status, said[-1]) == (200, f"Reward {decision.pk}: {decision.get_status_display().lower()}.")
    assert (decision.bonus_template, decision.wagering_multiple, decision.expiry_hours) == ("welcome", 20, 72)


@pytest.mark.parametrize(
    ("fields", "name", "text"),
    [
        ({"unit": "LP", "bonus_template": "welcome"}, "bonus_template", "Only bonus money has a template"),
        ({"unit": "LP", "wagering_multiple": "2"}, "wagering_multiple", "Only bonus money can be wagered"),
        ({"unit": "LP", "expiry_days": "2"}, "expiry_days", "The points policy says"),
        ({"unit": "BONUS"}, "expiry_days", "Bonus money needs an end"),
        ({"unit": "BONUS", "bonus_template": "welcome", "wagering_multiple": "2"}, "wagering_multiple", "The template says this"),
        ({"unit": "BONUS", "bonus_template": "welcome", "expiry_days": "2"}, "expiry_days", "The template says this"),
        ({"unit": "BONUS", "bonus_template": "none-such"}, "bonus_template", "not one of the available choices"),
    ],
)
def test_give_reward__terms_that_contradict__stand_beside_what_was_typed(
    player: Player, client_of: Callable[..., Client], fields: dict[str, str], name: str, text: str
) -> None:
    a_template("welcome")
    data = {"_form_submitted": "True", "amount": "10", "wagering_multiple": "0", "key": "k", "reason": "Lost a prize", **fields}
    answer = client_of("CRM manager").post(url(player, "give_reward"), data)
    assert text in answer.context["form"].errors[name][0]
    assert not RewardDecision.objects.exists()


def test_flag__second_time_while_open__is_refused_in_words(player: Player, client_of: Callable[..., Client]) -> None:
    client = client_of("CRM agent")
    assert post(client, player, "flag", reason="Shared card")[1] == ["The player waits for a review."]
    said = post(client, player, "flag", reason="Shared card")[1]
    assert said[-1].startswith("A review of player P-1 is open already")
    assert ReviewFlag.objects.count() == 1


def test_history__view_only_record__is_the_audit_trail_of_that_record(player: Player, client_of: Callable[..., Client]) -> None:
    client = client_of("Compliance")
    post(client, player, "harm", harm_flag="1", reason="Chases losses")
    answer = client.get(reverse("admin:players_player_history", args=[player.pk]), follow=True)
    assert [event.action for event in answer.context["cl"].result_list] == ["players.harm_flag_changed"]


def test_bonuses__by_state__grouped_with_actions_for_those_who_may(client_of: Callable[..., Client]) -> None:
    player, now = PlayerFactory(), utc_now()
    for status in ("WAGERING", "QUEUED", "OFFERED", "COMPLETED"):
        grant_row(player, status, wagered="10" if status == "WAGERING" else "0", at=now - timedelta(days=2))
    url = reverse("admin:players_player_change", args=[player.pk])
    groups = client_of("CRM agent").get(url).context["page"].bonuses
    assert {group.title: [action.label for one in group.bonuses for action in one.actions] for group in groups} == {
        "Open": ["Surrender"],
        "Queued": ["Move in queue", "Surrender"],
        "Offered": ["Claim", "Surrender"],
        "Last closed": [],
    }
    page = client_of("Read-only").get(url).context["page"]
    assert not any(one.actions for group in page.bonuses for one in group.bonuses)
    assert [line.title for line in page.timeline if line.kind == "Bonus"].count("Bonus of 100.00 EUR: completed") == 1
