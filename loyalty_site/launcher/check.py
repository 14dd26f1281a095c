"""`./loyalty demo --check`: log in as every role, request the pages and the API, add up the data, print one JSON line."""

import http.cookiejar
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from loyalty_site.launcher.demo import Demo, keep_running, say
from loyalty_site.launcher.environment import ROOT
from loyalty_site.launcher.processes import last_lines
from loyalty_site.sample_data import DEMO_ADMIN, DEMO_STAFF

READY_SECONDS = 90
# what the simulated players' bonuses must have come to, so that every page has something to show; fewer players may miss a state
ALL_STATES_FROM_PLAYERS = 2000
GRANT_STATES = (
    "ACTIVE", "COMPLETED", "EXPIRED", "EXPIRED_UNCLAIMED", "FORFEITED", "LOST", "OFFERED", "PAUSED", "QUEUED", "REVERSED", "VOIDED",
    "WAGERING",
)  # fmt: skip
# the kinds of models that enough simulated players must have brought into use
MODEL_KINDS = ("churn", "ltv", "fraud", "segmentation", "engagement", "profile")
# a link of the menu that changes something or leaves the site when followed
_NOT_FOLLOWED = re.compile(r"/(logout|password_change|jsi18n|autocomplete)/|/add/|/delete/")
_LINK = re.compile(r'href="(/admin/[^"#?]*)')
# pages of one record, opened from the first row of a list
_RECORD = re.compile(r'href="((?:/admin/[a-z_]+/[a-z_]+/)(?:[^"/?#]+)/change/)')
_PARAMETER = re.compile(r"{(\w+)}")
# what a role without rights must not get
_FORBIDDEN = {"read_only": "/admin/players/tier/add/", "crm_agent": "/admin/auth/user/"}


@dataclass
class Outcome:
    """What was requested and what was wrong. `urls`: who -> path -> status."""

    urls: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class Browser:
    """Just enough of one: keeps cookies, follows redirects, sends the login form."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def request(self, path: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> tuple[int, str, str]:
        """(status, text, final path) of a GET, or of a POST when `form` is given. Status 0: no answer at all."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(self.site + path, data=data, headers={"Referer": self.site + path, **(headers or {})})
        try:
            with self.opener.open(request, timeout=60) as response:
                return response.status, response.read().decode(errors="replace"), urllib.parse.urlparse(response.url).path
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace"), path
        except (urllib.error.URLError, OSError) as error:
            return 0, str(error), path

    def log_in(self, username: str, password: str) -> bool:
        self.request("/admin/login/")
        token = next((cookie.value or "" for cookie in self.cookies if cookie.name == "csrftoken"), "")
        form = {"username": username, "password": password, "csrfmiddlewaretoken": token, "next": "/admin/"}
        status, _text, path = self.request("/admin/login/", form)
        return status == 200 and path == "/admin/"


def run_check(demo: Demo) -> int:
    """Check a running demo; prints the JSON line on stdout and returns 0, or 1 with what failed in `failed` and on stderr."""
    outcome = Outcome()
    health = wait_until_ready(demo, outcome)
    people = {DEMO_ADMIN: "superuser", **DEMO_STAFF}
    with ThreadPoolExecutor(max_workers=3) as pool:
        for username, urls, failures in pool.map(lambda name: visit_admin(demo, name), people):
            outcome.urls[username] = urls
            outcome.failures += failures
    visit_api(demo, outcome)
    keep_running(demo)
    summary = read_summary(demo, outcome)
    judge(summary, outcome)
    line = {
        "ok": not outcome.failures,
        **summary,
        "health": health,
        "urls": outcome.urls,
        "seconds": demo.seconds,
        "failed": outcome.failures,
    }
    print(json.dumps(line), flush=True)
    for failure in outcome.failures:
        say(f"FAILED {failure}")
    return 1 if outcome.failures else 0


