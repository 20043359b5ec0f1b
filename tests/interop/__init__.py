"""Real peers on a bad network: `make interop` calls a real cluster with each and writes docs/interop.md."""
