"""Measures of the edge's ear for the caller's voice: `python -m loadtest.hold`."""
