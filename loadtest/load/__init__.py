"""What `locustfile.py` and `make load` are made of: native callers as locust Users, and a report of what they heard."""
