"""The scan on a real database: what it reads, stores, forgets and hands on."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from constance.test import override_config
from django.db import connection, transaction

from fraud.models import AbuseProfile, AbuseSignal, AccountLink, ReviewFlag, SignalKind
from fraud.services import refresh_links, scan
from fraud.tasks import link_range, scan_range
from loyalty_site.common.jobs import create_run, execute, get_job
from players.models import GamePlay, Payment, Player, PlaySession
from players.simulation import SimulationConfig
from players.simulation_writer import write_database
from tests.factories import GameFactory, PlayerFactory, UserFactory
from tests.fraud.factories import payment, play, session
from wallet.services import Source, add_bonus

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
EVERYBODY = (0, 2**62)


def _refresh(at: datetime) -> None:
    with transaction.atomic():
        refresh_links(*EVERYBODY, at)


def _ring(now: datetime, names: str = "ABC") -> dict[str, Player]:
    players = {name: PlayerFactory(external_id=name) for name in names}
    for name in names:
        session(name, now - 2 * HOUR, device="phone-1", ip="203.0.113.7")
    return players


def _signal(kind: str, player: str) -> AbuseSignal:
    return AbuseSignal.objects.get(kind=kind, player__external_id=player)


def test_scan__in_and_out_in_an_hour__is_found_and_scored(now: datetime) -> None:
    player = PlayerFactory(external_id="A")
    GameFactory(code="slot-test")
    payment("A", now - 3 * HOUR, "100")
    play("A", now - 2.5 * HOUR, "10")
    payment("A", now - 2 * HOUR, "80", kind="WITHDRAWAL")
    result = scan(*EVERYBODY, now)
    # an hour of 24 and a tenth staked: 0.5 x 23/24 x 0.9 = 0.43125; x weight 0.7 x 2^(-2/24/30)
    signal = _signal(SignalKind.IMMEDIATE_WITHDRAWAL, "A")
    assert signal.strength == Decimal("0.43125")
    assert signal.seen_at == now - 2 * HOUR
    profile = AbuseProfile.objects.get(player=player)
    assert float(profile.score) == pytest.approx(100 * 0.7 * 0.43125 * 2 ** (-2 / 24 / 30), abs=0.001)
    assert (profile.band, profile.contributions[0]["kind"]) == ("NONE", "IMMEDIATE_WITHDRAWAL")
    assert result == {"rows": 1, "scores_changed": 1, "none": 1, "signals": 1, "removed": 0}
    player.refresh_from_db()
    assert player.risk_score == 30
    assert player.metrics.bonus_abuse_score == profile.score


def test_scan__bonus_then_withdrawal__takes_the_grant_from_the_wallet(now: datetime) -> None:
    player = PlayerFactory(external_id="A")
    add_bonus(
        player_id=player.pk,
        currency="EUR",
        amount=Decimal(50),
        wagering_required=Decimal(500),
        expires_at=now + timedelta(days=2),
        source=Source("test", "1"),
        at=now - 4 * HOUR,
        reason="welcome",
    )
    payment("A", now - 3 * HOUR, "50", kind="WITHDRAWAL")
    scan(*EVERYBODY, now)
    (event,) = _signal(SignalKind.IMMEDIATE_WITHDRAWAL, "A").evidence["strongest"]
    assert (event["after"], event["credited"], event["turnover"], event["hours"]) == ("bonus", "50.00", 0.0, 1.0)


def test_scan__bonus_only_player__is_found_and_a_payer_is_not(now: datetime) -> None:
    GameFactory(code="slot-test")
    for name in "AB":
        PlayerFactory(external_id=name)
        for day in range(4):
            play(name, now - timedelta(days=day + 1), "10", bonus="10")
    for day in range(4):
        payment("B", now - timedelta(days=200 + day), "20")  # long before the window, and still a payer
    scan(*EVERYBODY, now)
    assert _signal(SignalKind.BONUS_ONLY, "A").strength == 1
    assert not AbuseSignal.objects.filter(kind=SignalKind.BONUS_ONLY, player__external_id="B").exists()


def test_scan__jump_after_wagering__is_found(now: datetime) -> None:
    PlayerFactory(external_id="A")
    GameFactory(code="slot-test")
    play("A", now - 3 * HOUR, "20", bonus="20", rounds=100)
    play("A", now - 2 * HOUR, "48", rounds=10)
    scan(*EVERYBODY, now)
    assert _signal(SignalKind.BET_MANIPULATION, "A").strength == Decimal("0.6")


def test_scan__win_rate__uses_known_games_only(now: datetime) -> None:
    PlayerFactory(external_id="A")
    PlayerFactory(external_id="B")
    GameFactory(code="slot-test")
    GameFactory(code="mystery", house_edge=None, round_sd=None)
    for hour in range(1, 7):
        play("A", now - hour * HOUR, "1000", "2500", rounds=1000)
        play("B", now - hour * HOUR, "1000", "2500", rounds=1000, game="mystery")
    scan(*EVERYBODY, now)
    evidence = _signal(SignalKind.WIN_RATE, "A").evidence
    # five of six records: 5000 rounds of 1, deviation 5: z = (12500 - 4800) / sqrt(5000 x 25)
    assert evidence["z"] == pytest.approx((12_500 - 4_800) / (5000 * 25) ** 0.5, abs=0.01)
    assert evidence["largest_surplus_left_out"] == "1540.00"
    assert not AbuseSignal.objects.filter(player__external_id="B").exists()


def test_scan__ring_across_ranges__every_member_knows_the_others(now: datetime) -> None:
    players = _ring(now)
    _refresh(now)
    first = players["A"].pk
    scan(first, first + 1, now)  # a range of one player
    signal = _signal(SignalKind.MULTI_ACCOUNT, "A")
    assert signal.evidence["linked_players"] == [players["B"].pk, players["C"].pk]
    # (1 - 0.2 x 0.75) x 0.75
    assert signal.strength == Decimal("0.6375")
    assert AbuseSignal.objects.count() == 1  # others belong to other ranges


def test_scan__linked_through_a_third__is_one_cluster(now: datetime) -> None:
    players = {name: PlayerFactory(external_id=name) for name in "ABCD"}
    for name, device in (("A", "x"), ("B", "x"), ("B", "y"), ("C", "y"), ("C", "z"), ("D", "z")):
        session(name, now - HOUR, device=device)
    _refresh(now)
    scan(players["A"].pk, players["A"].pk + 1, now)
    assert _signal(SignalKind.MULTI_ACCOUNT, "A").evidence["cluster_size"] == 4


def test_scan__mobile_network__links_nobody(now: datetime) -> None:
    for number in range(9):
        PlayerFactory(external_id=f"M{number}")
        session(f"M{number}", now - HOUR, device=f"d{number}", ip="100.64.0.1")
    scan(*EVERYBODY, now)
    assert AbuseSignal.objects.count() == 0


def test_scan__ipv6__one_home_is_one_network(now: datetime) -> None:
    for name, ip in (("A", "2001:db8:1:2::10"), ("B", "2001:db8:1:2::20"), ("C", "2001:db8:1:3::10")):
        PlayerFactory(external_id=name)
        session(name, now - HOUR, ip=ip)
    scan(*EVERYBODY, now)
    assert set(AbuseSignal.objects.values_list("player__external_id", flat=True)) == {"A", "B"}


def test_scan__twice__changes_nothing(now: datetime) -> None:
    _ring(now)
    scan(*EVERYBODY, now)
    before = list(AbuseSignal.objects.values()), list(AbuseProfile.objects.values()), list(AccountLink.objects.values())
    result = scan(*EVERYBODY, now)
    assert (list(AbuseSignal.objects.values()), list(AbuseProfile.objects.values()), list(AccountLink.objects.values())) == before
    assert (result["scores_changed"], result["removed"]) == (0, 0)


def test_scan__evidence__has_no_personal_data(now: datetime) -> None:
    players = _ring(now)
    Player.objects.update(username="nick", email="mail@example.com", first_name="Firstname")
    for name in players:
        payment(name, now - HOUR, "20", instrument="card-4711")
    scan(*EVERYBODY, now)
    text = json.dumps(list(AbuseSignal.objects.values_list("evidence", flat=True)))
    assert "cluster" in text
    for secret in ("203.0.113.7", "phone-1", "card-4711", "nick", "mail@example.com", "Firstname"):
        assert secret not in text
    assert not AccountLink.objects.filter(token__in=["203.0.113.7", "phone-1", "card-4711"]).exists()


def test_scan__events_taken_back__signal_and_score_go(now: datetime) -> None:
    players = _ring(now)
    scan(*EVERYBODY, now)
    assert AbuseProfile.objects.filter(score__gt=30).count() == 3
    PlaySession.objects.all().delete()
    result = scan(*EVERYBODY, now)
    assert result["removed"] == 3
    assert AbuseSignal.objects.count() == AccountLink.objects.count() == 0
    assert set(AbuseProfile.objects.values_list("score", flat=True)) == {Decimal(0)}
    players["A"].refresh_from_db()
    assert players["A"].risk_score == 0


def test_scan__months_later__score_fades_band_holds_then_goes(now: datetime) -> None:
    _ring(now, "ABCDEF")
    scan(*EVERYBODY, now)
    profile = AbuseProfile.objects.get(player__external_id="A")
    # (1 - 0.2 x 0.75) x (1 - 2^-5) x 0.85 = 0.6999
    assert (profile.band, round(float(profile.score), 1)) == ("WAGERING", 69.9)
    for days, band in ((10, "WAGERING"), (20, "REDUCED"), (50, "REDUCED"), (60, "NONE")):
        scan(*EVERYBODY, now + timedelta(days=days))
        profile.refresh_from_db()
        assert profile.band == band, (days, profile.score)


def test_scan__older_than_window__keeps_fading_until_forgotten(now: datetime) -> None:
    PlayerFactory(external_id="A")
    payment("A", now - 3 * HOUR, "100")
    payment("A", now - 2 * HOUR, "100", kind="WITHDRAWAL")
    scan(*EVERYBODY, now)
    scan(*EVERYBODY, now + timedelta(days=120))
    assert AbuseSignal.objects.count() == 1
    scan(*EVERYBODY, now + timedelta(days=210))  # 30 days x log2(100) = 199 days
    assert AbuseSignal.objects.count() == 0


def test_scan__false_positive__clears_what_was_known_and_not_what_comes(now: datetime) -> None:
    players = _ring(now)
    scan(*EVERYBODY, now)
    ReviewFlag.objects.create(
        player=players["A"],
        reason="family",
        status=ReviewFlag.Status.FALSE_POSITIVE,
        flagged_at=now,
        closed_at=now,
        closed_by=UserFactory(),
    )
    session("A", now + HOUR, device="phone-1", ip="203.0.113.7")
    scan(*EVERYBODY, now + 2 * HOUR)
    assert AbuseProfile.objects.get(player=players["A"]).score == 0  # the same cluster, seen again
    assert AbuseProfile.objects.get(player=players["B"]).score > 30
    PlayerFactory(external_id="D")
    session("D", now + 3 * HOUR, device="phone-1")
    scan(*EVERYBODY, now + 4 * HOUR)
    assert AbuseProfile.objects.get(player=players["A"]).score > 30  # another member makes it another finding


@override_config(ABUSE_REDUCED_FROM=90)
def test_scan__contradictory_bands__is_refused_and_writes_nothing(now: datetime) -> None:
    _ring(now)
    with pytest.raises(ValueError, match="abuse bands begin at 90, 61 and 81"):
        scan(*EVERYBODY, now)
    assert AbuseSignal.objects.count() == AbuseProfile.objects.count() == 0


def test_jobs__links_then_signals__run_over_all_players(now: datetime) -> None:
    _ring(now)
    for name in ("fraud.links", "fraud.signals"):
        run = execute(create_run(name, as_of=now))
        assert (run.status, run.error) == ("SUCCEEDED", "")
    assert AbuseProfile.objects.count() == 3
    assert {get_job("fraud.links").work, get_job("fraud.signals").work} == {link_range, scan_range}


def test_scan__simulated_operator__finds_the_rings_and_leaves_honest_players(tmp_path, now: datetime) -> None:
    config = SimulationConfig(players=1000, months=4, as_of=now, seed=3)
    write_database(config, truth_path=tmp_path / "truth.csv", at=now, append=False, progress=lambda text: None)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    _refresh(now)
    scan(*EVERYBODY, now)
    lines = [line.split(",") for line in (tmp_path / "truth.csv").read_text().splitlines()]
    header = lines[0]
    abuser = {line[0]: line[header.index("abuser_kind")] for line in lines[1:]}
    active = set(Player.objects.filter(sessions__isnull=False).values_list("external_id", flat=True))
    ring = {player for player, kind in abuser.items() if kind == "ring"} & active
    strong = set(AbuseSignal.objects.filter(kind="MULTI_ACCOUNT", strength__gte="0.3").values_list("player__external_id", flat=True))
    assert len(strong & ring) / len(ring) > 0.7
    assert sum(abuser[player] == "" for player in strong) <= 2
    punished = AbuseProfile.objects.exclude(band="NONE").values_list("player__external_id", flat=True)
    honest = sum(abuser[player] == "" for player in punished)
    assert honest / len(active) < 0.01
    assert GamePlay.objects.exists()
    assert Payment.objects.exists()
