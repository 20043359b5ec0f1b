"""`make bench-interruptions`: what happens to an agent's speech when a caller makes a sound over it."""
