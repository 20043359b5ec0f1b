"""`make bench-turns`: how often a turn is cut off, against how soon it is answered."""
