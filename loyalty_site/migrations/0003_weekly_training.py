"""Rows of the schedule that databases made by an earlier release do not have. What staff removed otherwise stays removed."""

from django.db import migrations

TITLES = ("Weekly training", "Deliver pay-outs", "Fetch from the operator's API")


def add_missing(apps, schema_editor):
    from loyalty_site.nightly import ensure_schedule

    ensure_schedule(apps, TITLES)


class Migration(migrations.Migration):
    dependencies = [("loyalty_site", "0002_schedule"), ("django_celery_beat", "0019_alter_periodictasks_options")]
    operations = [migrations.RunPython(add_missing, migrations.RunPython.noop)]
