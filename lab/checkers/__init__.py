"""Judges of what clients and servers wrote down: each takes a history and returns the violations it proves. Pure."""
