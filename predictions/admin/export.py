"""Scores as a file for targeting: the filtered list without names, each export audited.

Players who may not be contacted are left out of all lists but the fraud scores, which are for review and not for offers.
"""

from collections.abc import Callable, Iterator
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import StaffPage, acting_user
from loyalty_site.common.clock import utc_now
from predictions.ml import advice
from predictions.models import Kind
from predictions.services import for_and_against
from wallet.admin.grant_export import csv_download, csv_lines, xlsx_file

from .filters import may_be_contacted
from .parts import EXPORT, VIEW, Head, cluster_name, head, list_url
from .words import (
    cluster_recommendation,
    cross_sell_of,
    eligibility_of,
    engagement_of,
    fraud_of,
    recommendation_of,
    risk_of,
    trigger_of,
    value_band_of,
)

_CHUNK = 2_000
_MOST_SHEET_ROWS = 1_000_000  # what a sheet of Excel holds, rounded down

Column = tuple[str, Callable[[Any], Any]]

_FIRST: tuple[Column, ...] = (
    ("player_id", lambda row: row.player.external_id),
    ("country", lambda row: row.player.country),
    ("currency", lambda row: row.player.currency),
    ("segment", lambda row: row.player.segment),
)
COLUMNS: dict[str, tuple[Column, ...]] = {
    Kind.CHURN: (
        ("risk_level", risk_of),
        ("churn_probability", lambda row: round(row.probability, 6)),
        ("lower", lambda row: round(row.lower, 6)),
        ("upper", lambda row: round(row.upper, 6)),
        ("value_at_stake", lambda row: row.value),
        ("priority_score", lambda row: round(row.priority, 6)),
        ("idle_days", lambda row: row.idle_days),
        ("recommendation", recommendation_of),
    ),
    Kind.LTV: (
        ("value_segment", value_band_of),
        ("value_365_days", lambda row: row.value),
        ("p10", lambda row: row.p10),
        ("p50", lambda row: row.p50),
        ("p90", lambda row: row.p90),
        ("value_90_days", lambda row: row.value_90),
        ("churn_adjusted", lambda row: "" if row.churn_adjusted is None else row.churn_adjusted),
        ("probability_alive", lambda row: "" if (alive := advice.still_customer(row.alive)) is None else round(alive, 6)),
        ("cross_sell", cross_sell_of),
    ),
    Kind.FRAUD: (
        ("label", lambda row: fraud_of(row)[0]),
        ("fraud_score", lambda row: round(row.score, 6)),
        ("anomaly", lambda row: round(row.anomaly, 6)),
        ("detectors", lambda row: round(row.detectors, 6)),
        ("fraud_type", lambda row: advice.fraud_type_word(row.fraud_type) or ""),
        ("severity", lambda row: advice.severity_word(row.severity)),
    ),
    Kind.SEGMENTATION: (
        ("cluster", lambda row: row.cluster),
        ("cluster_name", lambda row: cluster_name(row.cluster_names, row.cluster)),
        ("rfm_segment", lambda row: row.rfm_segment),
        ("recency", lambda row: row.recency_score),
        ("frequency", lambda row: row.frequency_score),
        ("monetary", lambda row: row.monetary_score),
        ("stability", lambda row: round(row.stability, 6)),
        ("next_cluster", lambda row: row.next_cluster),
        ("transition_probability", lambda row: round(row.transition_probability, 6)),
        ("recommendation", cluster_recommendation),
    ),
    Kind.ENGAGEMENT: (
        ("label", lambda row: engagement_of(row)[0]),
        ("engagement_score", lambda row: round(row.probability, 6)),
        ("logins", lambda row: round(row.logins, 6)),
        ("deposits", lambda row: round(row.deposits, 6)),
        ("gameplay", lambda row: round(row.gameplay, 6)),
        ("weekly_decay", lambda row: round(row.decay, 6)),
        ("trigger", trigger_of),
        ("eligibility", eligibility_of),
    ),
}


class ScoreExport(StaffPage):
    """Answers with the file of one list, filtered as its address says. `file_format` is csv or xlsx."""

    model_admin: Any = None
    permissions = (EXPORT,)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        kind, file_format = str(self.model_admin.kind), kwargs["file_format"]
        if not request.user.has_perm(VIEW[kind]):
            raise PermissionDenied
        if file_format not in {"csv", "xlsx"}:
            raise Http404("Scores come as csv or xlsx.")
        page = head(kind, request.user)
        if page.run is None or page.withheld:
            raise PermissionDenied(page.withheld or "There is nothing to export yet.")
        try:
            rows: QuerySet[Any] = self.model_admin.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(list_url(kind))
        if kind != Kind.FRAUD:
            rows = rows.filter(may_be_contacted(utc_now()))
        count = rows.order_by().count()
        if file_format == "xlsx" and count > _MOST_SHEET_ROWS:
            raise PermissionDenied(f"{count:,} rows are more than a sheet of Excel holds: narrow the list or take the CSV file.")
        audit.record(
            "predictions.scores_exported",
            (self.model_admin.opts.label_lower, "list"),
            at=utc_now(),
            actor=acting_user(request),
            after={"format": file_format, "rows": count, "run": page.run.pk, "filters": request.GET.urlencode()[:500]},
        )
        name = f"{kind}-{page.run.as_of:%Y-%m-%d}.{file_format}"
        columns, lines = column_names(kind), file_rows(kind, rows, page, self.model_admin)
        if file_format == "csv":
            return csv_download(name, csv_lines(columns, lines))  # type: ignore[return-value] # a sibling class
        return xlsx_file(name, [(str(Kind(kind).label), columns, lines)])  # type: ignore[return-value] # a sibling class


def column_names(kind: str) -> list[str]:
    return [name for name, _ in (*_FIRST, *COLUMNS[kind])] + ["reasons", "model", "as_of"]


def file_rows(kind: str, rows: QuerySet[Any], page: Head, model_admin: Any) -> Iterator[list[Any]]:
    """One line a player, in the order of the list, read as it is written."""
    columns = (*_FIRST, *COLUMNS[kind])
    about = [str(page.version or ""), f"{page.run.as_of:%Y-%m-%d %H:%M:%S}" if page.run else ""]
    streamed = rows.select_related("player").iterator(chunk_size=_CHUNK)
    # whoever may not be given anything was left out above; the fraud scores recommend nothing
    for row in model_admin.prepared(streamed, page, barred=frozenset()):
        yield [*(read(row) for _, read in columns), reasons_text(kind, row), *about]


def reasons_text(kind: str, row: Any) -> str:
    """ "for: one reason; another; against: a third". No sign leads, which a spreadsheet would take for a formula."""
    ahead, behind = for_and_against(kind, row.reasons or [], row.unit, getattr(row, "probability", None))
    sides = (("for", ahead), ("against", behind))
    return "; ".join(f"{side}: {'; '.join(one.words for one in found)}" for side, found in sides if found)
