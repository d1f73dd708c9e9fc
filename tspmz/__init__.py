"""tspmz: a MuZero trainer for the Travelling Salesman Problem."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tspmz.agent import Agent as Agent
    from tspmz.agent import load_agent as load
    from tspmz.agent import load_pretrained as load_pretrained
    from tspmz.evaluation import EvaluationResult as EvaluationResult
    from tspmz.evaluation import evaluate as evaluate
    from tspmz.muzero import MuZero as MuZero
    from tspmz.solving import Solution as Solution
    from tspmz.solving import solve as solve

__version__ = "0.1.0"

_LAZY = {
    "Agent": ("tspmz.agent", "Agent"),
    "EvaluationResult": ("tspmz.evaluation", "EvaluationResult"),
    "MuZero": ("tspmz.muzero", "MuZero"),
    "evaluate": ("tspmz.evaluation", "evaluate"),
    "load": ("tspmz.agent", "load_agent"),
    "load_pretrained": ("tspmz.agent", "load_pretrained"),
    "Solution": ("tspmz.solving", "Solution"),
    "solve": ("tspmz.solving", "solve"),
}
"""Public name to where it is: loaded when first asked for, so that `import tspmz` stays light and free of torch."""

__all__ = [
    "Agent", "EvaluationResult", "MuZero", "Solution", "__version__", "evaluate", "load", "load_pretrained", "solve",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tspmz' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
