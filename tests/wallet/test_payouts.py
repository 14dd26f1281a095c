"""The outbox against a real HTTP server: what is delivered, tried again, given up, and that nothing is sent twice at once."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.test import override_settings

from loyalty_site.common.models import AuditEvent
from players.models import Player
from tests.child_process import database_url
from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import staff
from wallet import payouts, platform
from wallet.errors import IdempotencyConflict, InvalidPosting
from wallet.models import Account, BonusGrant, Entry, PayoutInstruction
from wallet.payouts import SENDING, body_of, confirm_payout, deliver_due, pause_before_next, retry_payout
from wallet.platform import Answer, Platform, judge, signature

pytestmark = pytest.mark.django_db
live = pytest.mark.django_db(transaction=True)  # what is claimed must be committed before it is sent

SECRET = "0123456789abcdef0123456789abcdef"
ROOT = Path(__file__).parents[2]


class PlatformServer(ThreadingHTTPServer):
    """A platform that answers what it was told to and writes down what it got. `script[key]` is a list of (status, body): the last one
    repeats. Without a script: 200 with a reference. `pause` is how long it thinks, in seconds."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: dict[str, list[tuple[int, Any]]] = {}
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.pause = 0.0
        self.most_at_once: dict[str, int] = {}
        self._now: dict[str, int] = {}
        self._guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/payouts"

    def keys(self) -> list[str]:
        return [key for key, _, _ in self.got]

    def answer(self, key: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        with self._guard:
            self.got.append((key, headers, body))
            self._now[key] = self._now.get(key, 0) + 1
            self.most_at_once[key] = max(self.most_at_once.get(key, 0), self._now[key])
            planned = self.script.get(key, [(200, {"reference": f"ref-{key}"})])
            answer = planned.pop(0) if len(planned) > 1 else planned[0]
        time.sleep(self.pause)
        with self._guard:
            self._now[key] -= 1
        return answer


class _Handler(BaseHTTPRequestHandler):
    server: PlatformServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, said = self.server.answer(self.headers["Idempotency-Key"], dict(self.headers), body)
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        try:
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", "/elsewhere")
            if status == 429:
                self.send_header("Retry-After", "7200")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:
            return  # the client gave up waiting

    def do_GET(self) -> None:
        raise AssertionError("a pay-out was sent as a GET")

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[PlatformServer]:
    made = PlatformServer()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def there(server: PlatformServer) -> Platform:
    return Platform(server.url, SECRET, timeout=5.0)


@pytest.fixture
def player() -> Player:
    return PlayerFactory(external_id="Спортсмен-1")


def instruction(player: Player, number: int = 1, amount: int = 1234, **fields: Any) -> PayoutInstruction:
    account, _ = Account.objects.get_or_create(player=player, unit="BONUS", currency="EUR")
    grant = BonusGrant.objects.create(
        player=player, account=account, currency="EUR", principal=abs(amount), balance=0, wagering_required=0, status="COMPLETED",
        offered_at=NOW - timedelta(days=1), activated_at=NOW - timedelta(days=1), expires_at=NOW, closed_at=NOW,
        source_type="test", source_ref=f"grant {number}",
    )  # fmt: skip
    entry = Entry.objects.create(
        account=account, house="payout", amount=-amount, seq=number, balance_after=0, source_type="test", source_ref=str(number),
        occurred_at=NOW,
    )  # fmt: skip
    values = {"key": f"grant-{number}-complete", "next_attempt_at": NOW, "created_at": NOW} | fields
    return PayoutInstruction.objects.create(player=player, grant=grant, entry=entry, currency="EUR", amount=amount, **values)


def state(payout: PayoutInstruction) -> tuple[str, int, str]:
    payout.refresh_from_db()
    return payout.status, payout.attempts, payout.last_error


@live
def test_deliver_due__platform_takes_it__delivered_with_its_reference(server: PlatformServer, there: Platform, player: Player) -> None:
    payout = instruction(player)
    report = deliver_due(NOW, platform=there)
    assert (report.sent, report.delivered, report.postponed, report.failed) == (1, 1, 0, 0)
    assert state(payout) == ("DELIVERED", 1, "")
    assert payout.platform_ref == "ref-grant-1-complete"
    assert NOW <= payout.delivered_at < NOW + timedelta(seconds=30)
    assert deliver_due(NOW + timedelta(days=1), platform=there).sent == 0
    assert len(server.got) == 1


@live
def test_deliver_due__request__says_what_to_do_and_is_signed(server: PlatformServer, there: Platform, player: Player) -> None:
    payout = instruction(player, amount=-1234)
    deliver_due(NOW, platform=there)
    ((key, headers, body),) = server.got
    assert key == "grant-1-complete"
    assert json.loads(body) == {
        "key": "grant-1-complete",
        "player_id": "Спортсмен-1",
        "grant_id": payout.grant_id,
        "direction": "debit",
        "currency": "EUR",
        "amount": "12.34",
        "amount_minor": 1234,
        "created_at": "2026-03-15T12:00:00Z",
    }
    parts = dict(part.split("=") for part in headers["Loyalty-Signature"].split(","))
    assert 0 <= int(parts["t"]) - NOW.timestamp() < 30
    assert parts["v1"] == signature(SECRET, int(parts["t"]), body)
    assert parts["v1"] != signature(SECRET, int(parts["t"]), body.replace(b"12.34", b"92.34"))


def test_signature__worked_example__as_in_the_docs() -> None:
    body = b'{"amount":"12.34","key":"grant-1-complete"}'
    assert signature(SECRET, 1773576000, body) == "96c8d8d49542d7bc80bb4ccef916463138483ff3dc04ca045812b250046e749f"


@live
def test_deliver_due__two_failures_then_success__tries_again_after_growing_pauses(
    server: PlatformServer, there: Platform, player: Player
) -> None:
    payout = instruction(player)
    server.script[payout.key] = [(500, b"oops"), (503, {"detail": "busy"}), (201, {"reference": "pay-77"})]

    assert deliver_due(NOW, platform=there).postponed == 1
    assert state(payout) == ("PENDING", 1, "HTTP 500: oops")
    first_pause = pause_before_next(payout.key, 1)
    assert first_pause <= payout.next_attempt_at - NOW < first_pause + timedelta(seconds=10)
    assert deliver_due(NOW + timedelta(seconds=5), platform=there).sent == 0

    assert deliver_due(NOW + timedelta(minutes=1), platform=there).postponed == 1
    assert state(payout) == ("PENDING", 2, 'HTTP 503: {"detail": "busy"}')
    assert deliver_due(NOW + timedelta(minutes=5), platform=there).delivered == 1
    assert (state(payout), payout.platform_ref) == (("DELIVERED", 3, ""), "pay-77")
    assert len({body for _, _, body in server.got}) == 1


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"thanks", "HTTP 200 without a reference of 1 to 120 characters: thanks"),
        (200, b"", "HTTP 200 without a reference of 1 to 120 characters: "),
        (200, b"[1]", "HTTP 200 without a reference of 1 to 120 characters: [1]"),
        (200, b'{"reference": ""}', 'HTTP 200 without a reference of 1 to 120 characters: {"reference": ""}'),
        (200, b'{"reference": 7}', 'HTTP 200 without a reference of 1 to 120 characters: {"reference": 7}'),
        (302, b"", "HTTP 302"),
        (404, b"no\x00such\npage", "HTTP 404: no such page"),
        (409, b'{"key": "grant-2-complete"}', 'HTTP 409: {"key": "grant-2-complete"}'),
        (409, b'{"reference": "pay-1"}', 'HTTP 409: {"reference": "pay-1"}'),
        (422, b'{"detail": "unknown player"}', 'HTTP 422: {"detail": "unknown player"}'),
    ],
)
def test_judge__answer_that_confirms_nothing__is_no_delivery(status: int, body: bytes, error: str) -> None:
    answer = judge(status, body, "grant-1-complete")
    assert (answer.delivered, answer.error) == (False, error)


