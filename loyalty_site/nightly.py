"""The night, stage by stage, and what runs each hour. Each app registers its jobs; the order is composed here."""

import json
from collections.abc import Collection
from typing import Any

from loyalty_site.common.jobs import Pipeline, register

NIGHTLY = register(
    Pipeline(
        name="nightly",
        title="Nightly run",
        stages=(
            "players.rollup",
            "players.metrics",
            "players.segments",
            "fraud.links",
            "fraud.signals",
            "predictions.score",
            "predictions.prepare",
            "predictions.publish",
            "rewards.tier_points",
            "rewards.tiers",
            "rewards.lapse",
            "rewards.evaluate",
            "rewards.issue",
            "predictions.prune",  # nothing waits for it, nor for the next
            "predictions.prune_artifacts",
        ),
    )
)

HOURLY = register(
    Pipeline(
        name="hourly",
        title="Hourly run",
        stages=(
            "wallet.expire_bonuses",
            "wallet.activate_waiting",
            "wallet.activate_lots",
            "wallet.expire_lots",
            "wallet.warn_expiring",
            "fraud.wallet_flags",
            "wallet.reconcile",
        ),
    ),
)

_EVERY_DAY, _SUNDAY = "*", "0"

# What beat starts by itself: title, task, its arguments, minute, hour (UTC) and day of the week. Staff change times on the periodic
# tasks page, so a row that exists is left as it is.
SCHEDULE: tuple[tuple[str, str, dict[str, str], str, str, str], ...] = (
    ("Nightly run", "loyalty_site.job_tasks.start_job", {"name": NIGHTLY.name}, "30", "2", _EVERY_DAY),
    ("Hourly run", "loyalty_site.job_tasks.start_job", {"name": HOURLY.name}, "5", "*", _EVERY_DAY),
    ("Weekly training", "loyalty_site.job_tasks.start_job", {"name": "predictions.train"}, "45", "4", _SUNDAY),
    ("Resume interrupted runs", "loyalty_site.job_tasks.resume_runs", {}, "*", "*", _EVERY_DAY),
    ("Deliver pay-outs", "wallet.deliver_payouts", {}, "*", "*", _EVERY_DAY),
    ("Fetch from the operator's API", "players.feeds.pull", {}, "*/15", "*", _EVERY_DAY),
    ("Resume interrupted imports", "players.imports.resume", {}, "*", "*", _EVERY_DAY),
    ("Forget old idempotency answers", "loyalty_site.job_tasks.forget_old_answers", {}, "15", "4", _EVERY_DAY),
)


def ensure_schedule(apps: Any, titles: Collection[str] | None = None) -> None:
    """Create the rows of SCHEDULE (or those with one of `titles`) that are missing.

    `apps` is a registry: that of a migration, or django.apps.apps.
    """
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    for title, task, arguments, minute, hour, weekday in SCHEDULE:
        if titles is not None and title not in titles:
            continue
        crontab, _ = crontabs.objects.get_or_create(
            minute=minute, hour=hour, day_of_week=weekday, day_of_month="*", month_of_year="*", timezone="UTC"
        )
        tasks.objects.get_or_create(name=title, defaults={"task": task, "kwargs": json.dumps(arguments), "crontab": crontab})
