"""CSV import with validation and preview, against the plain django-import-export resource and against the floor (parse + COPY).

    python benchmarks/import_csv.py [--rows 100000] [--baseline-rows 2000]

Runs on the database of DATABASE_URL inside its own rows (players named bench-*), which it removes again. The baseline is a plain
ModelResource without bulk (dry run with diff, as the library's preview does, then the import), measured on fewer rows: its cost is
linear in rows, so rows per second carry over. All three read the same columns. Prints one JSON object.
"""

import argparse
import csv
import io
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loyalty_site.settings")
os.environ.setdefault("LOYALTY_LOG_LEVEL", "WARNING")

import django  # noqa: E402

django.setup()

import tablib  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from import_export import fields, resources, widgets  # noqa: E402

from loyalty_site.common.clock import utc_now  # noqa: E402
from players.imports import services  # noqa: E402
from players.models import ActivityTotals, Player  # noqa: E402

HEAD = ["player_id", "total_deposited", "total_wagered", "total_won", "sessions", "playtime_hours"]


def make_file(rows: int, prefix: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEAD)
    for n in range(rows):
        dirty = "200.00200.00" if n % 1000 == 7 else f"{n % 977}.50"
        writer.writerow([f"{prefix}{n:08d}", dirty, f"{n % 5003 * 3}.25", f"{n % 4001 * 3}.10", n % 90, f"{n % 300}.5"])
    return out.getvalue()


class PlainResource(resources.ModelResource):
    """The library as it comes: one row at a time, validated, with a diff. Its player is looked up or made by a widget."""

    class PlayerWidget(widgets.ForeignKeyWidget):
        def clean(self, value, row=None, **kwargs):
            now = utc_now()
            return Player.objects.get_or_create(external_id=value, defaults={"created_at": now, "updated_at": now})[0]

    player = fields.Field(attribute="player", column_name="player_id", widget=PlayerWidget(Player, "external_id"))

    class Meta:
        model = ActivityTotals
        fields = ("player", "as_of", "total_deposited", "total_wagered", "total_won", "sessions", "playtime_hours")
        import_id_fields = ("player", "as_of")
        clean_model_instances = True


def measure(work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def baseline(rows: int) -> dict[str, float]:
    data = tablib.Dataset().load(make_file(rows, "bench-a").replace("200.00200.00", "400.00"), format="csv")
    data.append_col(["2026-01-01 00:00:00"] * rows, header="as_of")

    def run() -> None:
        for dry_run in (True, False):
            result = PlainResource().import_data(data, dry_run=dry_run, raise_errors=True)
            if not dry_run and result.totals["new"] != rows:
                raise SystemExit(f"baseline imported {result.totals}")

    wall, cpu = measure(run)
    return {"rows": rows, "seconds": wall, "cpu_seconds": cpu, "rows_per_second": rows / wall}


def ours(rows: int) -> dict[str, float]:
    content = make_file(rows, "bench-b").encode()
    stages: dict[str, float] = {}
    jobs = []

    def upload_and_preview() -> None:
        job = services.create_import(file=io.BytesIO(content), file_name="bench.csv", at=utc_now(), after_import={"metrics": False})
        jobs.append(services.check_import(job.pk, at=utc_now()))

    stages["preview_seconds"], stages["preview_cpu_seconds"] = measure(upload_and_preview)
    stages["write_seconds"], stages["write_cpu_seconds"] = measure(lambda: jobs.append(services.apply_import(jobs[0].pk, at=utc_now())))
    done = jobs[-1]
    if (done.total_rows, done.created_count, done.quarantined_count) != (rows, rows, 0):
        raise SystemExit(f"import wrote {services.summary(done)}")
    total = stages["preview_seconds"] + stages["write_seconds"]
    return {
        "rows": rows,
        **stages,
        "seconds": total,
        "rows_per_second": rows / total,
        "preview_rows_per_second": rows / stages["preview_seconds"],
    }


def floor(rows: int) -> dict[str, float]:
    """Parse the CSV with the standard library and COPY its rows into a typed table: less can not be done."""
    content = make_file(rows, "bench-c").replace("200.00200.00", "400.00")

    def run() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMP TABLE bench_floor (a text, b numeric(20,4), c numeric(20,4), d numeric(20,4), e integer, f numeric(14,4)) "
                "ON COMMIT DROP"
            )
            reader = csv.reader(io.StringIO(content))
            next(reader)
            out = io.StringIO()
            csv.writer(out).writerows(reader)
            with cursor.copy("COPY bench_floor FROM STDIN (FORMAT csv)") as copy:
                copy.write(out.getvalue())

    wall, cpu = measure(run)
    return {"rows": rows, "seconds": wall, "cpu_seconds": cpu, "rows_per_second": rows / wall}


def remove() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM players_activitytotals t USING players_player p WHERE p.id = t.player_id AND p.external_id LIKE 'bench-%'"
        )
        cursor.execute("DELETE FROM players_player WHERE external_id LIKE 'bench-%'")
        cursor.execute("DELETE FROM players_importjob WHERE file_name = 'bench.csv'")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--baseline-rows", type=int, default=2_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings.MEDIA_ROOT = folder
        remove()
        try:
            plain, mine, least = baseline(chosen.baseline_rows), ours(chosen.rows), floor(chosen.rows)
        finally:
            remove()
    report = {
        "plain_resource": plain,
        "import": mine,
        "floor": least,
        "times_the_plain_resource": mine["rows_per_second"] / plain["rows_per_second"],
        "share_of_the_floor_preview": least["seconds"] / mine["preview_seconds"],
        "share_of_the_floor_all": least["seconds"] / mine["seconds"],
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(report, indent=2, default=lambda value: round(value, 3)))


if __name__ == "__main__":
    main()
