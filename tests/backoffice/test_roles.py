from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from loyalty_site.roles import ROLES, forbidden_permissions, sync_roles

pytestmark = pytest.mark.django_db

# What only administrators open, and what each role does not open although others do. Everything else is open to all roles.
ADMINISTRATORS_ONLY = {"auth.user", "auth.group", "common.apiclient", "common.apikey"}
CLOSED: dict[str, set[str]] = {
    "CRM agent": {
        "players.vipclearance",
        "common.jobrun",
        "common.auditevent",
        "constance.config",
        "players.feedstate",
        "players.feedrefusal",
        "players.importjob",
        "players.importmapping",
        "players.quarantinedrow",
        "fraud.abusesignal",
        "predictions.fraudscore",
        "wallet.walletflag",
        "django_celery_beat.periodictask",
        "django_celery_beat.crontabschedule",
        "django_celery_beat.intervalschedule",
    },
    "CRM manager": set(),
    "Risk analyst": {
        "players.feedstate",
        "players.feedrefusal",
        "players.importjob",
        "players.importmapping",
        "players.quarantinedrow",
        "django_celery_beat.periodictask",
        "django_celery_beat.crontabschedule",
        "django_celery_beat.intervalschedule",
    },
    "Compliance": {
        "players.quarantinedrow",
        "django_celery_beat.periodictask",
        "django_celery_beat.crontabschedule",
        "django_celery_beat.intervalschedule",
    },
    "Finance": {
        "players.vipclearance",
        "players.feedstate",
        "players.feedrefusal",
        "players.importjob",
        "players.importmapping",
        "players.quarantinedrow",
        "fraud.abuseprofile",
        "fraud.abusesignal",
        "fraud.reviewflag",
        "predictions.fraudscore",
        "wallet.walletflag",
        "django_celery_beat.periodictask",
        "django_celery_beat.crontabschedule",
        "django_celery_beat.intervalschedule",
    },
    "Read-only": {"common.auditevent", "players.quarantinedrow", "players.vipclearance"},
}


def lists() -> dict[str, str]:
    """Every registered list: label -> address."""
    return {
        model._meta.label_lower: reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
    }


@pytest.mark.parametrize("role", ROLES)
def test_lists__each_role__opens_exactly_its_own(role: str, client_of: Callable[..., Client]) -> None:
    client = client_of(role)
    opened = {label for label, url in lists().items() if client.get(url).status_code == 200}
    assert opened == set(lists()) - ADMINISTRATORS_ONLY - CLOSED[role]


def test_lists__member_of_staff_without_role__opens_none(client_of: Callable[..., Client]) -> None:
    client = client_of()
    assert {client.get(url).status_code for url in lists().values()} == {403}


def test_lists__administrator__opens_all(client_of: Callable[..., Client]) -> None:
    client = client_of(admin=True)
    assert {label: code for label, url in lists().items() if (code := client.get(url).status_code) != 200} == {}


@pytest.mark.parametrize("role", ROLES)
def test_liability__finance_and_read_only__see_it_and_finance_exports_it(role: str, client_of: Callable[..., Client]) -> None:
    client = client_of(role)
    sees, exports = role in {"Finance", "Read-only"}, role == "Finance"
    assert client.get(reverse("admin:wallet_liability")).status_code == (200 if sees else 403)
    assert client.get(reverse("admin:wallet_liability_export", args=["csv"])).status_code == (200 if exports else 403)


def test_roles__catalogue_and_earning_rules__are_the_programmes_and_are_never_deleted() -> None:
    for permission in ("wallet.change_catalogueitem", "wallet.fulfil_redemption", "rewards.change_earningrule", "rewards.add_earningrule"):
        assert {name for name, role in ROLES.items() if permission in role.permissions} == {"CRM manager"}
    gone = set(forbidden_permissions())
    assert {("wallet", "delete_catalogueitem"), ("wallet", "change_redemption"), ("rewards", "delete_earningrule")} <= gone


def test_sync_roles__complete_product__misses_no_declared_permission() -> None:
    assert sync_roles() == []


@pytest.mark.parametrize("role", ROLES)
def test_groups__after_migrations__have_exactly_the_declared_permissions(role: str) -> None:
    found = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
    assert {f"{app}.{codename}" for app, codename in found} == ROLES[role].permissions


def test_permissions__on_money_and_audit__cannot_be_granted_because_they_do_not_exist() -> None:
    existing = set(Permission.objects.values_list("content_type__app_label", "codename"))
    assert existing & set(forbidden_permissions()) == set()
    assert ("wallet", "delete_entry") in set(forbidden_permissions())
    assert ("common", "change_auditevent") in set(forbidden_permissions())


def test_sync_roles__operators_own_group__is_left_alone() -> None:
    own = Group.objects.create(name="Night desk")
    own.permissions.set(Permission.objects.filter(codename="view_player"))
    sync_roles()
    assert list(own.permissions.values_list("codename", flat=True)) == ["view_player"]


def test_sync_roles__role_that_was_changed_by_hand__is_put_right() -> None:
    group = Group.objects.get(name="Read-only")
    group.permissions.add(Permission.objects.get(codename="view_player_pii"))
    sync_roles()
    assert not group.permissions.filter(codename="view_player_pii").exists()


def test_roles__nobody_but_the_four_desks_with_players__sees_personal_data() -> None:
    assert {name for name, role in ROLES.items() if "players.view_player_pii" in role.permissions} == {
        "CRM agent",
        "CRM manager",
        "Risk analyst",
        "Compliance",
    }


def test_roles__approving_money__is_apart_from_asking_for_it() -> None:
    assert {name for name, role in ROLES.items() if "wallet.approve_adjustment" in role.permissions} == {"Finance"}
    assert {name for name, role in ROLES.items() if "rewards.approve_decision" in role.permissions} == {"CRM manager"}
    assert all(not one.split(".")[1].startswith("delete_") for role in ROLES.values() for one in role.permissions)
