"""What Django cannot say: rows that may only be inserted, room for hot updates, and a small index over the time of entries."""

from django.db import migrations

TABLES = ("wallet_entry", "wallet_grantevent", "wallet_grantmovement", "wallet_wagercount", "wallet_lotuse", "wallet_walletflag")

FORWARD = [
    # a balance changes on every posting: room on the page keeps the update off the indexes
    "ALTER TABLE wallet_account SET (fillfactor = 70)",
    "ALTER TABLE wallet_bonusgrant SET (fillfactor = 80)",
    "ALTER TABLE wallet_lot SET (fillfactor = 80)",
    # entries arrive in order of time, so a block-range index is enough for date filters and costs next to nothing
    "CREATE INDEX entry_time_blocks ON wallet_entry USING brin (occurred_at) WITH (pages_per_range = 32)",
    *(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        for table in TABLES
    ),
    # a report that came before its bet may get its parts, once; nothing else of it ever changes
    "CREATE TRIGGER wallet_wagerevent_append_only BEFORE DELETE ON wallet_wagerevent FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER wallet_wagerevent_settled BEFORE UPDATE ON wallet_wagerevent FOR EACH ROW "
    "WHEN (NOT OLD.waits OR (OLD.source, OLD.activity_id, OLD.kind, OLD.player_id, OLD.currency, OLD.round_id, OLD.occurred_at) "
    "IS DISTINCT FROM (NEW.source, NEW.activity_id, NEW.kind, NEW.player_id, NEW.currency, NEW.round_id, NEW.occurred_at)) "
    "EXECUTE FUNCTION refuse_change()",
]
REVERSE = [
    "DROP TRIGGER wallet_wagerevent_settled ON wallet_wagerevent",
    "DROP TRIGGER wallet_wagerevent_append_only ON wallet_wagerevent",
    *(f"DROP TRIGGER {table}_append_only ON {table}" for table in TABLES),
    "DROP INDEX entry_time_blocks",
    "ALTER TABLE wallet_lot RESET (fillfactor)",
    "ALTER TABLE wallet_bonusgrant RESET (fillfactor)",
    "ALTER TABLE wallet_account RESET (fillfactor)",
]


class Migration(migrations.Migration):
    dependencies = [("wallet", "0001_initial"), ("common", "0002_append_only")]
    operations = [migrations.RunSQL(FORWARD, REVERSE)]
