from django.apps import AppConfig
from django.db.models.signals import post_migrate


class WalletConfig(AppConfig):
    name = "wallet"
    verbose_name = "Wallet"

    def ready(self) -> None:
        from players.feeds.sinks import register_sink

        from .bonus_feed import take_bonuses
        from .points.policies import seed_policies

        post_migrate.connect(seed_policies, sender=self, dispatch_uid="wallet.points-policies")
        register_sink("bonuses", take_bonuses)
