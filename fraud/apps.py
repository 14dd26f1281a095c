from django.apps import AppConfig


class FraudConfig(AppConfig):
    name = "fraud"
    verbose_name = "Risk"

    def ready(self) -> None:
        from fraud import prediction_evidence
        from fraud.scanning import forget_undone_players
        from players.imports.hooks import register_undo_cleaner
        from predictions import hooks

        register_undo_cleaner(forget_undone_players)
        hooks.register_fraud_signals(prediction_evidence.strongest_signals)
        hooks.register_fraud_evidence(prediction_evidence.details)
        hooks.register_fraud_outcomes(prediction_evidence.outcomes)
