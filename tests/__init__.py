"""Antiphon's tests."""