@live
@pytest.mark.parametrize(("status", "body"), [(200, b"thanks"), (302, b""), (307, b""), (422, b"no")])
def test_deliver_due__answer_that_confirms_nothing__is_tried_again(
    server: PlatformServer, there: Platform, player: Player, status: int, body: bytes
) -> None:
    payout = instruction(player)
    server.script[payout.key] = [(status, body)]
    deliver_due(NOW, platform=there)
    assert state(payout) == ("PENDING", 1, judge(status, body, payout.key).error)
    assert len(server.got) == 1


@live
def test_deliver_due__409_with_the_same_key__was_delivered_before(server: PlatformServer, there: Platform, player: Player) -> None:
    payout = instruction(player)
    server.script[payout.key] = [(409, {"key": payout.key, "reference": "pay-1"})]
    deliver_due(NOW, platform=there)
    assert (state(payout), payout.platform_ref) == (("DELIVERED", 1, ""), "pay-1")


@live
def test_deliver_due__no_answer_in_time__is_tried_again(server: PlatformServer, there: Platform, player: Player) -> None:
    payout = instruction(player)
    server.pause = 0.6
    deliver_due(NOW, platform=Platform(server.url, SECRET, timeout=0.2))
    assert state(payout) == ("PENDING", 1, "no answer within 0.2 s")


