import pytest
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from import_export.formats.base_formats import CSV

from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.models import AuditEvent
from players.imports.export import PlayerResource, SafeExportAdminMixin, neutralise
from players.models import Player
from tests.factories import PlayerFactory, UserFactory


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+cmd", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\x00=1", " =1+1", "\u00a0=1", "\u200b=1", "\uff1d1+1", "=", "-", 
     "--1", "+A1",
     "-2+3+cmd|' /C calc'!A0"],
)  # fmt: skip
def test_neutralise__text_that_may_run__gets_an_apostrophe(text):
    assert neutralise(text).startswith("'")


@pytest.mark.parametrize("value", [1, -1, -1.5, None, True, "", "abc", "a=1", "1-2", "-12.50", "+356", "it's", "0"])
def test_neutralise__harmless__stays(value):
    assert neutralise(value) == value


@given(st.text())
def test_neutralise__any_text__never_starts_a_formula(text):
    safe = neutralise(text)
    if safe and safe[0] in "=+-@\t\r\n":
        float(safe)  # only a plain number may start like that


class _PlayerExport(SafeExportAdminMixin, BackOfficeAdmin):
    resource_classes = [PlayerResource]


def _request(user):
    request = RequestFactory().get("/admin/players/player/export/")
    request.user = user
    return request


@pytest.mark.django_db
def test_export__without_permission__is_refused():
    page = _PlayerExport(Player, admin.site)
    request = _request(UserFactory())
    assert not page.has_export_permission(request)
    with pytest.raises(PermissionDenied):
        page.get_export_data(CSV(), request, Player.objects.all())
    assert AuditEvent.objects.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(("codenames", "sees_mail"), [(["export_player"], False), (["export_player", "view_player_pii"], True)])
def test_export__permitted__is_neutralised_audited_and_hides_personal_data(codenames, sees_mail):
    from django.contrib.auth.models import Permission

    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    PlayerFactory(external_id="=cmd()", email="zoe@example.com")
    text = _PlayerExport(Player, admin.site).get_export_data(CSV(), _request(user), Player.objects.all(), encoding="utf-8")
    text = text.decode() if isinstance(text, bytes) else text
    assert "'=cmd()" in text
    assert ("zoe@example.com" in text) is sees_mail
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.after["rows"]) == ("players.player_exported", user, 1)
