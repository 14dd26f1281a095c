"""Rewards whose terms stand in a bonus template: rules and people name it, the gates look at it, the wallet freezes it."""

from decimal import Decimal

import pytest

from fraud.models import AbuseProfile
from rewards import rule_services, services
from rewards.granting.batch import bonus_terms
from rewards.granting.pipeline import KeyConflict
from rewards.models import RewardDecision
from rewards.rule_services import Caller, RuleContent, RuleHeader
from rewards.rules.problems import RuleError
from tests.factories import NOW
from tests.rewards.granting.factories import by_hand, by_rule, make_market, make_player, make_rule, make_staff
from tests.wallet.factories import a_template, assert_books_balance, bonus, statuses
from wallet.models import BonusGrant, Entry, GrantEvent

pytestmark = pytest.mark.django_db

TEMPLATE_ONLY = {"wagering_requirement": None, "expiry_hours": None}


@pytest.fixture
def player():
    return make_player()


def _by_hand(player, template, amount="10", *, key="k", actor=None, **terms):
    actor = actor or make_staff("grant_manual")
    return services.grant_by_hand(
        player_id=player.pk, unit="BONUS", amount=Decimal(amount), reason="welcome", key=key, at=NOW, actor=actor,
        bonus_template=template.code, **terms,
    )  # fmt: skip


def _give(player, template, minor=1000, *, key="k"):
    """As by hand, without measuring the player anew."""
    result = services.grant(by_hand(player, minor, key=key, terms=bonus_terms(template.code), issue_now=True))
    return RewardDecision.objects.get(pk=result.decision_ids[0])


def _verdict(decision, gate):
    return next(one for one in decision.verdicts if one["name"] == gate)


def test_grant__rule_with_a_template__makes_the_grant_with_its_frozen_terms(player):
    template = a_template("welcome", multiple=Decimal("12.5"), sticky=True, wagering_hours=72, max_bet=Decimal(5))
    version = make_rule(config={**TEMPLATE_ONLY, "bonus_template": "welcome"})
    result = services.grant(by_rule(version, [player], issue_now=True))

    assert (result.issued, result.refused) == (1, 0)
    decision = RewardDecision.objects.get()
    assert (decision.bonus_template, decision.wagering_multiple, decision.expiry_hours) == ("welcome", Decimal("12.5"), 72)
    grant = BonusGrant.objects.get()
    assert (grant.template_version, grant.status, grant.principal, grant.wagering_required) == (template.current, "ACTIVE", 1000, 125)
    assert (grant.terms["multiple"], grant.terms["sticky"], grant.terms["max_bet"]) == ("12.50", True, 500)
    assert (grant.source_type, grant.source_ref) == ("reward", str(decision.pk))
    assert_books_balance()


def test_grant__template_that_is_claimed__is_issued_as_an_offer_without_money(player):
    template = a_template("claim", needs_claim=True)
    decision = _give(player, template)
    assert decision.status == "ISSUED"
    grant = BonusGrant.objects.get()
    assert (grant.status, grant.principal, grant.balance, Entry.objects.count()) == ("OFFERED", 1000, 0, 0)


def test_grant__template_switched_off__names_it_and_writes_nothing(player):
    template = a_template("welcome")
    type(template).objects.update(is_active=False)
    with pytest.raises(ValueError, match="bonus template 'welcome' is not active; activate it"):
        _by_hand(player, template)
    version = make_rule(config={**TEMPLATE_ONLY, "bonus_template": "welcome"})
    with pytest.raises(services.BrokenRule, match="rule cashback, version 1: bonus template 'welcome' is not active"):
        services.evaluate_for([player.pk], NOW)
    assert (version.number, RewardDecision.objects.count()) == (1, 0)


@pytest.mark.parametrize(
    ("rules", "template", "reason"),
    [
        ({"max_wagering_multiple": Decimal(10)}, {"multiple": Decimal(12)}, "the wagering requirement is above the market's limit"),
        ({"min_wagering_hours": 200}, {"wagering_hours": 168}, "the market asks for more time to meet the terms"),
        ({"one_product_per_bonus": True}, {"products": ["casino", "sports"]}, "the market asks for one product per bonus"),
    ],
)
def test_jurisdiction_gate__terms_of_the_template__are_what_it_looks_at(rules, template, reason):
    make_market("MT", **rules)
    decision = _by_hand(make_player(), a_template("welcome", **template))
    assert (decision.status, decision.refused_by, _verdict(decision, "jurisdiction")["reason"]) == ("REFUSED", "jurisdiction", reason)
    assert not BonusGrant.objects.exists()


def test_jurisdiction_gate__template_of_another_market__is_refused(player):
    template = a_template("swedish")
    template.current.markets.add(make_market("SE"))
    decision = _by_hand(player, template)
    assert (decision.refused_by, _verdict(decision, "jurisdiction")["reason"]) == (
        "jurisdiction",
        "the bonus is not offered in this market",
    )


