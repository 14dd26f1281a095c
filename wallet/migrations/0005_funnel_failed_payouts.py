"""The start page counts the pay-outs that were given up; among millions of delivered ones it needs an index to find them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("wallet", "0004_funnel")]
    operations = [
        migrations.AddIndex(
            model_name="payoutinstruction",
            index=models.Index(condition=models.Q(("status", "FAILED")), fields=["-id"], name="payout_failed"),
        ),
    ]
