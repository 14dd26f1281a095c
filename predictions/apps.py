from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    name = "predictions"
    verbose_name = "Predictions"

    def ready(self) -> None:
        from players.imports.hooks import register_undo_cleaner
        from predictions.undoing import forget_undone_players

        register_undo_cleaner(forget_undone_players)
