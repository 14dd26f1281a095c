"""The inbox of rewards that wait for a person: totals, what may be decided by whom, and deciding many at once."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from constance import config
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Max, Min, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import urlencode

from loyalty_site.common.admin.actions import StaffPage
from loyalty_site.common.admin.display import amount
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import from_minor
from players.models import Segment
from rewards import services
from rewards.granting.pipeline import APPROVE_PERMISSION
from rewards.models import RewardDecision

_PAGE = 50
_MOST_AT_ONCE = 2_000
_SORTS = {"oldest": ("proposed_at", "id"), "largest": ("-expected_cost", "id")}
_GROUPS = (
    ("Rule", "rule", "rule__name", "rule_id"),
    ("Segment", "segment", "player__segment", "player__segment"),
    ("Market", "market", "player__jurisdiction__code", "player__jurisdiction_id"),
)


@dataclass(frozen=True)
class Line:
    """One line of a breakdown: how many wait, what they add up to, and the address that narrows the inbox to them."""

    name: str
    count: int
    total: str
    url: str
    is_chosen: bool


class ApprovalsPage(StaffPage):
    title = "Approvals"
    template_name = "rewards/approvals.html"
    permissions = (APPROVE_PERMISSION,)

    def waiting(self) -> QuerySet[RewardDecision]:
        """The rewards that wait and match the filters in the address."""
        found = RewardDecision.objects.filter(status="PENDING")
        chosen = self.request.GET
        if chosen.get("rule"):
            found = found.filter(rule_id=int(chosen["rule"])) if chosen["rule"].isdigit() else found.filter(rule=None)
        if chosen.get("segment"):
            found = found.filter(player__segment=chosen["segment"])
        if chosen.get("market"):
            found = (
                found.filter(player__jurisdiction_id=int(chosen["market"]))
                if chosen["market"].isdigit()
                else found.filter(player__jurisdiction=None)
            )
        return found

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = utc_now()
        found = self.waiting()
        sort = self.request.GET.get("sort", "oldest")
        ordered = found.select_related("player__jurisdiction", "rule", "maker", "maker_client", "first_approver")
        ordered = ordered.order_by(*_SORTS.get(sort, _SORTS["oldest"])).defer("facts", "diff")
        page = Paginator(ordered, _PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(
            **kwargs,
            totals=self._totals(found, now),
            groups=[(title, self._lines(*group)) for title, *group in _GROUPS],
            page_obj=page,
            rows=[self._row(decision, now) for decision in page],
            is_filtered=any(self.request.GET.get(key) for _, key, _, _ in _GROUPS),
            sort=sort,
            sort_urls={name: self._url(sort=name) for name in _SORTS},
            page_urls={"previous": self._url(page=page.number - 1), "next": self._url(page=page.number + 1)},
            most_at_once=_MOST_AT_ONCE,
            lapse_hours=config.APPROVAL_LAPSES_AFTER_HOURS,
        )

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Decide on the ticked rewards, or on all that match the filters."""
        from rewards.admin.decision import answers_message, approve_and_pay, staff_user, told

        here = HttpResponseRedirect(request.get_full_path())
        if request.POST.get("all") == "1":
            ids = list(self.waiting().order_by("pk").values_list("pk", flat=True)[:_MOST_AT_ONCE])
        else:
            ids = [int(one) for one in request.POST.getlist("ids") if one.isdigit()]
        what, note = request.POST.get("decision"), request.POST.get("note", "").strip()
        if not ids:
            messages.error(request, "Nothing was selected. Tick the rewards you want to decide on.")
            return here
        if what != "recheck" and len(note) < 3:
            messages.error(request, "Give a reason: it is kept with the decision.")
            return here
        calls = {
            "approve": lambda: approve_and_pay(request, ids, note),
            "reject": lambda: answers_message(request, services.reject(ids, staff_user(request), utc_now(), note)),
            "recheck": lambda: answers_message(request, services.recheck(ids, utc_now(), actor=staff_user(request))),
        }
        if what not in calls:
            messages.error(request, "Choose to approve, to reject or to check again.")
            return here
        told(request, calls[what])
        return here

    def _totals(self, found: QuerySet[RewardDecision], now: datetime) -> dict[str, Any]:
        sums = list(
            found.order_by()
            .values("unit", "currency")
            .annotate(count=Count("pk"), minor=Sum("amount_minor"), cost=Sum("expected_cost"), largest=Max("amount_minor"))
        )
        edge = found.aggregate(oldest=Min("proposed_at"))
        return {
            "count": sum(row["count"] for row in sums),
            "units": [
                {
                    "unit": row["currency"] or row["unit"],
                    "count": row["count"],
                    "sum": amount(from_minor(int(row["minor"]), row["currency"] or row["unit"]), row["currency"] or row["unit"]),
                    "cost": amount(Decimal(row["cost"]), row["currency"] or ""),
                    "worst": worst_case(row),
                    "largest": amount(from_minor(int(row["largest"]), row["currency"] or row["unit"]), row["currency"] or row["unit"]),
                }
                for row in sorted(sums, key=lambda row: -row["count"])
            ],
            "oldest_age": _age(now - edge["oldest"]) if edge["oldest"] else "",
            "two_needed": found.filter(approvals_needed__gt=1).count(),
        }

    def _lines(self, key: str, name_field: str, value_field: str) -> list[Line]:
        rows = (
            RewardDecision.objects.filter(status="PENDING")
            .order_by()
            .values(name_field, value_field, "unit", "currency")
            .annotate(count=Count("pk"), minor=Sum("amount_minor"))
        )
        by_value: dict[Any, dict[str, Any]] = {}
        for row in rows:
            line = by_value.setdefault(row[value_field], {"name": row[name_field], "count": 0, "sums": []})
            unit = row["currency"] or row["unit"]
            line["count"] += row["count"]
            line["sums"].append(amount(from_minor(int(row["minor"]), unit), unit))
        chosen = self.request.GET.get(key, "")
        lines = []
        for value, line in sorted(by_value.items(), key=lambda item: -item[1]["count"]):
            wanted = str(value) if value not in (None, "") else "none"
            missing = {"rule": "Without a rule", "market": "Market unknown"}.get(key, "Unknown")
            name = Segment(line["name"]).label if key == "segment" else line["name"] or missing
            is_chosen = chosen == wanted
            url = self._url(**{key: "" if is_chosen else wanted, "page": ""})
            lines.append(Line(str(name), line["count"], ", ".join(sorted(line["sums"])), url, is_chosen))
        return lines

    def _row(self, decision: RewardDecision, now: datetime) -> dict[str, Any]:
        viewer = self.request.user.pk
        blocked = ""
        if decision.maker_id == viewer:
            blocked = "You proposed it; another person decides."
        elif decision.first_approver_id == viewer:
            blocked = "You gave the first approval; another person gives the second."
        checked = decision.checked_at or decision.proposed_at
        stale = now - checked > timedelta(hours=config.APPROVAL_STALE_AFTER_HOURS)
        adjusted = [one["name"] for one in decision.verdicts if one["result"] == "ADJUST"]
        cause = next((one["reason"] for one in decision.verdicts if one["name"] == "approval"), "")
        return {
            "decision": decision,
            "amount": amount(decision.amount, decision.money_unit),
            "proposed": amount(decision.proposed_amount, decision.money_unit) if decision.amount_minor != decision.proposed_minor else "",
            "cost": amount(decision.expected_cost, decision.currency),
            "wagering": amount(decision.wagering_required, decision.money_unit) if decision.wagering_required else "",
            "market": decision.player.jurisdiction.code if decision.player.jurisdiction else "unknown",
            "from": decision.rule.name if decision.rule else f"{decision.get_source_display()}: {decision.maker or decision.maker_client}",
            "age": _age(now - decision.proposed_at),
            "left": _age(decision.proposed_at + timedelta(hours=config.APPROVAL_LAPSES_AFTER_HOURS) - now),
            "proposed_at": decision.proposed_at.astimezone(UTC),
            "stale": stale,
            "changed": bool(decision.diff),
            "adjusted": ", ".join(adjusted),
            "cause": cause.removeprefix("waits for approval: ").removeprefix("waits for two approvals: "),
            "needed": max(1, decision.approvals_needed),
            "first": decision.first_approver,
            "blocked": blocked,
        }

    def _url(self, **changes: Any) -> str:
        kept = {key: self.request.GET.get(key, "") for key in ("rule", "segment", "market", "sort", "page")}
        kept.update({key: str(value) for key, value in changes.items()})
        return f"?{urlencode({key: value for key, value in kept.items() if value})}"


def worst_case(row: Any) -> str:
    """Everything is converted: face value of bonus money, cost of points and tickets."""
    return amount(from_minor(int(row["minor"]), row["currency"]) if row["currency"] else Decimal(row["cost"]), row["currency"])


def _age(span: timedelta) -> str:
    hours = int(span.total_seconds() // 3600)
    if hours < 1:
        return "under 1 h"
    return f"{hours} h" if hours < 72 else f"{hours // 24} d"
