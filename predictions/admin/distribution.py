"""The distribution of a kind's scores in the current run, with a threshold that can be moved: whom it takes in, what that costs and saves.

All figures of every threshold are computed here, once; the page only shows those of the chosen one and multiplies by the cost of a
contact, which the reader gives.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode

from loyalty_site.common.admin.actions import StaffPage
from predictions import selectors
from predictions.models import Kind, ScoringRun
from predictions.thresholds import Thresholds, thresholds

from . import drawing, steps
from .filters import AwayFilter
from .parts import VIEW, Head, head, list_url, may_see, money, named_url, percent
from .version_page import classifier_curves

PERMISSION = "predictions.view_scoringrun"
# what the players above the threshold are called, what a contact is, what their value means, and what of it must move for it to pay
WORDS: dict[str, dict[str, str]] = {
    Kind.CHURN: {
        "figure": "churn probability",
        "players": "Players to contact",
        "cases": "expected to leave",
        "cost": "Cost of contacting them",
        "value": "Value at stake",
        "loss": "weighed by the probability of leaving: it ranks, it forecasts nothing",
        "pays": "Pays when it raises",
        "of": "the value at stake",
    },
    Kind.LTV: {
        "figure": "predicted value of 365 days",
        "players": "Players at or above it",
        "cases": "",
        "cost": "Cost of contacting them",
        "value": "Predicted value",
        "loss": "",
        "pays": "Pays when it raises",
        "of": "the predicted value",
    },
    Kind.FRAUD: {
        "figure": "fraud score",
        "players": "Players to review",
        "cases": "expected to be confirmed",
        "cost": "Cost of the reviews",
        "value": "Predicted value of these players",
        "loss": "of it with the confirmed ones",
        "pays": "Pays when it saves",
        "of": "the predicted value",
        "of_loss": "the value with the confirmed ones",
    },
    Kind.ENGAGEMENT: {
        "figure": "probability of activity within 7 days",
        "players": "Players to contact",
        "cases": "expected to be active",
        "cost": "Cost of contacting them",
        "value": "Predicted value of these players",
        "loss": "of it with the active ones",
        "pays": "Pays when it raises",
        "of": "the predicted value",
    },
}


class DistributionPage(StaffPage):
    title = "Distribution"
    template_name = "predictions/distribution.html"
    permissions = (PERMISSION,)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated and not any(may_see(request.user, kind) for kind in VIEW):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        query, user = self.request.GET, self.request.user
        offered = [str(kind) for kind in VIEW if may_see(user, kind)]
        kind = query.get("kind", "")
        if kind in VIEW and kind not in offered:
            raise PermissionDenied
        errors = [] if not kind or kind in offered else ["There is no such distribution; this is another one."]
        kind = kind if kind in offered else offered[0]
        page = head(kind, user, url=lambda one: f"{named_url('predictions_distribution')}?kind={one}")
        context: dict[str, Any] = {"head": page, "errors": errors, "kind_label": Kind(kind).label, "list_url": list_url(kind)}
        if page.run is not None and not page.withheld:
            context |= distribution(kind, page.run, page, query.get("currency", ""))
        return super().get_context_data(**kwargs, **context)


def distribution(kind: str, run: ScoringRun, page: Head, currency: str) -> dict[str, Any]:
    """Context of the page for a kind that is shown."""
    if kind == Kind.SEGMENTATION:
        return segments(run, page)
    bands, curves = selectors.histogram(kind, run), page.version.curves if page.version else {}
    currencies = currencies_of(kind, bands)
    if kind == Kind.LTV:
        currency = currency if currency in currencies else next(iter(currencies), "")
        bands = [band for band in bands if band["currency"] == currency]
        found = steps.amount_steps(bands, currency)
    else:
        currency = currency if currency in currencies and steps.can_split(bands) else currencies[0] if len(currencies) == 1 else ""
        bands = steps.of_currency(bands, currency) if len(currencies) > 1 and currency else bands
        found = steps.probability_steps(bands, curves.get("reliability") or []) if bands else []
    chosen = steps.step_at(found, start_threshold(kind, thresholds())) if found else 0
    against = pays_against(kind, found)
    return {
        "words": WORDS[kind],
        "pays_of": against["of"],
        "steps": found,
        "chosen": chosen,
        "start": shown_step(kind, found[chosen], currency) if found else None,
        "bars": drawing.histogram([int(band["players"]) for band in bands]),
        "total": sum(int(band["players"]) for band in bands),
        "axis": _axis(kind, bands, currency),
        "page_data": {**_page_data(kind, found, chosen, currency), "against": against},
        "currencies": currency_links(kind, bands, currencies, currency),
        "is_mixed": len(currencies) > 1 and not currency,
        "may_choose": steps.can_split(bands) or kind == Kind.LTV,
        "is_stake": kind != Kind.LTV,
        "currency": currency,
        "is_measured": bool(curves.get("reliability")) and kind != Kind.LTV,
        **classifier_curves(curves),
        "deciles": drawing.deciles(curves.get("deciles") or []),
        "decile_rows": curves.get("deciles") or [],
        "version": page.version,
    }


def currencies_of(kind: str, bands: list[dict[str, Any]]) -> list[str]:
    if kind == Kind.LTV:
        return list(dict.fromkeys(band["currency"] for band in bands))
    return sorted({currency for band in bands for currency in band["value"]})


def currency_links(kind: str, bands: list[dict[str, Any]], currencies: list[str], chosen: str) -> list[dict[str, Any]]:
    """The switch: one currency each, and for all but the value, whose slider is an amount, all of them together."""
    links = [{"code": code, "url": _url(kind, code), "is_chosen": code == chosen} for code in currencies]
    if kind == Kind.LTV or len(currencies) < 2:
        return links
    if not steps.can_split(bands):
        return []
    return [{"code": "All", "url": _url(kind, ""), "is_chosen": not chosen}, *links]


def start_threshold(kind: str, bounds: Thresholds) -> float:
    """Where the slider stands at first: the bound that staff set for the kind."""
    return {
        Kind.CHURN: bounds.churn,
        Kind.LTV: float(bounds.value_high_from),
        Kind.FRAUD: bounds.fraud,
        Kind.ENGAGEMENT: bounds.engagement,
    }[Kind(kind)]


def shown_step(kind: str, step: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """A step in words, as the page begins; the script writes the others alike."""
    return {
        "threshold": threshold_text(kind, step["threshold"], currency),
        "players": f"{step['players']:,}",
        "share": percent(step["share"], 1),
        "expected": "" if step["expected"] is None else f"{step['expected']:,.0f}",
        "precision": "" if step["precision"] is None else percent(step["precision"]),
        "recall": "" if step["recall"] is None else percent(step["recall"]),
        "value": [money(total, code) for code, total in step["value"].items()],
        "loss": [money(total, code) for code, total in (step["loss"] or {}).items()],
    }


def pays_against(kind: str, found: list[dict[str, Any]]) -> dict[str, str]:
    """What the cost of the contacts is compared with: the sum of the steps ("value" or "loss") and what the page calls it.

    The loss where a contact can save no more than that, and where it is known: the value with confirmed fraud.
    """
    words = WORDS[kind]
    is_loss = "of_loss" in words and bool(found) and found[0]["loss"] is not None
    return {"sum": "loss", "of": words["of_loss"]} if is_loss else {"sum": "value", "of": words["of"]}


def threshold_text(kind: str, threshold: float, currency: str) -> str:
    return money(round(threshold, 0), currency) if kind == Kind.LTV else f"{threshold:.2f}"


def _page_data(kind: str, found: list[dict[str, Any]], chosen: int, currency: str) -> dict[str, Any]:
    """What the script needs, as JSON in the page."""
    field = selectors.LEADING[kind]
    return {
        "steps": [{**step, "text": threshold_text(kind, step["threshold"], currency)} for step in found],
        "chosen": chosen,
        "list": list_url(kind),
        "parameter": f"{field}_from",
        # the list of churn opens on players who can be kept; here everybody is counted
        "also": {AwayFilter.parameter_name: AwayFilter.ALL} if kind == Kind.CHURN else {},
        "currency": currency,
    }


def _axis(kind: str, bands: list[dict[str, Any]], currency: str) -> list[str]:
    if not bands:
        return []
    if kind != Kind.LTV:
        return ["0", "0.25", "0.5", "0.75", "1"]
    ends = [bands[number]["from"] for number in (0, len(bands) // 4, len(bands) // 2, 3 * len(bands) // 4)]
    return [*(f"{end:,.0f}" for end in ends), f"{bands[-1]['to']:,.0f} {currency}"]


def _url(kind: str, currency: str) -> str:
    return f"{named_url('predictions_distribution')}?{urlencode({'kind': kind, 'currency': currency})}"


def segments(run: ScoringRun, page: Head) -> dict[str, Any]:
    """Segments have no threshold: how many players each has, what they are like, and where they go."""
    summary = selectors.summary(Kind.SEGMENTATION, run)
    known = list((page.version.curves.get("characteristics") or []) if page.version else [])
    clusters = {int(number): players for number, players in summary.get("clusters", {}).items()}
    largest = max([*clusters.values(), *summary.get("segments", {}).values()], default=0)
    total = sum(clusters.values())
    return {
        "is_segments": True,
        "total": total,
        "clusters": [
            {
                "name": known[number]["name"] if number < len(known) else f"Cluster {number}",
                "about": known[number] if number < len(known) else None,
                "players": players,
                "share": percent(players / total if total else 0, 1),
                "width": f"{100 * players / largest if largest else 0:.1f}",
                "url": f"{list_url(Kind.SEGMENTATION)}?cluster={number}",
            }
            for number, players in sorted(clusters.items())
        ],
        "named": [
            {
                "name": name,
                "players": players,
                "share": percent(players / total if total else 0, 1),
                "width": f"{100 * players / largest if largest else 0:.1f}",
                "url": f"{list_url(Kind.SEGMENTATION)}?{urlencode({'rfm': name})}",
            }
            for name, players in sorted(summary.get("segments", {}).items(), key=lambda one: (-one[1], one[0]))
        ],
        "version": page.version,
    }
