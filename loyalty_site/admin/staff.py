"""Staff accounts and roles. The product's roles are fixed by the release; an operator makes groups of its own for anything else."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import acting_user
from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import DASH, badge
from loyalty_site.common.clock import utc_now
from loyalty_site.roles import ROLES

admin.site.unregister(User)
admin.site.unregister(Group)

_RIGHTS = ("is_active", "is_staff", "is_superuser")


@admin.register(User)
class StaffAdmin(DjangoUserAdmin, BackOfficeAdmin):  # type: ignore[misc]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "roles", "state", "last_login")
    list_filter = ("is_active", "groups")
    list_filter_submit = False
    search_fields = ("username", "first_name", "last_name", "email")
    ordering = ("username",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False  # what a person did stays theirs; take the account's "active" away instead

    @display(description="Name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or DASH

    @display(description="Roles")
    def roles(self, user: User) -> str:
        names = [group.name for group in user.groups.all()]
        return ", ".join([*(["Administrator"] if user.is_superuser else []), *names]) or "none"

    @display(description="State")
    def state(self, user: User) -> SafeString:
        if not user.is_active:
            return badge("Blocked", "bad")
        return badge("Active", "good") if user.is_staff else badge("No staff access", "warn")

    def save_related(self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool) -> None:
        before = _rights(User.objects.get(pk=form.instance.pk)) if change else {}
        if change:  # the row itself is saved already: what it was stands in the form
            before |= {name: form.initial.get(name) for name in _RIGHTS if name in form.initial}
        super().save_related(request, form, formsets, change)
        after = _rights(User.objects.get(pk=form.instance.pk))
        if before != after:
            audit.record("auth.rights_changed", form.instance, at=utc_now(), actor=acting_user(request), before=before, after=after)


def _rights(user: User) -> dict[str, Any]:
    return {
        **{name: getattr(user, name) for name in _RIGHTS},
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "permissions": sorted(user.user_permissions.values_list("codename", flat=True)),
    }


@admin.register(Group)
class RoleAdmin(DjangoGroupAdmin, BackOfficeAdmin):  # type: ignore[misc]
    list_display = ("name", "purpose", "people")
    search_fields = ("name",)
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(people_count=Count("user"))

    @display(description="What it is for")
    def purpose(self, group: Group) -> str:
        return ROLES[group.name].purpose if group.name in ROLES else "Made here"

    @display(description="People", ordering="people_count")
    def people(self, group: Group) -> int:
        return group.people_count  # type: ignore[attr-defined]

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.name not in ROLES)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.name not in ROLES)
