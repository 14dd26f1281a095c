from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("predictions", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="valuescore",
            name="churn_adjusted",
            field=models.DecimalField(
                decimal_places=4,
                help_text="Value weighted by the probability of staying; empty while churn is withheld.",
                max_digits=20,
                null=True,
            ),
        ),
    ]
