"""The list of a kind's scores: rows of the current run only, in the order of an index, paged without reading what lies before."""

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

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
from predictions.models.scores import Score
from predictions.thresholds import thresholds
from wallet.admin.parts import PlayerSearchMixin, page_url

from .export import ScoreExport
from .parts import EXPORT, cluster_names, head, named_url, player_cell, reason_list
from .words import advice_bounds


class KeyedPaginator(EstimatingPaginator):
    """Finds the players of a page in the index alone, then reads their rows: the page in the middle of a million is as quick."""

    def page(self, number: int | str) -> Page:
        number = self.validate_number(number)
        bottom = (number - 1) * self.per_page
        rows: Any = self.object_list
        keys = list(rows.values_list("player_id", flat=True)[bottom : bottom + self.per_page])
        return Page(rows.filter(player_id__in=keys), number, self)


class ScoreChangeList(BackOfficeChangeList):
    """Breaks ties by player in the direction of the index, so that the order is total and no row is sorted."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet) -> list[str]:
        leading = str(super().get_ordering(request, queryset)[0])
        is_falling, field = leading.startswith("-"), leading.removeprefix("-")
        if field in ("pk", "player_id"):
            return [f"{'-' if is_falling else ''}player_id"]
        with_index = is_falling != (field in self.model_admin.rising)
        return [leading, "player_id" if with_index else "-player_id"]


class ScoreAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    """Base of the five lists. A row leads to the page of its player, where the scores stand together."""

    kind: ClassVar[str] = ""
    rising: ClassVar[frozenset[str]] = frozenset()  # columns whose index rises; the others' fall
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
        export = self.admin_site.admin_view(ScoreExport.as_view(model_admin=self))
        return [path("export/<str:file_format>/", export, name=f"predictions_{self.opts.model_name}_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        page = head(self.kind, request.user)
        query = request.GET.urlencode()
        context = {
            "head": page,
            "may_export": request.user.has_perm(EXPORT),
            "exports": [
                {"label": label, "url": f"{named_url(f'predictions_{self.opts.model_name}_export', name)}{'?' if query else ''}{query}"}
                for name, label in (("csv", "CSV"), ("xlsx", "Excel"))
            ],
            "distribution_url": f"{named_url('predictions_distribution')}?kind={self.kind}",
        }
        response = super().changelist_view(request, {**context, **(extra_context or {})})
        shown = getattr(response, "context_data", None)
        if shown and "cl" in shown:
            rows = list(shown["cl"].result_list)
            barred = barred_players([row.player_id for row in rows], utc_now()) if rows else set()
            shown["cl"].result_list = list(self.prepared(rows, page.version, barred=barred))
        return response

    def prepared(self, rows: Any, version: Any, *, barred: Collection[int]) -> Iterator[Score]:
        """The rows with what all of them need, read once: bounds, names of clusters, and which players may be given nothing."""
        bounds, names = advice_bounds(thresholds()), cluster_names(version) if self.kind == "segmentation" else {}
        for row in rows:
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
        return reason_list(self.kind, row.reasons)
