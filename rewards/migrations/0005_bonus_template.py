"""A reward may be a bonus of a template."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rewards", "0004_earning_rules")]
    operations = [
        migrations.AddField(
            model_name="rewarddecision",
            name="bonus_template",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Code of the bonus template whose terms hold; empty: the terms stand here.",
                max_length=60,
            ),
        ),
    ]
