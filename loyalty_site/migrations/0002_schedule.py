"""The schedule of the jobs, as rows that staff may edit."""

from django.db import migrations


def make_schedule(apps, schema_editor):
    from loyalty_site.nightly import ensure_schedule

    ensure_schedule(apps)


class Migration(migrations.Migration):
    dependencies = [("loyalty_site", "0001_roles"), ("django_celery_beat", "0019_alter_periodictasks_options")]
    operations = [migrations.RunPython(make_schedule, migrations.RunPython.noop)]
