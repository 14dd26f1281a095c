"""The list of a kind's scores: rows of the current run only, in the order of an index, paged without reading what lies before."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.paginator import Page
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.views import ChangeList

from loyalty_site.common.admin.base import BackOfficeChangeList, EstimatingPaginator, ViewOnlyAdmin
from loyalty_site.common.clock import utc_now
from players.selectors import barred_players
from predictions import selectors
from predictions.bounds import advice_bounds
from predictions.ml import advice
from predictions.models.scores import Score
from predictions.services import money_unit
from wallet.admin.parts import PlayerSearchMixin, page_url

from . import asked
from .export import ScoreExport
from .filters import AwayFilter, may_be_contacted
from .parts import EXPORT, VIEW, Head, cluster_names, head, list_url, named_url, player_cell, reason_list

_COUNTED_EXACTLY = 10_000  # rows; beyond, the paginator estimates


class KeyedPaginator(EstimatingPaginator):
    """Finds the players of a page in the index alone, then reads their rows: the page in the middle of a million is as quick."""

    def page(self, number: int | str) -> Page:
        number = self.validate_number(number)
        bottom = (number - 1) * self.per_page
        rows: Any = self.object_list
        keys = list(rows.values_list("player_id", flat=True)[bottom : bottom + self.per_page])
        return Page(rows.filter(player_id__in=keys), number, self)


class ScoreChangeList(BackOfficeChangeList):
    """Breaks ties as the index does (`ties`, then by player), so that the order is total and no row is sorted."""

    problems: Sequence[str] = ()

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet:
        rows = super().get_queryset(request, exclude_parameters)
        self.problems = asked.problems(request, self)
        return rows.none() if self.problems else rows

    def get_ordering(self, request: HttpRequest, queryset: QuerySet) -> list[str]:
        leading = str(super().get_ordering(request, queryset)[0])
        is_falling, field = leading.startswith("-"), leading.removeprefix("-")
        if field in ("pk", "player_id"):
            return [f"{'-' if is_falling else ''}player_id"]
        with_index = is_falling != (field in self.model_admin.rising)
        tie = self.model_admin.ties.get(field)
        ties = [f"{'-' if is_falling else ''}{tie}"] if tie else []
        return [leading, *ties, "player_id" if with_index else "-player_id"]


class CheckedExport(ScoreExport):
    """Refuses an address that asks for what cannot be, with the list's own words: no file of everybody under a filter that fails."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.has_perm(VIEW[str(self.model_admin.kind)]):
            try:
                found = self.model_admin.get_changelist_instance(request).problems
            except IncorrectLookupParameters:
                found = []  # refused by the export itself
            if found:
                messages.error(request, "Nothing was exported. Mend the filters first.")
                return HttpResponseRedirect(f"{list_url(self.model_admin.kind)}?{request.GET.urlencode()}")
        return super().get(request, *args, **kwargs)


def about_list(kind: str, changelist: Any, may_export: bool) -> dict[str, Any]:
    """What the head of a list says of its rows: whom it leaves out, and how many of them a file would hold.

    `narrowed`: the way to all players of a list that opens on some, or back; None for the other lists. `contact`: (players who may be
    contacted, players of the list) as words; estimates above 10,000, as the list's own count is.
    """
    away = next((spec for spec in changelist.filter_specs if isinstance(spec, AwayFilter)), None)
    found: dict[str, Any] = {"narrowed": None, "contact": None, "is_of_all": kind == "fraud"}
    if away is not None and away.value() in (AwayFilter.KEPT, AwayFilter.ALL):
        is_kept = away.value() == AwayFilter.KEPT
        other = AwayFilter.ALL if is_kept else AwayFilter.KEPT
        url = changelist.get_query_string({AwayFilter.parameter_name: other}, ["p"])
        found["narrowed"] = {"is_kept": is_kept, "days": advice.WIN_BACK_AFTER_DAYS, "url": url}
    if may_export and kind != "fraud" and not changelist.problems:
        may = EstimatingPaginator(changelist.queryset.filter(may_be_contacted(utc_now())), 1).count
        found["contact"] = tuple(f"{'about ' if count > _COUNTED_EXACTLY else ''}{count:,}" for count in (may, changelist.result_count))
    return found


class ScoreAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    """Base of the five lists. A row leads to the page of its player, where the scores stand together."""

    kind: ClassVar[str] = ""
    rising: ClassVar[frozenset[str]] = frozenset()  # columns whose index rises; the others' fall
    ties: ClassVar[Mapping[str, str]] = {}  # column to the one that decides between equal values, in the same direction
    search_help_text = "Player id"
    paginator = KeyedPaginator
    list_display_links = None
    list_select_related = ("player",)
    list_before_template = "predictions/list_head.html"
    fields = ()

    class Media:
        css = {"all": ["predictions/admin.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ScoreChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return selectors.scores(self.kind, selectors.current_run()).order_by(*self.ordering or ())

    def get_urls(self) -> list[Any]:
        export = self.admin_site.admin_view(CheckedExport.as_view(model_admin=self))
        return [path("export/<str:file_format>/", export, name=f"predictions_{self.opts.model_name}_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        page = head(self.kind, request.user)
        query = self._export_query(request)
        may_export = request.user.has_perm(EXPORT)
        context = {
            "head": page,
            "may_export": may_export,
            "exports": [
                {"label": label, "url": f"{named_url(f'predictions_{self.opts.model_name}_export', name)}{'?' if query else ''}{query}"}
                for name, label in (("csv", "CSV"), ("xlsx", "Excel"))
            ],
            "distribution_url": f"{named_url('predictions_distribution')}?kind={self.kind}",
        }
        response = super().changelist_view(request, {**context, **(extra_context or {})})
        shown = getattr(response, "context_data", None)
        if shown and "cl" in shown:
            shown |= about_list(self.kind, shown["cl"], may_export)
            rows = list(shown["cl"].result_list)
            barred = barred_players([row.player_id for row in rows], utc_now()) if rows else set()
            shown["cl"].result_list = list(self.prepared(rows, page, barred=barred))
        return response

    def _export_query(self, request: HttpRequest) -> str:
        """The address of the list, with what it shows unasked written out: a file and its audit entry say what was left out."""
        query = request.GET.copy()
        if AwayFilter in (self.list_filter or ()) and not query.get(AwayFilter.parameter_name) and not query.get(SEARCH_VAR):
            query[AwayFilter.parameter_name] = AwayFilter.KEPT
        return query.urlencode()

    def prepared(self, rows: Any, page: Head, *, barred: Collection[int]) -> Iterator[Score]:
        """The rows with what all of them need, read once: bounds, names of clusters, units of money, and who may be given nothing."""
        bounds, names = advice_bounds(), cluster_names(page.version) if self.kind == "segmentation" else {}
        for row in rows:
            assert page.run is not None  # without a run there is no row
            row.unit = money_unit(page.run, row.player.currency)
            row.bounds, row.cluster_names, row.is_barred = bounds, names, row.player_id in barred
            yield row

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A score has no page of its own: the player's page shows it with the others, its history and its reasons."""
        row = self.get_object(request, object_id) if object_id and self.has_view_permission(request) else None
        if row is None:
            return super().changeform_view(request, object_id, form_url, extra_context)
        return HttpResponseRedirect(f"{page_url('players_player', row.player_id)}#predictions")

    # columns of every list

    @display(description="Player")
    def shown_player(self, row: Any) -> SafeString:
        return player_cell(row)

    @display(description="Why")
    def shown_reasons(self, row: Any) -> SafeString:
        return reason_list(self.kind, row)
