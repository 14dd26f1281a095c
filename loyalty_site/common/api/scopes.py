"""What an API key may be allowed to do. One table: scope -> meaning."""

SCOPES = {
    "players:read": "Read players, their state and timeline",
    "players:write": "Create, change and deactivate players",
    "activity:write": "Send payments, sessions, plays and totals",
    "tiers:read": "Read tiers",
    "tiers:write": "Create and change tiers",
    "rules:read": "Read reward rules",
    "rules:write": "Create, change and delete reward rules",
    "rules:test": "Test a rule against players",
    "imports:write": "Upload files and read the state of imports",
    "batch:run": "Start metrics, segments and reward evaluation for chosen players",
    "rewards:read": "Read reward decisions",
    "wallet:read": "Read balances, entries, grants and pay-outs",
    "wallet:write": "Add points and bonuses, spend, confirm pay-outs",
    "wagers:write": "Report wagers for wagering progress",
    "finance:read": "Read the liability of points and bonuses and its roll-forward",
    "predictions:read": "Read predictions (not fraud scores), their explanations and the models behind them",
    "fraud:read": "Read fraud scores, the signals behind them and linked accounts",
    "predictions:score": "Score a described profile",
    "analytics:read": "Read dashboard figures, reward history and ledger history",
}
