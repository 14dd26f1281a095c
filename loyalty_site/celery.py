"""The Celery application: `celery -A loyalty_site.celery worker` and `... beat`."""

import os

from celery import Celery

from loyalty_site import file_broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loyalty_site.settings")

file_broker.install()
app = Celery("loyalty_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="job_tasks")
