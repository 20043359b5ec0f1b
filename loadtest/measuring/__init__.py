"""What `bench.py` is made of: building and starting servers, running the load on them, judging what was found."""
