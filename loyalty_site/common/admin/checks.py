"""System checks of our admin classes that need no database, so that they also pass before the first migration."""

from typing import Any

from django.apps import apps
from django.contrib.auth import get_permission_codename
from django.core import checks
from unfold.checks import UnfoldModelAdminChecks


def declared_permissions() -> set[str]:
    """Every permission the installed models declare, as "app.codename"."""
    names = set()
    for model in apps.get_models():
        options = model._meta
        codenames = [get_permission_codename(action, options) for action in options.default_permissions]
        names |= {f"{options.app_label}.{codename}" for codename in [*codenames, *(name for name, _ in options.permissions)]}
    return names


class BackOfficeChecks(UnfoldModelAdminChecks):
    """The theme asks the database whether an action's permission exists; the models know it too, without a database."""

    def _check_unfold_action_permission_methods(self, obj: Any) -> list[checks.Error]:
        known = declared_permissions()
        errors = []
        for action in [
            *obj._get_base_actions_list(),
            *obj._get_base_actions_detail(),
            *obj._get_base_actions_row(),
            *obj._get_base_actions_submit_line(),
        ]:
            for permission in getattr(action.method, "allowed_permissions", ()):
                exists = permission in known if "." in permission else hasattr(obj, f"has_{permission}_permission")
                if not exists:
                    message = f"the action {action.action_name} of {type(obj).__name__} names an unknown permission: {permission}"
                    errors.append(checks.Error(message, obj=type(obj), id="loyalty.E001"))
        return errors
