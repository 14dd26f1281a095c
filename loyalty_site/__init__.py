"""Composition root of the loyalty back-office."""
