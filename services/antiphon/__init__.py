"""Antiphon: a self-hosted, edge-routed media relay for live voice AI."""
