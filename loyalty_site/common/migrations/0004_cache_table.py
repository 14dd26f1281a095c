"""The table of the database cache, which serves where no Redis is set."""

from django.db import migrations

CREATE = """
CREATE TABLE IF NOT EXISTS common_cache (
    cache_key varchar(255) NOT NULL PRIMARY KEY, value text NOT NULL, expires timestamp with time zone NOT NULL
);
CREATE INDEX IF NOT EXISTS common_cache_expires ON common_cache (expires);
"""


class Migration(migrations.Migration):
    dependencies = [("common", "0003_job_chunk_counts")]
    operations = [migrations.RunSQL(CREATE, "DROP TABLE common_cache")]