@live
def test_deliver_due__nobody_listens__halts_after_the_first_batch(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 6):
        instruction(player, number)
    monkeypatch.setattr(payouts, "_BATCH", 2)
    report = deliver_due(NOW, platform=Platform("http://127.0.0.1:9/payouts", SECRET, timeout=2.0))
    assert (report.sent, report.postponed, report.halted) == (2, 2, True)
    assert sorted(PayoutInstruction.objects.values_list("attempts", flat=True)) == [0, 0, 0, 1, 1]
    assert all(
        error.startswith("cannot connect: ") for error in PayoutInstruction.objects.filter(attempts=1).values_list("last_error", flat=True)
    )


@live
def test_deliver_due__platform_asks_to_wait__waits_that_long(server: PlatformServer, there: Platform, player: Player) -> None:
    payout = instruction(player)
    server.script[payout.key] = [(429, b"slow down")]
    assert deliver_due(NOW, platform=there).halted
    payout.refresh_from_db()
    assert payout.next_attempt_at >= NOW + timedelta(hours=2)


@live
@override_settings(PLATFORM_MAX_ATTEMPTS=2)
def test_deliver_due__last_attempt_fails__given_up_until_a_person_sends_it_again(
    server: PlatformServer, there: Platform, player: Player
) -> None:
    payout = instruction(player)
    server.script[payout.key] = [(500, b"")]
    deliver_due(NOW, platform=there)
    report = deliver_due(NOW + timedelta(hours=1), platform=there)
    assert (report.failed, state(payout)) == (1, ("FAILED", 2, "HTTP 500"))
    assert deliver_due(NOW + timedelta(days=9), platform=there).sent == 0

    actor, later = staff("retry_payout"), NOW + timedelta(days=10)
    retry_payout(payout.pk, reason="the platform is back", actor=actor, at=later)
    assert deliver_due(later, platform=there).postponed == 1
    server.script[payout.key] = [(200, {"reference": "pay-2"})]
    assert deliver_due(later + timedelta(hours=1), platform=there).delivered == 1
    event = AuditEvent.objects.get(action="wallet.payout_retried")
    assert (event.actor, event.reason, event.before["status"]) == (actor, "the platform is back", "FAILED")


def test_deliver_due__no_platform_in_the_settings__sends_nothing(player: Player) -> None:
    payout = instruction(player)
    report = deliver_due(NOW)
    assert (report.configured, report.sent) == (False, 0)
    assert state(payout) == ("PENDING", 0, "")


