from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("predictions", "0005_runs_complete_before_they_are_shown")]

    operations = [
        migrations.AddField(
            model_name="modelversion",
            name="artifact_deleted_at",
            field=models.DateTimeField(blank=True, help_text="Since when the file is gone; see `artifact_pruning`.", null=True),
        ),
    ]
