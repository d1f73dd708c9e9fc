"""The questions of the benchmarks, in the order of the page, and the module that answers each."""

from __future__ import annotations

import importlib

from benchmarks.results import Result

QUESTIONS = {
    "search": "benchmarks.search",
    "selfplay": "benchmarks.selfplay",
    "ring": "benchmarks.ring",
    "sampling": "benchmarks.sampling",
    "weights": "benchmarks.weights",
    "sealing": "benchmarks.sealing",
    "learner": "benchmarks.learner",
    "scaling": "benchmarks.scaling",
    "startup": "benchmarks.startup",
}
"""Name to a module with `measure(short: bool) -> Result`."""


def measure(name: str, short: bool) -> Result:
    """Measure one question.

    Args:
        name: a key of `QUESTIONS`.
        short: only see that everything works, in a few seconds.
    """
    result: Result = importlib.import_module(QUESTIONS[name]).measure(short)
    return result
