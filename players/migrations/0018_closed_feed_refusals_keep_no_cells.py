from typing import Any

from django.db import migrations, models


def empty_closed_rows(apps: Any, schema_editor: Any) -> None:
    """Rows that were taken or dismissed before kept their reasons, and dismissed ones their cells."""
    refusals = apps.get_model("players", "FeedRefusal")
    refusals.objects.filter(status__in=["ACCEPTED", "DISMISSED"]).update(raw={}, reason="", remedy="")


class Migration(migrations.Migration):
    dependencies = [
        ("players", "0017_feed_refusals_and_runs"),
    ]

    operations = [
        migrations.AlterField(
            model_name="feedrefusal",
            name="raw",
            field=models.JSONField(default=dict, help_text="The row as it came; emptied once it is taken or dismissed."),
        ),
        migrations.AlterField(
            model_name="feedrefusal",
            name="reason",
            field=models.TextField(blank=True, help_text="Emptied with the row, since it quotes cells."),
        ),
        migrations.AlterField(
            model_name="feedrefusal",
            name="status",
            field=models.CharField(
                choices=[("OPEN", "Tried again"), ("ACCEPTED", "Taken later"), ("DISMISSED", "Dismissed")], default="OPEN", max_length=10
            ),
        ),
        migrations.RunPython(empty_closed_rows, migrations.RunPython.noop),
    ]
