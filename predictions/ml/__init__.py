"""Models of what players will do. Pure: frames, arrays and frozen dataclasses in and out; no Django, no database, no clock.

Heavy libraries (LightGBM, scikit-learn) are imported inside the functions that need them, never at import of a module.
"""
