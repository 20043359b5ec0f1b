"""What live calls notice of parts that die, drain and restart."""
