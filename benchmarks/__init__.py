"""Measurements. `python -m benchmarks` answers the questions of speed; each other script prints a table of its own."""
