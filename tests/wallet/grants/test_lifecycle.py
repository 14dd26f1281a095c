"""Every way through the states: offers, queue, pausing, giving up, withdrawal, expiry. Figures are worked by hand."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from loyalty_site.common.models import AuditEvent
from players.models import Exclusion, Jurisdiction, JurisdictionPack, Protection
from tests.factories import NOW, PlayerFactory
from tests.wallet.activity import scenes
from tests.wallet.factories import a_source, a_template, assert_books_balance, balance_of, bet, bonus, offer, staff, statuses
from wallet import services
from wallet.bonus.states import TRANSITIONS, Status
from wallet.grants import closing, queue
from wallet.models import BonusGrant, Entry, GrantEvent
from wallet.services import GrantRefused, IdempotencyConflict, InvalidPosting, Source, UnknownPlayer

pytestmark = pytest.mark.django_db
EVERYBODY = {"lower_id": 0, "upper_id": 2**60}


@pytest.fixture
def player():
    return PlayerFactory()


@pytest.fixture
def agent():
    return staff("act_for_player", "offer_bonus")


def _fresh(*grants):
    return [BonusGrant.objects.get(pk=grant.pk).status for grant in grants]


# offers


def test_offer_bonus__same_source__returns_the_grant_and_another_template_is_refused(player):
    template = a_template("one", amount=Decimal(10))
    first = offer(player.pk, template, ref="x")
    assert offer(player.pk, template, ref="x", at=NOW + timedelta(hours=3)).pk == first.pk
    with pytest.raises(IdempotencyConflict):
        offer(player.pk, a_template("two", amount=Decimal(10)), ref="x")
    with pytest.raises(IdempotencyConflict):
        offer(PlayerFactory().pk, template, ref="x")
    assert (BonusGrant.objects.count(), balance_of(player.pk, "BONUS", "EUR")) == (1, 1000)


@pytest.mark.parametrize(
    ("terms", "asked", "message"),
    [
        ({}, {}, "has no fixed amount; name the amount"),
        ({"amount": Decimal("10.005")}, {}, "more than 2 decimal places; name the amount"),
        ({"max_amount": Decimal(5)}, {"amount": Decimal(6)}, "gives 5.00 BONUS EUR at most, not 6.00"),
        ({"match_percent": Decimal(100)}, {}, "needs a deposit: name its amount and its id"),
        ({"match_percent": Decimal(1)}, {"deposit": Decimal("0.50"), "deposit_ref": "D"}, "1 % of a deposit of 0.50 BONUS EUR is nothing"),
        (
            {"min_deposit": Decimal(20)},
            {"amount": Decimal(5), "deposit": Decimal(19), "deposit_ref": "D"},
            "needs a deposit of 20 EUR at least",
        ),
        ({"amount": Decimal(5)}, {"deposit": Decimal(19)}, "a deposit needs both its amount and its id"),
    ],
)
def test_offer_bonus__amount_that_cannot_be__is_refused_and_nothing_is_written(player, terms, asked, message):
    with pytest.raises(GrantRefused, match=message):
        offer(player.pk, a_template("t", **terms), **asked)
    assert (BonusGrant.objects.count(), Entry.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("deposit", "named", "given"), [("100", None, 5000), ("300", None, 10000), ("300", "20", 2000), ("33.33", None, 1666)]
)
def test_offer_bonus__share_of_a_deposit__rounded_down_and_bounded(player, deposit, named, given):
    template = a_template("half", match_percent=Decimal(50), max_amount=Decimal(100))
    grant = offer(player.pk, template, deposit=Decimal(deposit), deposit_ref="D", amount=None if named is None else Decimal(named))
    assert (grant.principal, grant.wagering_required) == (given, Decimal(given) / 10)


def test_offer_bonus__market_the_template_is_not_for__is_refused(player):
    template = a_template("swedish", amount=Decimal(5))
    template.current.markets.add(Jurisdiction.objects.create(code="SE", name="Sweden"))
    with pytest.raises(GrantRefused, match="is not offered in the player's market"):
        offer(player.pk, template)
    with pytest.raises(UnknownPlayer):
        offer(10**9, template)


def test_offer_bonus__by_a_person_without_the_permission__is_refused(player, agent):
    template = a_template("t", amount=Decimal(5))
    with pytest.raises(GrantRefused, match="ask for the permission wallet.offer_bonus"):
        offer(player.pk, template, actor=staff())
    assert offer(player.pk, template, actor=agent).events.get().actor == agent


def test_free_spins__begin_without_money_and_keep_the_product(player):
    template = a_template("spins", kind="free_spins", spins=20, spin_value=Decimal("0.10"), base="spin_winnings")
    grant = offer(player.pk, template)
    assert (grant.status, grant.principal, grant.spins_left, Entry.objects.count()) == ("ACTIVE", 0, 20, 0)
    assert bonus(player.pk, "5").status == "QUEUED"


# claims


@pytest.mark.parametrize("why", ["SELF_EXCLUSION", "COOL_OFF", "harm"])
def test_claim_grant__player_under_protection__is_refused(player, why):
    grant = offer(player.pk, a_template("t", needs_claim=True, amount=Decimal(5)))
    if why == "harm":
        Protection.objects.update_or_create(player=player, defaults={"harm_flag": True})
    else:
        Exclusion.objects.create(player=player, kind=why, starts_at=NOW, ends_at=NOW + timedelta(days=9), recorded_at=NOW)
    with pytest.raises(GrantRefused, match="the player may be given nothing now"):
        services.claim_grant(grant.pk, at=NOW + timedelta(hours=1))
    assert _fresh(grant) == ["OFFERED"]
    assert services.surrender_grant(grant.pk, at=NOW + timedelta(hours=1), reason="no more").status == "FORFEITED"


def test_claim_grant__after_its_end_or_twice__is_refused(player):
    grant = offer(player.pk, a_template("t", needs_claim=True, amount=Decimal(5), claim_hours=48))
    with pytest.raises(GrantRefused, match="the offer of bonus grant .* ended at 2026-03-17 12:00 UTC"):
        services.claim_grant(grant.pk, at=NOW + timedelta(hours=48))
    services.claim_grant(grant.pk, at=NOW + timedelta(hours=47))
    with pytest.raises(GrantRefused, match="is active; only an offer can be claimed"):
        services.claim_grant(grant.pk, at=NOW + timedelta(hours=47))
    assert balance_of(player.pk, "BONUS", "EUR") == 500


def test_claim_grant__nothing_to_wager__is_completed_and_paid_at_once(player):
    grant = offer(player.pk, a_template("t", needs_claim=True, amount=Decimal(5), multiple=Decimal(0)))
    done = services.claim_grant(grant.pk, at=NOW)
    assert (done.status, done.released, done.payouts.get().amount) == ("COMPLETED", 500, 500)
    assert statuses(done) == [("", "OFFERED"), ("OFFERED", "ACTIVE"), ("ACTIVE", "COMPLETED")]
    assert_books_balance()


def test_decline_grant__offer__is_forfeited_and_another_is_refused(player, agent):
    offered, active = offer(player.pk, a_template("t", needs_claim=True, amount=Decimal(5))), bonus(player.pk)
    assert services.decline_grant(offered.pk, at=NOW, reason="not now", actor=agent).status == "FORFEITED"
    with pytest.raises(GrantRefused, match="is active; it cannot be declined"):
        services.decline_grant(active.pk, at=NOW, reason="not now")
    with pytest.raises(GrantRefused, match="give a reason"):
        services.surrender_grant(active.pk, at=NOW, reason=" ")
    audit = AuditEvent.objects.get(action="wallet.grant_declined")
    assert (audit.actor, audit.before, audit.after) == (agent, {"status": "OFFERED"}, {"status": "FORFEITED"})
    assert Entry.objects.filter(house="forfeit").count() == 0


# queue


def test_queue__order__place_then_earlier_end_then_number(player, agent):
    active = bonus(player.pk)
    later, sooner, moved = bonus(player.pk), bonus(player.pk, at=NOW - timedelta(days=1)), bonus(player.pk)
    services.move_in_queue(moved.pk, -1, at=NOW, actor=agent)
    places = {grant.pk: queue.queue_position(BonusGrant.objects.get(pk=grant.pk)) for grant in (active, moved, sooner, later)}
    assert places == {active.pk: None, moved.pk: 1, sooner.pk: 2, later.pk: 3}
    begun = []
    for _ in range(4):
        current = BonusGrant.objects.get(status="ACTIVE")
        begun.append(current.pk)
        services.surrender_grant(current.pk, at=NOW, reason="next")
    assert begun == [active.pk, moved.pk, sooner.pk, later.pk]
    assert AuditEvent.objects.get(action="wallet.grant_moved_in_queue").after == {"queue_order": -1}
    assert_books_balance()


def test_move_in_queue__not_queued_or_without_permission__is_refused(player, agent):
    grant = bonus(player.pk)
    with pytest.raises(GrantRefused, match="only queued ones have a place"):
        services.move_in_queue(grant.pk, 1, at=NOW, actor=agent)
    with pytest.raises(GrantRefused, match="wallet.act_for_player"):
        services.move_in_queue(grant.pk, 1, at=NOW, actor=staff())


def test_queue__per_product__the_other_product_begins_at_once(player):
    bonus(player.pk)
    sports = offer(player.pk, a_template("s", products=["sports"], amount=Decimal(5)))
    assert sports.status == "ACTIVE"
    assert bonus(player.pk, currency="SEK").status == "QUEUED"  # one open grant of a product, whatever its currency


def test_queue__player_barred_when_the_grant_ends__waits_for_the_hourly_job(player):
    first, second = bonus(player.pk), bonus(player.pk)
    ban = Exclusion.objects.create(player=player, kind="COOL_OFF", starts_at=NOW, ends_at=NOW + timedelta(days=2), recorded_at=NOW)
    services.surrender_grant(first.pk, at=NOW + timedelta(hours=1), reason="pause")
    assert _fresh(second) == ["QUEUED"]
    assert services.activate_waiting(at=NOW + timedelta(days=1), **EVERYBODY) == 0
    assert bonus(player.pk, at=NOW + timedelta(days=1)).status == "QUEUED"  # who comes later never overtakes
    assert services.activate_waiting(at=ban.ends_at, **EVERYBODY) == 1
    assert services.activate_waiting(at=ban.ends_at, **EVERYBODY) == 0
    second.refresh_from_db()
    assert (second.status, second.activated_at) == ("ACTIVE", ban.ends_at)
    assert_books_balance()


# pausing


def _market(player, **rules):
    market = Jurisdiction.objects.create(code="XX", name="Somewhere")
    JurisdictionPack.objects.create(jurisdiction=market, valid_from=date(2020, 1, 1), **rules)
    player.jurisdiction = market
    player.save(update_fields=["jurisdiction"])


def test_pause_grant__market_allows_it__bets_do_not_count_until_it_goes_on(player, agent):
    _market(player, pausing_allowed=True)
    grant = bonus(player.pk)
    bet(player.pk, "5")
    services.pause_grant(grant.pk, at=NOW, reason="holiday", actor=agent)
    assert bet(player.pk, "5").counts[0].verdict == "PAUSED"
    assert services.resume_grant(grant.pk, at=NOW, reason="back", actor=agent).status == "WAGERING"
    assert statuses(grant) == [("", "ACTIVE"), ("ACTIVE", "WAGERING"), ("WAGERING", "PAUSED"), ("PAUSED", "WAGERING")]
    with pytest.raises(GrantRefused, match="is wagering, not paused"):
        services.resume_grant(grant.pk, at=NOW, reason="again")


@pytest.mark.parametrize(
    ("required", "stake", "cash", "end", "released"),
    [("10", "10", "100", "COMPLETED", 1000), ("100", "10", "0", "LOST", 0)],
    ids=["the open round met the requirement", "the open round lost the rest"],
)
def test_resume_grant__a_round_ended_meanwhile__ends_the_grant(player, agent, required, stake, cash, end, released):
    _market(player, pausing_allowed=True)
    grant = bonus(player.pk, "10.00", required)
    scenes.send(player.pk, "BET", stake, round_id="r", cash_before=cash)
    services.pause_grant(grant.pk, at=NOW, reason="holiday", actor=agent)
    scenes.send(player.pk, "ROUND_END", round_id="r")
    assert _fresh(grant) == ["PAUSED"]
    assert services.resume_grant(grant.pk, at=NOW, reason="back", actor=agent).status == end
    grant.refresh_from_db()
    assert grant.released == released
    assert_books_balance()


def test_pause_grant__market_says_nothing_or_no__is_refused(player):
    grant = bonus(player.pk)
    with pytest.raises(GrantRefused, match="do not allow to pause"):
        services.pause_grant(grant.pk, at=NOW, reason="holiday")
    _market(player)
    with pytest.raises(GrantRefused, match="do not allow to pause"):
        services.pause_grant(grant.pk, at=NOW, reason="holiday")


# withdrawal


def test_withdraw__open_bonus__preview_then_forfeit_by_its_terms_once(player):
    kept = offer(player.pk, a_template("kept", products=["sports"], amount=Decimal(7), forfeit_on_withdrawal=False))
    lost, waiting = bonus(player.pk, "10", "100"), bonus(player.pk, "3")
    bet(player.pk, "30")
    preview = services.forfeit_preview(player.pk, "EUR", NOW, Decimal(40))
    assert preview == services.ForfeitPreview(Decimal(40), (services.GrantLoss(lost.pk, Decimal("10.00"), Decimal("0.00"), Decimal(70)),))
    asked = {"player_id": player.pk, "currency": "EUR", "amount": Decimal(40), "withdrawal_ref": "W1"}
    at = NOW + timedelta(hours=1)
    assert services.withdraw(**asked, at=at) == preview
    assert _fresh(kept, lost, waiting) == ["ACTIVE", "FORFEITED", "ACTIVE"]
    assert services.withdraw(**asked, at=at + timedelta(hours=1)) == preview  # told again later: the one that began since is not touched
    assert _fresh(waiting) == ["ACTIVE"]
    with pytest.raises(IdempotencyConflict, match="withdrawal W1 was told before with 4000 minor units of EUR"):
        services.withdraw(**asked | {"amount": Decimal(41)}, at=at)
    assert Entry.objects.filter(house="forfeit").values_list("amount", flat=True).get() == -1000
    assert lost.events.last().detail["withdrawal"] == "W1"
    assert_books_balance()


def test_withdraw__reported_late__does_not_touch_what_began_after_it(player):
    grant = bonus(player.pk)
    asked = {"player_id": player.pk, "currency": "EUR", "amount": Decimal(1), "withdrawal_ref": "W1"}
    assert services.withdraw(**asked, at=NOW - timedelta(seconds=1)).lost == ()
    assert _fresh(grant) == ["ACTIVE"]


def test_withdraw__no_bonus_or_nonsense__cash_is_never_held_back(player):
    asked = {"player_id": player.pk, "currency": "EUR", "amount": Decimal(1), "withdrawal_ref": "W1", "at": NOW}
    assert services.withdraw(**asked) == services.ForfeitPreview(Decimal(1))
    for wrong, error in (
        ({"withdrawal_ref": ""}, InvalidPosting),
        ({"amount": Decimal(0)}, InvalidPosting),
        ({"player_id": 10**9}, UnknownPlayer),
    ):
        with pytest.raises(error):
            services.withdraw(**asked | wrong)


# expiry


def test_expire_bonuses__offers_queue_and_open__each_to_its_end_and_the_next_begins(player):
    offered = offer(player.pk, a_template("t", needs_claim=True, amount=Decimal(5), claim_hours=24))
    open_one, waited, next_one = bonus(player.pk, "10"), bonus(player.pk, "20", at=NOW - timedelta(days=24)), bonus(player.pk, "30")
    at = NOW + timedelta(days=7)
    assert services.expire_bonuses(at=at, chunk_size=2, **EVERYBODY) == 3
    assert services.expire_bonuses(at=at, **EVERYBODY) == 0
    assert _fresh(offered, open_one, waited, next_one) == ["EXPIRED_UNCLAIMED", "EXPIRED", "EXPIRED_UNCLAIMED", "ACTIVE"]
    next_one.refresh_from_db()
    assert (next_one.activated_at, next_one.expires_at, next_one.balance) == (at, at + timedelta(days=7), 3000)
    assert Entry.objects.filter(house="expiry").values_list("amount", flat=True).get() == -1000
    assert_books_balance()


def test_expire_bonuses__round_still_open__waits_for_it_at_most_the_grace(player):
    grant = offer(player.pk, a_template("t", amount=Decimal(5), settle_grace_hours=12))
    BonusGrant.objects.update(open_bets=1)
    assert services.expire_bonuses(at=grant.expires_at + timedelta(hours=12, seconds=-1), **EVERYBODY) == 0
    assert services.expire_bonuses(at=grant.expires_at + timedelta(hours=12), **EVERYBODY) == 1
    BonusGrant.objects.update(open_bets=0)
    assert _fresh(grant) == ["EXPIRED"]


def test_expire_bonuses__other_players__are_left(player):
    bonus(player.pk)
    assert services.expire_bonuses(at=NOW + timedelta(days=30), lower_id=player.pk + 1, upper_id=2**60) == 0


# the state machine


@pytest.mark.parametrize("after", [status for status in Status if status not in (Status.OFFERED, Status.QUEUED, Status.PAUSED)])
def test_sql__every_status_it_can_produce__comes_only_from_where_the_machine_allows(after):
    sources = closing.sources(after)
    assert sources == sorted(before for before, reached in TRANSITIONS.items() if before is not None and after in reached)
    assert not set(sources) & {"COMPLETED", "EXPIRED", "EXPIRED_UNCLAIMED", "LOST", "FORFEITED", "VOIDED", "REVERSED"}


@pytest.mark.parametrize("before", list(Status))
@pytest.mark.parametrize(
    "after", [Status.COMPLETED, Status.EXPIRED, Status.EXPIRED_UNCLAIMED, Status.LOST, Status.FORFEITED, Status.VOIDED, Status.REVERSED]
)
def test_close_grants__any_status_to_any_end__happens_exactly_when_the_machine_allows(player, before, after):
    grant = bonus(player.pk)
    times = {"activated_at": NOW, "closed_at": None}
    if before in ("OFFERED", "QUEUED"):
        times["activated_at"] = None
    elif before not in ("ACTIVE", "WAGERING", "PAUSED"):
        times["closed_at"] = NOW
    BonusGrant.objects.filter(pk=grant.pk).update(status=before, balance=0, **times)
    closed = closing.close_grants([grant.pk], closing.Closing(after, "trial"), at=NOW)
    allowed = after in TRANSITIONS.get(before, ())
    assert (closed.count, _fresh(grant)) == (int(allowed), [str(after) if allowed else str(before)])
    assert GrantEvent.objects.filter(grant=grant, to_status=after, cause="trial").count() == int(allowed)


def test_add_bonus__source_of_a_queued_grant_again__returns_it(player):
    bonus(player.pk)
    first = bonus(player.pk, "10", ref="q")
    assert (first.status, bonus(player.pk, "10", ref="q").pk) == ("QUEUED", first.pk)
    with pytest.raises(IdempotencyConflict, match="already made bonus grant"):
        bonus(player.pk, "11", ref="q")


def test_reverse_grant__again_and_final__is_the_same_or_refused(player):
    grant, source = bonus(player.pk), a_source()
    services.reverse_grant(grant.pk, cause="mistake", source=source, at=NOW)
    assert services.reverse_grant(grant.pk, cause="mistake", source=source, at=NOW).status == "REVERSED"
    with pytest.raises(GrantRefused, match="is reversed; that is final"):
        services.reverse_grant(grant.pk, cause="mistake", source=Source("test", "other"), at=NOW)
    assert Entry.objects.count() == 2
    assert_books_balance()
