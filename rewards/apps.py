from django.apps import AppConfig


class RewardsConfig(AppConfig):
    name = "rewards"
    verbose_name = "Rewards"

    def ready(self) -> None:
        from players.imports import hooks
        from rewards.imports import refuse_undo, reward_after_import

        hooks.register_after_import(reward_after_import)
        hooks.register_undo_guard(refuse_undo)
