"""The page of the feeds: what it says in each state, and fetching now by a button that starts one fetch."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory

from loyalty_site.common.clock import utc_now
from loyalty_site.common.jobs import overlap_lock
from loyalty_site.common.models import AuditEvent
from players.feeds import runs
from players.feeds.pull import pull_all
from players.feeds.tasks import pull_feeds
from players.models import FeedRefusal, FeedRun, FeedState, Payment, QuarantinedRow

from .conftest import bonus, deposit, player, serving
from .source import Reply

pytestmark = pytest.mark.django_db(transaction=True)
PAGE, FETCH = "/admin/players/feedstate/", "/admin/players/feedstate/fetch-now/"
REFUSED = "/admin/players/feedrefusal/"


@pytest.fixture
def browser_of(django_user_model: Any) -> Callable[..., Client]:
    """A browser on which somebody of a role is logged in."""

    def make(role: str, **options: Any) -> Client:
        user = django_user_model.objects.create_user(role, password="x", is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        browser = Client(**options)
        browser.force_login(user)
        return browser

    return make


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Messages to workers are collected instead of executed."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(pull_feeds, "delay", lambda **arguments: sent.append(arguments))
    return sent


def _text(browser: Client, url: str = PAGE) -> str:
    answer = browser.get(url)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode().split('id="feed-page"')[-1]))


def _now_data() -> dict[str, list[dict[str, Any]]]:
    hour_ago = (utc_now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "players": [player("P-1", hour_ago)],
        "deposits": [deposit(1, hour_ago), {**deposit(2, hour_ago), "amount": "abc"}],
        "bonuses": [bonus("B-1", "P-9", at=hour_ago)],
    }


def test_page__no_address__says_what_to_set(settings: Any, browser_of: Any) -> None:
    settings.FEED_URL = ""
    text = _text(browser_of("CRM manager"))
    assert "An administrator sets LOYALTY_FEED_URL" in text
    assert "Fetch now" not in text


def test_page__never_fetched__shows_every_resource_and_the_button(start: Any, browser_of: Any) -> None:
    operator, _ = start(serving({}))
    text = _text(browser_of("CRM manager"))
    assert text.count("Not fetched yet") == 4
    assert operator.url in text
    assert "Fetch now" in text


def test_page__up_to_date_failing_overdue_and_left_alone__are_told_apart(start: Any, browser_of: Any) -> None:
    _, client = start(serving(_now_data()))
    now = utc_now()
    pull_all(now, client)
    browser = browser_of("Compliance")
    text = _text(browser)
    assert text.count("Up to date") == 4
    assert "Fetch now" not in text  # by permission
    assert "The data are not complete" not in text
    assert "1: see why" in text
    FeedState.objects.filter(resource="players").update(last_success_at=now - timedelta(hours=2))
    FeedState.objects.filter(resource="deposits").update(failing_since=now, failures=3, last_error="HTTP 500")
    FeedState.objects.filter(resource="logs").update(ask_not_before=now + timedelta(hours=1), failing_since=now)
    text = _text(browser)
    assert f"Overdue: nothing since {now - timedelta(hours=2):%Y-%m-%d %H:%M} UTC" in text
    assert f"Failing since {now:%Y-%m-%d %H:%M} UTC" in text
    assert text.count("Up to date") == 1
    assert "The last 3 attempts failed. HTTP 500." in text
    assert f"Left alone until {now + timedelta(hours=1):%Y-%m-%d %H:%M} UTC" in text
    assert f"The data are not complete since {now - timedelta(hours=2):%Y-%m-%d %H:%M} UTC" in text


def test_fetch_now__get_or_no_token_or_no_permission__does_nothing(start: Any, browser_of: Any) -> None:
    operator, _ = start(serving({}))
    assert browser_of("CRM manager").get(FETCH).status_code == 405
    assert browser_of("Finance", enforce_csrf_checks=True).post(FETCH).status_code == 403
    assert browser_of("Compliance").post(FETCH).status_code == 403
    assert Client().post(FETCH).status_code == 302  # to the login
    assert (FeedRun.objects.count(), AuditEvent.objects.filter(action="players.feed_requested").count(), operator.asked) == (0, 0, [])


def test_fetch_now__button_with_its_token__fetches_once_and_is_on_record(start: Any, browser_of: Any) -> None:
    operator, _ = start(serving(_now_data()))
    browser = browser_of("CRM manager", enforce_csrf_checks=True)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(PAGE).content.decode().split(FETCH)[1])
    assert token is not None
    answer = browser.post(FETCH, {"csrfmiddlewaretoken": token[1]}, follow=True)
    assert "The fetch starts in the background." in answer.content.decode()
    run = FeedRun.objects.get()  # workers run at once here
    assert (run.status, str(run.requested_by), run.rows, run.progress) == ("DONE", "CRM manager", 4, 100)
    assert Payment.objects.count() == 1
    event = AuditEvent.objects.get(action="players.feed_requested")
    assert (str(event.actor), event.subject_id) == ("CRM manager", str(run.pk))


def test_fetch_now__clicked_again_and_again__starts_no_second_one(start: Any, browser_of: Any, no_worker: list[dict[str, Any]]) -> None:
    operator, _ = start(serving({}))
    browser = browser_of("CRM manager")
    said = [browser.post(FETCH, follow=True).content.decode() for _ in range(3)]
    run = FeedRun.objects.get()
    assert run.status == "WAITING"
    assert "Waiting for a worker" in said[0]
    assert all("no second one was started" in one for one in said[1:])
    assert AuditEvent.objects.filter(action="players.feed_requested").count() == 1
    # the messages of all three clicks arrive
    results = [pull_feeds(**arguments) for arguments in no_worker]
    assert [bool(one) for one in results] == [True, False, False]
    assert operator.asked != []
    assert FeedRun.objects.get().status == "DONE"


def test_fetch_now__lost_message__is_taken_up_by_the_schedule(start: Any, browser_of: Any, no_worker: list[dict[str, Any]]) -> None:
    start(serving({}))
    browser_of("CRM manager").post(FETCH)
    pull_feeds()
    assert FeedRun.objects.get().status == "DONE"


def test_fetch_now__while_one_is_under_way__shows_its_progress(start: Any, browser_of: Any, no_worker: list[dict[str, Any]]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connection

    start(serving({}))
    browser = browser_of("CRM manager")

    def click() -> str:
        try:
            return browser.post(FETCH, follow=True).content.decode()
        finally:
            connection.close()

    with overlap_lock(runs.PULL_LOCK), ThreadPoolExecutor(1) as pool:
        run = runs.begin(utc_now())
        assert run is not None
        progress = runs.Progress(run, 4)
        progress.resource("players")
        progress.resource("deposits")
        progress.rows(1_234)
        day = utc_now()
        progress.until(day, day - timedelta(days=1), day + timedelta(days=1))
        page = pool.submit(click).result()
    assert "A fetch is under way already" in page
    assert 'aria-valuenow="37"' in page
    assert "1,234 rows so far" in page
    assert f"deposits taken in until {day:%Y-%m-%d %H:%M} UTC" in page
    assert "No sign of life" not in page
    assert (no_worker, FeedRun.objects.count()) == ([], 1)
    FeedRun.objects.update(heartbeat_at=utc_now() - timedelta(minutes=3))
    assert "No sign of life for minutes" in _text(browser)
    # its worker dies: the lock is free, and the next click starts a new one
    assert "The fetch starts in the background." in click()
    assert list(FeedRun.objects.order_by("id").values_list("status", flat=True)) == ["BROKEN_OFF", "WAITING"]


def test_fetch_now__broker_down__is_recorded_and_says_so(start: Any, browser_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from kombu.exceptions import OperationalError

    def down(**_: Any) -> None:
        raise OperationalError

    start(serving({}))
    monkeypatch.setattr(pull_feeds, "delay", down)
    assert "The message broker does not answer" in browser_of("CRM manager").post(FETCH, follow=True).content.decode()
    assert FeedRun.objects.get().status == "WAITING"


def test_refused_rows__page__hides_cells_from_those_who_may_not_see_them_and_dismisses_with_a_reason(start: Any, browser_of: Any) -> None:
    now = utc_now()
    _, client = start(serving({**_now_data(), "players": []}))
    pull_all(now, client)
    FeedRefusal.objects.update(reason="'anna@player.example' is odd")
    row = FeedRefusal.objects.get()
    reader, manager = browser_of("Read-only"), browser_of("CRM manager")
    change = f"{REFUSED}{row.pk}/change/"
    hidden = [reader.get(REFUSED).content.decode(), reader.get(change).content.decode()]
    assert all("anna@player.example" not in page and "P-9" not in page and "•••" in page for page in hidden)
    assert "user_bonus_id" in hidden[1]
    shown = manager.get(change).content.decode()
    assert "anna@player.example" in shown
    assert "P-9" in shown
    form = {"action": "dismiss", "_selected_action": [row.pk]}
    reader.post(REFUSED, {**form, "confirm_action": "1", "reason": "not ours", "_form_submitted": "True"})
    row.refresh_from_db()
    assert row.status == "OPEN"
    asked = manager.post(REFUSED, form)
    assert "never take these rows" in asked.content.decode()
    done = manager.post(REFUSED, {**form, "confirm_action": "1", "reason": "not ours", "_form_submitted": "True"}, follow=True)
    assert "1 rows dismissed." in done.content.decode()
    row.refresh_from_db()
    assert (row.status, row.note, row.raw, row.reason) == ("DISMISSED", "not ours", {}, "")
    assert "anna@player.example" not in manager.get(change).content.decode()
    assert manager.get(REFUSED).status_code == 200


def _request_of(browser: Client) -> Any:
    request = RequestFactory().get("/")
    request.user = User.objects.get(pk=browser.session["_auth_user_id"])
    return request


def test_refused_rows__somebody_privileged_looks_at_the_same_time__cells_stay_hidden(browser_of: Any) -> None:
    at = utc_now()
    FeedRefusal.objects.create(
        resource="bonuses", digest="d", raw={"user_id": "P-9"}, reason="'O'Brien \"x\" @player.example' is odd", remedy="Ask.",
        first_refused_at=at, last_tried_at=at,
    )  # fmt: skip
    pages = site._registry[FeedRefusal]
    mine = pages.get_queryset(_request_of(browser_of("Read-only")))
    theirs = pages.get_queryset(_request_of(browser_of("CRM manager")))  # between the reader's query and its rendering
    row, shown = mine.get(), theirs.get()
    assert "Brien" in pages.why(shown)
    assert pages.cells(shown) == "user_id P-9"
    assert pages.why(row) == '••• is odd.<br><span class="lb-note">Ask.</span>'
    assert pages.cells(row) == "•••"
    assert "P-9" not in pages.shown_row(row)


def test_quarantine__somebody_privileged_looks_at_the_same_time__cells_stay_hidden(start: Any, browser_of: Any) -> None:
    data = _now_data()
    data["players"].append({**data["players"][0], "user_id": "P-2", "email": "anna@@player.example"})
    _, client = start(serving(data))
    pull_all(utc_now(), client)
    pages = site._registry[QuarantinedRow]
    mine = pages.get_queryset(_request_of(browser_of("Read-only"))).filter(column="email")
    theirs = pages.get_queryset(_request_of(browser_of("CRM manager"))).filter(column="email")
    row, shown = mine.get(), theirs.get()
    assert pages.shown_value(shown) == "anna@@player.example"
    assert pages.shown_value(row) == "•••"


def test_refused_rows__search__does_not_read_what_the_page_hides(browser_of: Any) -> None:
    at = utc_now()
    FeedRefusal.objects.create(
        resource="bonuses", digest="d", field="user_id", reason="'anna@player.example' is odd", first_refused_at=at, last_tried_at=at
    )
    reader = browser_of("Read-only")
    found = [reader.get(REFUSED, {"q": text}).context["cl"].result_count for text in ("user_id", "anna@player", "is odd")]
    assert found == [1, 0, 0]


def test_waiting_run__address_taken_out__is_closed(start: Any, browser_of: Any, no_worker: list[dict[str, Any]], settings: Any) -> None:
    start(serving({}))
    browser_of("CRM manager").post(FETCH)
    settings.FEED_URL = ""
    assert pull_feeds() == {}
    run = FeedRun.objects.get()
    assert run.status == "BROKEN_OFF"
    assert run.finished_at is not None
    assert run.error == "no API is configured any more (LOYALTY_FEED_URL), so nothing was fetched"


def test_failing_pull__log__names_kind_and_place_and_no_cell(
    start: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from players.feeds import pull

    cell = "anna@player.example"

    def stop(*_: Any) -> None:
        raise ValueError(f"could not read {cell!r}")

    _, client = start(lambda asked, number: Reply([{"name": cell}]))
    monkeypatch.setattr(pull, "read_as", stop)
    errors = [one.error for one in pull_all(utc_now(), client)]
    assert errors[0] == "stopped by ValueError; an administrator finds the details in the log"
    assert "players.feed_failed resource=players error=ValueError\n" in caplog.text
    assert "in stop" in caplog.text
    assert cell not in caplog.text