@live
def test_deliver_due__platform_of_the_settings__is_used(server: PlatformServer, player: Player) -> None:
    instruction(player)
    with override_settings(PLATFORM_PAYOUT_URL=server.url, PLATFORM_SECRET=SECRET):
        assert deliver_due(NOW).delivered == 1


@live
def test_deliver_due__inside_a_transaction__refused(there: Platform, server: PlatformServer, player: Player) -> None:
    instruction(player)
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        deliver_due(NOW, platform=there)
    assert server.got == []


@live
def test_deliver_due__more_than_the_limit__oldest_first(there: Platform, server: PlatformServer, player: Player) -> None:
    for number in range(1, 4):
        instruction(player, number, next_attempt_at=NOW - timedelta(minutes=number))
    assert deliver_due(NOW, limit=2, platform=there).sent == 2
    assert sorted(server.keys()) == ["grant-2-complete", "grant-3-complete"]


def _all_at_once(there: Platform, workers: int) -> list[Any]:
    start, results = threading.Barrier(workers), list[Any]()

    def work() -> None:
        try:
            connection.ensure_connection()
            start.wait()
            results.append(deliver_due(NOW, platform=there))
        except Exception as error:  # noqa: BLE001 - seen by the assertion
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@live
def test_deliver_due__four_workers_at_once__each_instruction_is_sent_once(server: PlatformServer, there: Platform, player: Player) -> None:
    for number in range(1, 41):
        instruction(player, number)
    server.pause = 0.02
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(payouts, "_BATCH", 4)
        results = _all_at_once(there, 4)
    assert sum(report.delivered for report in results) == 40
    assert sorted(server.keys()) == sorted(f"grant-{number}-complete" for number in range(1, 41))


@live
def test_deliver_due__control_without_a_claim__sends_the_same_instruction_several_times_at_once(
    server: PlatformServer, there: Platform, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 5):
        instruction(player, number)
    server.pause = 0.3
    due = PayoutInstruction.objects.filter(status="PENDING").select_related("player").order_by("id")
    monkeypatch.setattr(payouts, "_claim", lambda at, limit: list(due[:limit]))
    _all_at_once(there, 4)
    assert max(server.most_at_once.values()) > 1


@live
def test_deliver_due__killed_between_sending_and_marking__sent_again_with_the_same_key(
    server: PlatformServer, there: Platform, player: Player
) -> None:
    payout = instruction(player)
    server.script[payout.key] = [(200, {"reference": "pay-1"}), (409, {"key": payout.key, "reference": "pay-1"})]
    code = (
        "import django; django.setup()\n"
        "import os, signal\n"
        "from datetime import datetime\n"
        "from wallet import payouts\n"
        "from wallet.platform import Platform\n"
        "payouts._mark = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"payouts.deliver_due(datetime.fromisoformat({NOW.isoformat()!r}), platform=Platform({server.url!r}, {SECRET!r}))\n"
    )
    environment = os.environ | {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "loyalty_site.settings"}
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -9, killed.stderr.decode()[-2000:]
    assert state(payout) == ("PENDING", 1, SENDING)

    assert deliver_due(NOW + timedelta(minutes=1), platform=there).sent == 0
    assert deliver_due(NOW + timedelta(minutes=6), platform=there).delivered == 1
    assert (state(payout), payout.platform_ref) == (("DELIVERED", 2, ""), "pay-1")
    (first, _, sent), (second, _, sent_again) = server.got
    assert (first, sent) == (second, sent_again)


def test_mark__failure_of_an_attempt_that_another_process_overtook__changes_nothing(player: Player) -> None:
    payout = instruction(player)
    (first,) = payouts._claim(NOW, 1)
    (second,) = payouts._claim(NOW + timedelta(minutes=6), 1)
    assert (first.attempts, second.attempts) == (1, 2)
    payouts._mark(first, Answer(False, error="HTTP 500"), NOW)
    assert state(payout) == ("PENDING", 2, SENDING)
    payouts._mark(first, Answer(True, "pay-1"), NOW)
    payouts._mark(second, Answer(False, error="HTTP 500"), NOW)
    assert state(payout) == ("DELIVERED", 2, "")


