from importlib import import_module
from importlib.util import find_spec

from django.apps import AppConfig, apps


class LoyaltySiteConfig(AppConfig):
    name = "loyalty_site"
    label = "loyalty_site"
    verbose_name = "Back-office"

    def ready(self) -> None:
        from loyalty_site.celery import app  # the tasks of this process belong to our Celery app, not to an implicit default

        app.set_default()
        self._connect_signals()
        # every process that may execute a run knows every job by name
        for module in ("players.tasks", "wallet.tasks", "predictions.tasks", "fraud.tasks", "rewards.tasks", "loyalty_site.nightly"):
            if find_spec(module):
                import_module(module)

    def _connect_signals(self) -> None:
        from constance.signals import config_updated
        from django.db.models.signals import post_migrate

        from loyalty_site.roles import sync_after_migrate
        from loyalty_site.threshold_audit import record_change
        from loyalty_site.threshold_rows import ensure_threshold_rows

        # the signal comes once for each app with models, in order: by the last one, every permission exists
        last = [config for config in apps.get_app_configs() if config.models_module][-1]
        post_migrate.connect(sync_after_migrate, sender=last, dispatch_uid="loyalty_site.roles")
        post_migrate.connect(ensure_threshold_rows, sender=last, dispatch_uid="loyalty_site.threshold_rows")
        config_updated.connect(record_change, dispatch_uid="loyalty_site.threshold_audit")
