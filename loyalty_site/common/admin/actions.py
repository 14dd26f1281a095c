"""Staff actions: permission first, a reason always, one domain call, the outcome as a message.

Three shapes, all with the same form and the same error handling:

* a button on one record opens a dialog::

      @action(description="Exclude", permissions=["players.change_exclusion"],
              dialog=reason_dialog("Exclude the player", "Takes effect at once.", submit="Exclude"))
      def exclude(self, request, form, object_id):
          run_call(request, lambda: services.exclude_player(..., reason=form.cleaned_data["reason"], actor=request.user),
                   success="Player excluded.")
          return back_to(request, url)

* a list action on selected rows asks on a page of its own: decorate with `reason_action`;
* a page that belongs to no model (or to several) is a subclass of `StaffPage`.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.auth.mixins import AccessMixin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.generic import TemplateView
from unfold.dataclasses import ActionDialog
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

# What a service raises to say "no": shown to the person. Anything else is a fault and stays one.
REFUSALS: tuple[type[Exception], ...] = (ValidationError, PermissionDenied, ValueError, LookupError)
_PREVIEW_ROWS = 20


class ReasonForm(BaseDialogForm):
    """Asks why. Subclass it to ask for more; declare more fields and they stand above the reason."""

    reason = forms.CharField(
        min_length=3,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept in the audit trail. Write what a colleague needs to understand this later.",
        error_messages={"required": "Give a reason: it is kept with the change."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name != "reason"] + ["reason"])


class ConfirmForm(BaseDialogForm):
    """A confirmation without a question; for actions that change nothing a person would need explained."""


def reason_dialog(title: str, description: str, *, submit: str, form_class: type[BaseDialogForm] = ReasonForm) -> ActionDialog:
    """The `dialog=` argument of unfold's @action: a titled modal with a reason and a labelled button."""
    return ActionDialog(title=title, description=description, form_class=form_class, form_submit_text=submit)


def refusal_text(error: Exception) -> str:
    """What a refusal says to a person, without class names or brackets."""
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    if isinstance(error, PermissionDenied):
        return str(error) or "You are not allowed to do this."
    if isinstance(error, KeyError):
        return f"Not found: {error.args[0] if error.args else error}."
    return str(error)


def run_call(
    request: HttpRequest,
    call: Callable[[], Any],
    *,
    success: str | Callable[[Any], str],
    refusals: tuple[type[Exception], ...] = REFUSALS,
) -> tuple[bool, Any]:
    """Make one domain call and tell the person what came of it.

    `success` is the message, or a function of the result that returns it. Refusals (and a lock that somebody else holds) become
    error messages and return (False, None); other exceptions propagate. Returns (True, result) otherwise.
    """
    try:
        result = call()
    except refusals as error:
        messages.error(request, refusal_text(error))
        return False, None
    except OperationalError as error:
        if not any(sign in str(error) for sign in ("lock timeout", "deadlock detected")):
            raise
        messages.error(request, "Somebody else is changing the same record. Nothing was changed; try again in a moment.")
        return False, None
    messages.success(request, success(result) if callable(success) else success)
    return True, result


def acting_user(request: HttpRequest) -> User:
    """The person behind a request of the admin. Raises PermissionDenied for an anonymous one, which the admin lets nowhere."""
    if not isinstance(request.user, User):
        raise PermissionDenied("Log in first.")
    return request.user


def back_to(request: HttpRequest, url: str) -> HttpResponse:
    """Leave an action for `url`: a full page load out of a dialog, a redirect otherwise."""
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def reason_action(
    *,
    description: str,
    permissions: Iterable[str],
    question: str,
    submit: str,
    form_class: type[BaseDialogForm] = ReasonForm,
    summary: Callable[[QuerySet], Iterable[tuple[str, str]]] | None = None,
) -> Callable:
    """A list action that asks for a reason on a page of its own before it runs.

    The decorated method is called as `method(self, request, queryset, form)` after confirmation. `permissions` are full names
    ("app.codename"); all are needed. `summary(queryset)` yields (label, value) pairs shown above the question (count and first
    rows are always shown).
    """
    needed = tuple(permissions)

    def decorate(method: Callable) -> Callable:
        @wraps(method)
        def asked(self: Any, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
            if not request.user.has_perms(needed):
                raise PermissionDenied
            confirmed = "confirm_action" in request.POST
            form = form_class(request, data=request.POST if confirmed else None, initial={"_form_submitted": True})
            if confirmed and form.is_valid():
                return method(self, request, queryset, form)
            context = {
                **self.admin_site.each_context(request),
                "title": description,
                "opts": self.model._meta,
                "question": question,
                "submit": submit,
                "form": form,
                "rows": [str(row) for row in queryset[:_PREVIEW_ROWS]],
                "row_count": queryset.count(),
                "summary": list(summary(queryset)) if summary else [],
                "ids": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME),
                "select_across": request.POST.get("select_across", "0"),
                "action_name": method.__name__,
                "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
                "cancel_url": request.get_full_path(),
            }
            request.current_app = self.admin_site.name
            return TemplateResponse(request, "common/reason_action.html", context)

        asked.short_description = description  # type: ignore[attr-defined]
        asked.required_permissions = needed  # type: ignore[attr-defined]
        return asked

    return decorate


class PermittedActionsMixin:
    """Hides list actions made by `reason_action` from people who may not run them. Part of BackOfficeAdmin's contract."""

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)  # type: ignore[misc]
        return {name: entry for name, entry in actions.items() if request.user.has_perms(getattr(entry[0], "required_permissions", ()))}


class StaffPage(AccessMixin, TemplateView):
    """A page of the back-office that belongs to no single model.

    Set `title`, `template_name` (extend "admin/base_site.html") and `permissions` (all are needed, at least one). People who are
    not logged in go to the login page; logged-in people without the permissions get 403.
    """

    title = ""
    permissions: tuple[str, ...] = ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.permissions:
            raise ValueError(f"{type(self).__name__} declares no permissions")
        if not request.user.is_authenticated or not request.user.is_active or not request.user.is_staff:
            return HttpResponseRedirect(f"{reverse('admin:login')}?next={request.path}")
        if not request.user.has_perms(self.permissions):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.request.current_app = admin.site.name
        return {**admin.site.each_context(self.request), "title": self.title, **super().get_context_data(**kwargs)}
