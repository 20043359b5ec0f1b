"""Load tests; each file says how it is run."""
