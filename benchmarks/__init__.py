"""Measurements, one module per question; each prints a table. Run from the checkout: `python -m benchmarks.NAME`."""
