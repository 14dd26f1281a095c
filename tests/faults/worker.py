"""A worker process of the tests: `python -m tests.faults.worker RUN_ID` works chunks of a run until none is open."""

import sys
import time

import django

if __name__ == "__main__":
    django.setup()
    from loyalty_site.common import jobs
    from loyalty_site.common.models import JobChunk

    run_id = int(sys.argv[1])
    while JobChunk.objects.filter(run_id=run_id, status=JobChunk.Status.PENDING).exists():
        if not jobs.work_one(run_id):
            time.sleep(0.05)
