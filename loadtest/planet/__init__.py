"""A planet of callers in simulation (`make bench-planet`), and placements through one real Valkey."""
