"""Compiles the numba kernels once, so that the children of a run load them from the cache."""

from __future__ import annotations

import numpy as np

from tspmz.replay.fields import fields_for
from tspmz.replay.rerooting import reroot_best
from tspmz.replay.ring import Ring
from tspmz.replay.sumtree import SumTree
from tspmz.replay.targets import returns
from tspmz.search import BatchedSearch
from tspmz.tsp import env, tours
from tspmz.types import Bool, Int64, RecurrentOutput, RootOutput

_CITIES = 4


def compile_kernels() -> None:
    """Run each kernel once on a tiny input; a matter of milliseconds where the cache is filled."""
    rng = np.random.default_rng(0)
    coordinates = rng.random((1, _CITIES, 2), dtype=np.float32)
    starts = np.array([[0]])
    state = env.reset(coordinates, starts)
    legal = env.legal_actions(state)[0]
    root = RootOutput(np.zeros((1, _CITIES), np.float32), np.zeros(1, np.float32), legal)
    for algorithm in ("gumbel", "puct"):
        BatchedSearch(1, _CITIES, algorithm=algorithm, num_simulations=2).run(root, _no_model, rng)
    env.step(state, np.array([[1]]))
    found = tours.nearest_neighbor(coordinates, starts)
    tours.farthest_insertion(coordinates)
    tours.tour_lengths(coordinates, found)
    tree = SumTree(2)
    tree.set(np.array([0]), np.array([1.0]))
    tree.sample(rng, 1)
    rewards = np.zeros((1, 2, _CITIES - 1), np.float32)
    reroot_best(coordinates, np.tile(np.arange(_CITIES), (1, 2, 1)), rewards, np.zeros((1, 2)), 1, rng)
    returns(rewards, 1.0)
    Ring(1, 2, fields_for(_CITIES, 1, "advantage")).read(0, 0)


def _no_model(parents: Int64, actions: Int64, node: int, legal_actions: Bool) -> RecurrentOutput:
    zeros = np.zeros(len(parents), np.float32)
    return RecurrentOutput(zeros, zeros, np.zeros((len(parents), _CITIES), np.float32))
