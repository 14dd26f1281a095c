"""The language of reward rules: facts, conditions, formulas, and their evaluation over columns. Knows no framework."""
