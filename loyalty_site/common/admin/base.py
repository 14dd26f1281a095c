"""What every admin page of the product shares: the theme, lists without COUNT(*), and view-only records."""

from typing import Any

from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ORDER_VAR
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.http import urlencode
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from .actions import PermittedActionsMixin
from .checks import BackOfficeChecks

_EXACT_COUNT_LIMIT = 10_000


class EstimatingPaginator(Paginator):
    """Counts exactly up to 10,000 rows; beyond that trusts the planner's estimate instead of reading the whole table."""

    @cached_property
    def count(self) -> int:
        queryset = self.object_list
        if not isinstance(queryset, QuerySet):
            return super().count
        bounded = queryset.order_by().values("pk")[: _EXACT_COUNT_LIMIT + 1].count()
        if bounded <= _EXACT_COUNT_LIMIT:
            return bounded
        sql, params = queryset.order_by().values("pk").query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
            plan = cursor.fetchone()[0]
        return max(bounded, int(plan[0]["Plan"]["Plan Rows"]))


class BackOfficeChangeList(ChangeList):
    """Titled by what it lists; "n results" stands beside the title only when a search or filter narrows the list."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        if not self.is_popup:
            self.title = str(self.opts.verbose_name_plural).capitalize()

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class RememberedOrderMixin:
    """A list keeps the order its reader chose last: stored in the person's session, per list; `?o=` (empty) goes back to the default."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        key = f"order:{self.model._meta.label_lower}"  # type: ignore[attr-defined]
        if ORDER_VAR in request.GET:
            request.session[key] = request.GET[ORDER_VAR]
        elif saved := request.session.get(key):
            query = request.GET.copy()
            query[ORDER_VAR] = saved
            request.GET = query  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)  # type: ignore[misc]


class BackOfficeAdmin(RememberedOrderMixin, PermittedActionsMixin, ModelAdmin):
    """Base of all our admin classes."""

    checks_class = BackOfficeChecks
    paginator = EstimatingPaginator
    show_full_result_count = False
    list_per_page = 50
    compressed_fields = True
    warn_unsaved_form = True
    list_filter_submit = True
    list_fullwidth = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BackOfficeChangeList

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The record's page; an address whose id no record can have leads to the start page with a message."""
        if object_id is not None:
            try:
                self.opts.pk.to_python(unquote(object_id))
            except ValidationError:
                return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return super().changeform_view(request, object_id, form_url, extra_context)


class ViewOnlyAdmin(BackOfficeAdmin):
    """Records that no form may change: ledgers, audit, history. Changes are actions with a reason."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """No form changes these records, so their history is the audit trail."""
        if not request.user.has_perm("common.view_auditevent"):
            return super().history_view(request, object_id, extra_context)
        query = urlencode({"q": object_id, "subject_type": self.model._meta.label_lower})
        return HttpResponseRedirect(f"{reverse('admin:common_auditevent_changelist')}?{query}")
