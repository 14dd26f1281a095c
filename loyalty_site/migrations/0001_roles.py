"""Make the roles. `post_migrate` brings them up to date after every later migration, see `loyalty_site.roles`."""

from django.db import migrations


def make_roles(apps, schema_editor):
    from loyalty_site.roles import sync_roles

    sync_roles(apps, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("constance", "0003_drop_pickle"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
        ("common", "0002_append_only"),
        ("players", "0001_initial"),
        ("fraud", "0001_initial"),
        ("wallet", "0001_initial"),
        ("rewards", "0002_decisions"),
    ]
    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
