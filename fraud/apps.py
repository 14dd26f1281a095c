from django.apps import AppConfig


class FraudConfig(AppConfig):
    name = "fraud"
    verbose_name = "Risk"

    def ready(self) -> None:
        from fraud.scanning import forget_undone_players
        from players.imports.hooks import register_undo_cleaner

        register_undo_cleaner(forget_undone_players)