def wait_until_ready(demo: Demo, outcome: Outcome) -> dict[str, Any]:
    """The answer of /health/ready, once it is well or the patience is over."""
    browser = Browser(demo.url)
    deadline = time.monotonic() + READY_SECONDS
    while True:
        keep_running(demo)
        status, text, _path = browser.request("/health/ready")
        if status == 200 or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    outcome.urls["health"] = {"/health/live": browser.request("/health/live")[0], "/health/ready": status}
    try:
        checks = json.loads(text).get("checks", {})
    except ValueError:
        checks = {}
    if status != 200:
        wrong = "; ".join(f"{name}: {check['detail']}" for name, check in checks.items() if not check["ok"])
        outcome.failures.append(f"/health/ready answered {status} ({wrong or text[:200]})")
    return checks


def visit_admin(demo: Demo, username: str) -> tuple[str, dict[str, int], list[str]]:
    """Every page of the menu that `username` sees, one record of each list, and one page that the role must not see."""
    browser = Browser(demo.url)
    urls: dict[str, int] = {}
    failures: list[str] = []
    if not browser.log_in(username, demo.env["LOYALTY_DEMO_PASSWORD"]):
        return username, urls, [f"{username} could not log in at /admin/login/"]
    status, start_page, _path = browser.request("/admin/")
    urls["/admin/"] = status
    if status != 200:
        failures.append(f"{username} /admin/ answered {status}")
    for path in _paths(_LINK, start_page):
        keep_running(demo)
        status, text = _visit(browser, path, username, urls, failures)
        record = next(iter(_paths(_RECORD, text)), None) if status == 200 else None
        if record and record not in urls and record.startswith(path):
            _visit(browser, record, username, urls, failures)
    forbidden = _FORBIDDEN.get(username)
    if forbidden:
        urls[forbidden] = status = browser.request(forbidden)[0]
        if status != 403:
            failures.append(f"{username} {forbidden} answered {status} and must be refused with 403")
    return username, urls, failures


def _visit(browser: Browser, path: str, username: str, urls: dict[str, int], failures: list[str]) -> tuple[int, str]:
    status, text, final = browser.request(path)
    urls[path] = status
    if status != 200:
        failures.append(f"{username} {path} answered {status}")
    elif final.startswith("/admin/login"):
        failures.append(f"{username} {path} led back to the login page")
    return status, text


def _paths(pattern: re.Pattern[str], text: str) -> Iterable[str]:
    found = dict.fromkeys(unescape(path) for path in pattern.findall(text))
    return [path for path in found if not _NOT_FOLLOWED.search(path) and path != "/admin/"]


def visit_api(demo: Demo, outcome: Outcome) -> None:
    """The schema, the documentation, every list of the schema and one record of each; and a stranger, who gets nothing."""
    urls = outcome.urls.setdefault("api", {})
    browser = Browser(demo.url)
    if not browser.log_in(DEMO_ADMIN, demo.env["LOYALTY_DEMO_PASSWORD"]):
        outcome.failures.append("api: the administrator could not log in")
        return
    status, text, _path = browser.request("/api/v1/schema", headers={"Accept": "application/vnd.oai.openapi+json, application/json"})
    urls["/api/v1/schema"] = status
    if status != 200:
        outcome.failures.append(f"api /api/v1/schema answered {status}")
        return
    try:
        operations = json.loads(text)["paths"]
    except (ValueError, KeyError):
        outcome.failures.append("api /api/v1/schema is not an OpenAPI document in JSON")
        return
    stranger = Browser(demo.url)
    first_rows: dict[str, dict[str, Any]] = {}

    def visit(path: str) -> None:
        keep_running(demo)
        status, text, _path = browser.request(path, headers={"Accept": "application/json, text/html, text/csv;q=0.5"})
        urls[path] = status
        if status != 200:
            outcome.failures.append(f"api {path} answered {status}")
        elif row := first_row(text):
            first_rows[path] = row
        if path.startswith("/api/v1/docs"):
            return
        refused = stranger.request(path, headers={"Accept": "application/json"})[0]
        if refused not in (401, 403):
            outcome.failures.append(f"api {path} answered {refused} to a caller without a key")

    for path in ["/api/v1/docs", *readable_paths(operations)]:
        visit(path)
    for path in record_paths(operations, first_rows):
        visit(path)


