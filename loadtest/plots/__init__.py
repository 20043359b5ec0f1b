"""Figures of the docs (`make plots`): each is a table, made by an example of the engine in virtual time, and a plot."""
