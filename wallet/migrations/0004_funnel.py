"""The bonus funnel reads the bonuses of a period through an index; its export and that of an explanation have a permission."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("wallet", "0003_activity")]
    operations = [
        migrations.AlterModelOptions(
            name="bonusgrant",
            options={
                "ordering": ["-id"],
                "permissions": [
                    ("act_for_player", "Can claim, surrender, pause and reorder bonuses for a player"),
                    ("request_void", "Can ask to void a bonus"),
                    ("approve_void", "Can void a bonus that another person asked to void"),
                    ("export_bonusgrant", "Can export the explanation of a bonus and the bonus funnel"),
                ],
            },
        ),
        migrations.AddIndex(model_name="bonusgrant", index=models.Index(fields=["offered_at"], name="grant_by_offer")),
    ]