def first_row(text: str) -> dict[str, Any] | None:
    """The first row of a list that an endpoint answered with, also of one in an envelope; None when it is no list or has no rows."""
    try:
        answer = json.loads(text)
        rows = answer["data"]["results"] if "data" in answer else answer["results"]
    except (ValueError, KeyError, TypeError):
        return None
    return rows[0] if rows and isinstance(rows[0], dict) else None


def record_paths(operations: dict[str, Any], first_rows: dict[str, dict[str, Any]]) -> list[str]:
    """Paths of one record, filled with the first row of its list (of a player: of the list of players). `first_rows` is by list path."""
    found = []
    for path, methods in operations.items():
        names = _PARAMETER.findall(path)
        required = [one for one in methods.get("get", {}).get("parameters", []) if one.get("required") and one["in"] == "query"]
        if "get" not in methods or len(names) != 1 or required:
            continue
        name = names[0]
        if "/predictions/" in path and name == "player_id":  # a player who has a score of the kind, if any has
            row = first_rows.get(path.replace("/players/{player_id}", "/predict"))
        else:
            row = first_rows.get(path.split("/{")[0]) or (first_rows.get("/api/v1/players") if name == "player_id" else None)
        value = (row or {}).get(name, (row or {}).get("id"))
        if value is not None:
            found.append(path.replace(f"{{{name}}}", urllib.parse.quote(str(value), safe="")))
    return found


def readable_paths(operations: dict[str, Any]) -> list[str]:
    """Paths of an OpenAPI document that can be requested as they stand: a GET without path or required query parameters."""
    return [
        path
        for path, methods in operations.items()
        if "get" in methods
        and "{" not in path
        and not path.endswith("/schema")
        and not any(parameter.get("required") for parameter in methods["get"].get("parameters", []))
    ]


def read_summary(demo: Demo, outcome: Outcome) -> dict[str, Any]:
    log = demo.logs / "setup-summary.log"
    with log.open("w") as errors:
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "demo_summary"],
            env=demo.env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        outcome.failures.append(f"the summary of the data failed: {last_lines(log, 1)} (details: {log})")
        return {}
    return json.loads(done.stdout.strip().splitlines()[-1])


def judge(summary: dict[str, Any], outcome: Outcome) -> None:
    """What must hold for the data of a demo."""
    if not summary:
        return
    if not summary["players"]:
        outcome.failures.append("there are no players")
    if sum(summary["segments"].values()) != summary["players"] or len(summary["segments"]) < 2:
        outcome.failures.append(f"players are not segmented: {summary['segments']}")
    if not summary["rewards"].get("ISSUED"):
        outcome.failures.append(f"no reward was issued: {summary['rewards'] or 'none proposed'}")
    if summary["rewards"].get("ISSUE_FAILED"):
        outcome.failures.append(f"{summary['rewards']['ISSUE_FAILED']} rewards could not be issued")
    if not summary["ledger"]:
        outcome.failures.append("the ledger is empty")
    if not summary["ledger_balanced"]:
        outcome.failures.append(f"the ledger does not reconcile: {summary['ledger']}")
    asked = GRANT_STATES if summary["players"] >= ALL_STATES_FROM_PLAYERS else ("COMPLETED",)
    if missing := [status for status in asked if not summary["grants"].get(status)]:
        outcome.failures.append(f"no bonus grant is {', '.join(missing)}")
    if not summary["payouts"].get("DELIVERED"):
        outcome.failures.append(f"no pay-out was delivered: {summary['payouts']}")
    if not summary["lots"].get("EXPIRED"):
        outcome.failures.append(f"no points have expired: {summary['lots']}")
    if not summary["redemptions"]:
        outcome.failures.append("nothing was bought with points")
    if not summary["ledger_verified"]:
        outcome.failures.append(f"verify_ledger found differences: {'; '.join(summary['ledger_differences'])}")
    needed = MODEL_KINDS if summary["players"] >= ALL_STATES_FROM_PLAYERS else ("profile",)
    if missing := [kind for kind in needed if kind not in summary["models"]]:
        outcome.failures.append(f"no model is in use for {', '.join(missing)}")
    if summary["failed_jobs"]:
        outcome.failures.append(f"jobs failed: {', '.join(summary['failed_jobs'])}")