def test_abuse_gate__more_wagering__raises_the_multiple_of_the_template(player):
    AbuseProfile.objects.create(player=player, score=55, band="WAGERING", scored_at=NOW)
    decision = _give(player, a_template("welcome", multiple=Decimal(10)))
    grant = BonusGrant.objects.get()
    assert decision.wagering_required == Decimal(150)
    assert (grant.wagering_required, grant.terms["multiple"]) == (Decimal(150), "15.00")


def test_grant_by_hand__same_key__returns_the_decision_and_another_template_is_refused(player):
    actor, template = make_staff("grant_manual"), a_template("welcome")
    first = _by_hand(player, template, actor=actor)
    type(template.current).objects.update(multiple=Decimal(20))  # the template has changed meanwhile
    assert _by_hand(player, template, actor=actor).pk == first.pk
    with pytest.raises(KeyConflict):
        _by_hand(player, a_template("other"), actor=actor)
    with pytest.raises(ValueError, match="the terms of a bonus stand in its template 'welcome'"):
        _by_hand(player, template, actor=actor, key="new", wagering_multiple=Decimal(5))
    assert RewardDecision.objects.count() == 1


def test_revoke__offered_or_queued__ends_it_without_an_entry(player):
    revoker = make_staff("revoke_decision")
    offered = _give(player, a_template("claim", needs_claim=True), key="a")
    bonus(player.pk, "5")
    queued = _give(player, a_template("welcome"), key="b")
    before = Entry.objects.count()
    answers = services.revoke([offered.pk, queued.pk], revoker, NOW, "given in error")
    assert [answer.outcome for answer in answers] == ["REVOKED", "REVOKED"]
    ways = {grant.source_ref: statuses(grant) for grant in BonusGrant.objects.filter(source_type="reward")}
    assert ways == {
        str(offered.pk): [("", "OFFERED"), ("OFFERED", "REVERSED")],
        str(queued.pk): [("", "QUEUED"), ("QUEUED", "REVERSED")],
    }
    assert Entry.objects.count() == before
    assert GrantEvent.objects.filter(to_status="REVERSED").first().cause == "reward revoked: given in error"
    assert_books_balance()


def test_revoke__free_spins__only_while_none_was_played(player):
    revoker = make_staff("revoke_decision")
    template = a_template("spins", kind="free_spins", spins=10, spin_value=Decimal("0.10"), base="spin_winnings")
    decision = _give(player, template, 100)
    grant = BonusGrant.objects.get()
    assert (grant.status, grant.principal, grant.spins_left, Entry.objects.count()) == ("ACTIVE", 0, 10, 0)
    BonusGrant.objects.update(spins_left=9)
    (answer,) = services.revoke([decision.pk], revoker, NOW, "given in error")
    assert (answer.outcome, "what was used of it cannot be taken back" in answer.message) == ("NOT_ALLOWED", True)
    BonusGrant.objects.update(spins_left=10)
    (answer,) = services.revoke([decision.pk], revoker, NOW, "given in error")
    assert answer.outcome == "REVOKED"


def _save(config):
    content = RuleContent(conditions="{}", reward_config={"type": "BONUS_BALANCE", "formula": "10", **config})
    return rule_services.save_rule("welcome-rule", RuleHeader("Welcome"), content, at=NOW, caller=Caller(reason="trial"))


def test_save_rule__template_by_code__is_kept_in_the_reward(player):
    a_template("welcome")
    saved = _save({"bonus_template": "welcome"})
    assert saved.version.reward_config == {"type": "BONUS_BALANCE", "formula": "10", "bonus_template": "welcome"}
    rule_services.set_active(saved.rule, True, at=NOW, caller=Caller(reason="go"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bonus_template": "welcom"}, "There is no bonus template 'welcom'. Did you mean 'welcome'"),
        ({"bonus_template": "off"}, "Bonus template 'off' is not active. Activate it"),
        ({"bonus_template": "match"}, "Bonus template 'match' needs a deposit"),
        (
            {"bonus_template": "welcome", "wagering_requirement": 5},
            "wagering_requirement stands in the bonus template welcome, and here too.",
        ),
        ({"bonus_template": "welcome", "type": "LP"}, "Only bonus money has a template."),
        ({"bonus_template": 7}, "bonus_template is the code of a bonus template."),
    ],
)
def test_save_rule__template_that_cannot_be_given__says_why(config, message):
    a_template("welcome")
    off = a_template("off")
    type(off).objects.filter(pk=off.pk).update(is_active=False)
    a_template("match", match_percent=Decimal(100))
    with pytest.raises(RuleError) as caught:
        _save(config)
    assert message in str(caught.value)


def test_set_active__template_switched_off_meanwhile__is_refused():
    template = a_template("welcome")
    saved = _save({"bonus_template": "welcome"})
    type(template).objects.update(is_active=False)
    with pytest.raises(RuleError, match="Bonus template 'welcome' is not active"):
        rule_services.set_active(saved.rule, True, at=NOW, caller=Caller(reason="go"))
