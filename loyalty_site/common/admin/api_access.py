"""API clients and their keys: issue, rotate, revoke. A key is shown once, on the page that answers the form."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import ReasonForm, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.api import keys
from loyalty_site.common.api.scopes import SCOPES
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import ApiClient, ApiKey

_GRACE_CHOICES = [(0, "at once"), (1, "1 hour"), (24, "1 day"), (168, "7 days")]


def staff_user(request: HttpRequest) -> User:
    """The person at the keyboard; the admin admits nobody else."""
    assert isinstance(request.user, User)
    return request.user


class IssueKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        choices=[(name, f"{name}: {meaning}") for name, meaning in SCOPES.items()],
        widget=forms.CheckboxSelectMultiple,
        help_text="Give only what the integration needs.",
    )
    valid_days = forms.IntegerField(
        min_value=1, max_value=730, initial=365, widget=UnfoldAdminIntegerFieldWidget, help_text="The key expires after this many days."
    )
    reason = forms.CharField(min_length=3, max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Kept in the audit trail.")

    class Meta:
        model = ApiKey
        fields = ["client", "scopes", "rate_per_minute", "valid_days", "reason"]


class ApiClientForm(forms.ModelForm):
    reason = forms.CharField(min_length=3, max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Kept in the audit trail.")

    class Meta:
        model = ApiClient
        fields = ["name", "is_active", "contact"]


class RotateForm(ReasonForm):
    grace_hours = forms.TypedChoiceField(
        choices=_GRACE_CHOICES, coerce=int, initial=24, label="The old key ends", widget=UnfoldAdminSelectWidget
    )


@admin.register(ApiClient)
class ApiClientAdmin(BackOfficeAdmin):
    list_display = ["name", "shown_active", "live_keys", "contact", "created_at"]
    search_fields = ["name"]
    form = ApiClientForm
    fields = ["name", "is_active", "contact", "reason"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiClient]:
        live = Q(keys__revoked_at__isnull=True, keys__expires_at__gt=utc_now())
        return super().get_queryset(request).annotate(live_key_count=Count("keys", filter=live))

    @display(description="Status", label={"active": "success", "switched off": "danger"})
    def shown_active(self, client: ApiClient) -> str:
        return "active" if client.is_active else "switched off"

    @display(description="Live keys")
    def live_keys(self, client: ApiClient) -> int:
        return client.live_key_count  # type: ignore[attr-defined]

    def save_model(self, request: HttpRequest, obj: ApiClient, form: Any, change: bool) -> None:
        now, changed = utc_now(), [name for name in form.changed_data if name != "reason"]
        if not change:
            obj.created_at = now
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            audit.record(
                "api.client_changed" if change else "api.client_made",
                obj,
                at=now,
                actor=staff_user(request),
                before={name: form.initial.get(name) for name in changed} if change else {},
                after={name: getattr(obj, name) for name in changed},
                reason=form.cleaned_data["reason"],
            )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(BackOfficeAdmin):
    list_display = ["prefix", "client", "shown_state", "shown_scopes", "rate_per_minute", "expires_at", "last_used_at"]
    list_filter = ["client"]
    list_select_related = ["client"]
    search_fields = ["prefix", "client__name"]
    readonly_fields = [
        "client",
        "prefix",
        "shown_state",
        "scopes",
        "rate_per_minute",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    ]
    actions_detail = ["rotate", "revoke"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return list(self.readonly_fields) if obj else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return list(self.readonly_fields) if obj else list(IssueKeyForm.Meta.fields)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = IssueKeyForm
        return super().get_form(request, obj, change=change, **kwargs)

    @display(description="State", label={"live": "success", "expired": "warning", "revoked": "danger", "client off": "danger"})
    def shown_state(self, key: ApiKey) -> str:
        if key.revoked_at:
            return "revoked"
        if key.expires_at <= utc_now():
            return "expired"
        return "live" if key.client.is_active else "client off"

    @display(description="Scopes")
    def shown_scopes(self, key: ApiKey) -> str:
        return f"all {len(SCOPES)}" if len(key.scopes) == len(SCOPES) else ", ".join(key.scopes)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        values, now = form.cleaned_data, utc_now()
        issued = keys.issue_key(
            values["client"],
            scopes=values["scopes"],
            at=now,
            expires_at=now + timedelta(days=values["valid_days"]),
            actor=staff_user(request),
            rate_per_minute=values["rate_per_minute"],
            reason=values["reason"],
        )
        obj.__dict__.update(issued.key.__dict__)
        request.issued_key = issued  # type: ignore[attr-defined] # read by response_add of this request

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        return self._show_once(request, request.issued_key)  # type: ignore[attr-defined]

    def _show_once(self, request: HttpRequest, issued: keys.IssuedKey) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "New API key",
            "opts": self.model._meta,
            "issued": issued,
            "list_url": reverse("admin:common_apikey_changelist"),
        }
        response = TemplateResponse(request, "common/api_key_issued.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @action(description="Rotate", permissions=["common.change_apikey"], url_path="rotate")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        # a page of its own, not a dialog: its answer shows the new key, which must not travel through a stored message
        key = get_object_or_404(ApiKey, pk=object_id)
        form = RotateForm(request, data=request.POST or None)
        if key.revoked_at is not None:
            messages.error(
                request, "This key is revoked, and its rights ended with it. Make a new key, with the scopes that are needed now."
            )
            return back_to(request, reverse("admin:common_apikey_change", args=[object_id]))
        if request.method == "POST" and form.is_valid():
            grace = timedelta(hours=form.cleaned_data["grace_hours"])
            reason = form.cleaned_data["reason"]
            return self._show_once(request, keys.rotate_key(key, at=utc_now(), grace=grace, actor=staff_user(request), reason=reason))
        context = {**self.admin_site.each_context(request), "title": f"Rotate {key}", "opts": self.model._meta, "form": form, "key": key}
        return TemplateResponse(request, "common/api_key_rotate.html", context)

    @action(
        description="Revoke",
        permissions=["common.change_apikey"],
        dialog=reason_dialog("Revoke this key", "It stops working at once and for good.", submit="Revoke"),
    )
    def revoke(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        run_call(
            request,
            lambda: keys.revoke_key(
                ApiKey.objects.get(pk=object_id),
                at=utc_now(),
                actor=staff_user(request),
                reason=form.cleaned_data["reason"],
            ),
            success="The key is revoked.",
        )
        return back_to(request, reverse("admin:common_apikey_change", args=[object_id]))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