def test_pause_before_next__grows_and_depends_on_the_key_alone() -> None:
    pauses = [pause_before_next("grant-1-complete", attempt).total_seconds() for attempt in range(1, 13)]
    assert pauses == [pause_before_next("grant-1-complete", attempt).total_seconds() for attempt in range(1, 13)]
    assert all(30 * 2**n / 2 <= pause <= 30 * 2**n for n, pause in enumerate(pauses[:10]))
    assert all(3 * 3600 <= pause <= 6 * 3600 for pause in pauses[10:])
    assert len({pause_before_next(f"grant-{n}-complete", 1) for n in range(100)}) > 90


def test_retry_payout__delivered_or_being_sent_or_not_allowed__refused(player: Player) -> None:
    payout, actor = instruction(player), staff("retry_payout")
    with pytest.raises(PermissionDenied):
        retry_payout(payout.pk, reason="please", actor=staff(), at=NOW)
    with pytest.raises(InvalidPosting, match="needs a reason"):
        retry_payout(payout.pk, reason=" ", actor=actor, at=NOW)
    with pytest.raises(payouts.UnknownPayout, match="there is no pay-out instruction 0"):
        retry_payout(0, reason="please", actor=actor, at=NOW)
    payouts._claim(NOW, 1)
    with pytest.raises(InvalidPosting, match="is being sent right now"):
        retry_payout(payout.pk, reason="please", actor=actor, at=NOW)
    confirm_payout(payout.key, "pay-1", NOW)
    with pytest.raises(InvalidPosting, match=r"is delivered \(platform reference pay-1\)"):
        retry_payout(payout.pk, reason="please", actor=actor, at=NOW)


@live
def test_retry_payout__waiting_one__is_due_at_once(server: PlatformServer, there: Platform, player: Player) -> None:
    payout = instruction(player, next_attempt_at=NOW + timedelta(hours=6), attempts=9, last_error="HTTP 500")
    retry_payout(payout.pk, reason="the platform is back", actor=staff("retry_payout"), at=NOW)
    assert deliver_due(NOW, platform=there).delivered == 1


def test_confirm_payout__pulled_instruction__delivered_once(player: Player) -> None:
    payout = instruction(player)
    confirm_payout(payout.key, " pay-1 ", NOW)
    assert (state(payout), payout.platform_ref, payout.delivered_at) == (("DELIVERED", 0, ""), "pay-1", NOW)
    again = confirm_payout(payout.key, "pay-1", NOW + timedelta(days=1))
    assert again.delivered_at == NOW
    assert AuditEvent.objects.filter(action="wallet.payout_confirmed").count() == 1
    with pytest.raises(IdempotencyConflict, match="was confirmed with the reference 'pay-1', not 'pay-2'"):
        confirm_payout(payout.key, "pay-2", NOW)
    with pytest.raises(InvalidPosting, match="platform reference"):
        confirm_payout(payout.key, "  ", NOW)
    with pytest.raises(payouts.UnknownPayout, match="no pay-out instruction 'grant-9'"):
        confirm_payout("grant-9", "pay-1", NOW)


def test_body_of__currency_without_minor_unit__has_no_places(player: Player) -> None:
    payout = instruction(player)
    payout.currency, payout.amount = "JPY", 500
    assert json.loads(body_of(payout))["amount"] == str(Decimal(500))


def test_judge__long_answer__is_cut_to_one_line() -> None:
    answer = judge(500, b"line\n" * 1000, "k")
    assert len(answer.error) < 200
    assert "\n" not in answer.error


def test_platform__shown_in_logs__does_not_show_its_secret() -> None:
    assert SECRET not in repr(Platform("https://x", SECRET))
    assert platform.Platform.from_settings() is None
