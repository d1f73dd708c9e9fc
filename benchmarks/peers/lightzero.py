"""Worker: the C++ trees of LightZero, MuZero (PUCT) and Gumbel MuZero, around a model that is a table.

Only its two compiled modules are loaded: the rest of the package has no part in a search. Its trees take Python lists;
making them of arrays, as the package's own search does, is counted.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.peers.tables import table_of
from benchmarks.peers.worker import seconds_of, serve

_DISCOUNT, _DELTA = 1.0, 0.01  # 0.01 is the package's default
_PB_C_BASE, _PB_C_INIT = 19652, 1.25


def _tree_module(folder: str, name: str) -> ModuleType:
    package = importlib.util.find_spec("lzero")
    assert package is not None
    assert package.origin is not None
    (path,) = (Path(package.origin).parent / "mcts" / "ctree" / folder).glob(f"{name}.*.so")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Search:
    """A search of B roots; arguments as in `benchmarks/peers/mctx.py`."""

    def __init__(self, algorithm: str, batch_size: int, num_actions: int, num_simulations: int, constant: bool) -> None:
        import numpy as np

        self._np = np
        self._gumbel = algorithm == "gumbel"
        names = ("ctree_gumbel_muzero", "gmz_tree") if self._gumbel else ("ctree_muzero", "mz_tree")
        self._tree = _tree_module(*names)
        self._table = table_of(num_actions, constant)
        self._starts = np.arange(batch_size) % len(self._table[0])
        self._shape = (batch_size, num_actions, num_simulations)
        self._legal = [list(range(num_actions))] * batch_size
        self._nobody = [-1] * batch_size  # there is one player

    def run(self) -> float:
        """Search once; returns the mean length of the searched paths."""
        batch_size, num_actions, num_simulations = self._shape
        tree, (rewards, values, logits) = self._tree, self._table
        roots = tree.Roots(batch_size, self._legal)
        outputs = [[0.0] * batch_size, logits[self._starts].tolist(), self._nobody]
        if self._gumbel:
            outputs.insert(1, values[self._starts].tolist())
        roots.prepare_no_noise(*outputs)
        ranges = tree.MinMaxStatsList(batch_size)
        ranges.set_delta(_DELTA)
        states = self._np.empty((num_simulations + 1, batch_size), self._np.int64)
        states[0] = self._starts
        length = 0
        for simulation in range(num_simulations):
            results = tree.ResultsWrapper(num=batch_size)
            if self._gumbel:
                found = tree.batch_traverse(roots, num_simulations, 16, _DISCOUNT, results, self._nobody)
            else:
                settings = (_PB_C_BASE, _PB_C_INIT, _DISCOUNT)
                found = tree.batch_traverse(roots, *settings, ranges, results, self._nobody)
            parents, rows, actions = (self._np.asarray(part) for part in found[:3])
            reached = (states[parents, rows] * num_actions + actions + 1) % len(rewards)
            states[simulation + 1] = reached
            answers = (rewards[reached].tolist(), values[reached].tolist(), logits[reached].tolist())
            back = tree.batch_back_propagate if self._gumbel else tree.batch_backpropagate
            back(simulation + 1, _DISCOUNT, *answers, ranges, results, found[3])
            length += sum(results.get_search_len())
        roots.get_distributions()
        roots.get_values()
        if self._gumbel:
            roots.get_policies(_DISCOUNT, num_actions)
        return length / (batch_size * num_simulations)


def _load() -> tuple[str, Mapping[str, Callable[..., Any]]]:
    import numpy  # noqa: F401

    _tree_module("ctree_muzero", "mz_tree")
    prepared: list[_Search] = []

    def prepare(**settings: Any) -> None:
        prepared[:] = [_Search(**settings)]

    return metadata.version("lightzero"), {
        "prepare": prepare,
        "run": lambda calls: seconds_of(calls, prepared[0].run, time.process_time),
        "mean_depth": lambda: prepared[0].run(),
    }


if __name__ == "__main__":
    serve(_load)
