"""What receiving activity needs: the edge of a game as it was, the answer that was given, rollbacks by their target, and a version of
the contribution tables that changes in the very transaction that edits them."""

from django.db import migrations, models

FORWARD = [
    # one row; a new value tells every process that what it keeps of the tables is old
    "CREATE TABLE wallet_contributionversion (version uuid NOT NULL)",
    "INSERT INTO wallet_contributionversion VALUES (gen_random_uuid())",
    "CREATE FUNCTION wallet_contribution_changed() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN UPDATE wallet_contributionversion SET version = gen_random_uuid(); RETURN NULL; END'",
    *(
        f"CREATE TRIGGER {table}_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION wallet_contribution_changed()"
        for table in ("wallet_contributiontable", "wallet_contributionrule")
    ),
]
REVERSE = [
    *(f"DROP TRIGGER {table}_changed ON {table}" for table in ("wallet_contributiontable", "wallet_contributionrule")),
    "DROP FUNCTION wallet_contribution_changed()",
    "DROP TABLE wallet_contributionversion",
]


class Migration(migrations.Migration):
    dependencies = [("wallet", "0002_append_only")]
    operations = [
        migrations.AddField(
            model_name="wagerevent",
            name="house_edge",
            field=models.DecimalField(
                blank=True,
                decimal_places=5,
                help_text="House edge of the game when it was played, a share.",
                max_digits=7,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="wagerevent",
            name="cash_change",
            field=models.BigIntegerField(
                default=0, db_default=0, help_text="What the platform had to add to the player's cash for it, minor units; a stake is negative."
            ),
        ),
        migrations.AddIndex(
            model_name="wagerevent",
            index=models.Index(condition=models.Q(("kind", "ROLLBACK")), fields=["player", "takes_back_id"], name="wager_rollbacks"),
        ),
        migrations.RunSQL(FORWARD, REVERSE),
    ]
