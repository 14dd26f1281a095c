"""Who sees what belongs to a kind, on the pages of models and promotions: whoever may see the kind's scores, which they tell of."""

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from loyalty_site.common.admin.base import BackOfficeChangeList, ViewOnlyAdmin
from predictions.models import Kind

from .parts import VIEW, Viewer, may_see


def kinds_of_models(user: Viewer) -> list[str]:
    """Kinds whose models the person may see: those of whose scores they may. A model of profiles is about nobody here."""
    return [str(kind) for kind in Kind if kind not in VIEW or may_see(user, kind)]


class _KindChangeList(BackOfficeChangeList):
    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        path = self.model_admin.kind_path
        return super().get_queryset(request, *args, **kwargs).filter(**{f"{path}__in": kinds_of_models(request.user)})


class KindAdmin(ViewOnlyAdmin):
    """Lists leave out kinds that the person may not see; a page of such a kind is refused. `kind_path`: where a row keeps its kind."""

    kind_path = "kind"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _KindChangeList

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if not super().has_view_permission(request, obj):
            return False
        return obj is None or self.kind_of(obj) in kinds_of_models(request.user)

    def kind_of(self, row: Any) -> str:
        for name in self.kind_path.split("__"):
            row = getattr(row, name)
        return str(row)
