"""Sounds over an agent's voice: what the model of their kinds is made of, and what interruptions are measured by."""
