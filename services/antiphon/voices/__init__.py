"""Speech synthesis in a process of its own: the libraries under the GPL are loaded here, and nowhere else.

This folder imports nothing of Antiphon, and is talked with over pipes: see `serve`.
"""
