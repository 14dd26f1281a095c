from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    name = "predictions"
    verbose_name = "Predictions"

    def ready(self) -> None:
        from players.feeds.freshness import stale_since
        from players.imports.hooks import register_undo_cleaner
        from predictions.hooks import register_feed_state
        from predictions.undoing import forget_undone_players

        register_undo_cleaner(forget_undone_players)
        register_feed_state(stale_since)
