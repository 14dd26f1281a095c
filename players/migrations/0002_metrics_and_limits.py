from django.db import migrations, models

_DELAY = "A player's wish to raise or drop a deposit limit takes effect after this many hours; lowering, at once."


class Migration(migrations.Migration):
    dependencies = [("players", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="historicaljurisdictionpack",
            name="limit_increase_delay_hours",
            field=models.PositiveSmallIntegerField(default=24, help_text=_DELAY),
        ),
        migrations.AddField(
            model_name="jurisdictionpack",
            name="limit_increase_delay_hours",
            field=models.PositiveSmallIntegerField(default=24, help_text=_DELAY),
        ),
        migrations.AddField(
            model_name="playermetrics",
            name="total_refunded",
            field=models.DecimalField(decimal_places=4, default=0, help_text="Refunds and chargebacks of deposits.", max_digits=20),
        ),
        migrations.AlterField(
            model_name="playermetrics",
            name="volatility_score",
            field=models.DecimalField(
                decimal_places=6, default=0, help_text="Standard deviation of the daily result, in average daily stakes.", max_digits=14
            ),
        ),
        migrations.AlterField(
            model_name="playermetrics",
            name="wagered_1d",
            field=models.DecimalField(decimal_places=4, default=0, help_text="The UTC day before the day of as_of.", max_digits=20),
        ),
        # Every night rewrites every row of this table and no index covers what changes: with half of each page free, the new
        # version finds room beside the old one, so neither the table nor its index grows.
        migrations.RunSQL(
            "ALTER TABLE players_playermetrics SET (fillfactor = 50)",
            "ALTER TABLE players_playermetrics RESET (fillfactor)",
        ),
    ]
