"""tspmz: a MuZero trainer for the Travelling Salesman Problem."""

__version__ = "0.1.0"
