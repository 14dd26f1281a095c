from django.db import migrations, models

STATUSES = [
    ("BUILDING", "Being written"),
    ("COMPLETE", "Written, not yet shown"),
    ("PUBLISHED", "Published"),
    ("PRUNED", "Scores deleted"),
    ("ABANDONED", "Abandoned"),
]


class Migration(migrations.Migration):
    dependencies = [("predictions", "0004_pages_of_a_risk_level")]

    operations = [
        # nothing looks for points by their instant alone
        migrations.RemoveIndex(model_name="scorepoint", name="scorepoint_by_time"),
        migrations.AlterField(
            model_name="scoringrun",
            name="as_of",
            field=models.DateTimeField(help_text="The instant that the scores are for.", unique=True),
        ),
        migrations.AlterField(
            model_name="scoringrun",
            name="status",
            field=models.CharField(choices=STATUSES, default="BUILDING", max_length=10),
        ),
    ]
