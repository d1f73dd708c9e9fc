"""Compiles the numba kernels once, so that the children of a run load them from the cache."""

from __future__ import annotations

import numpy as np

from tspmz.replay.batches import Teacher
from tspmz.replay.fields import fields_for
from tspmz.replay.ring import Ring
from tspmz.replay.sumtree import SumTree
from tspmz.replay.targets import returns, shaped_rewards, value_targets
from tspmz.search import BatchedSearch
from tspmz.tsp import env, tours
from tspmz.types import Bool, Int64, RecurrentOutput, RootOutput
from tspmz.weights import SharedWeights

_CITIES = 4
_WEIGHTS = 100


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
    returns(rewards, 1.0)
    value_targets(rewards, rewards, 1, 1.0)
    shaped_rewards(rewards, 1.0)
    weights = SharedWeights(_WEIGHTS)
    weights.publish(np.zeros(_WEIGHTS, np.float32))
    weights.pull(np.empty(_WEIGHTS, np.float32), -1)
    _replay(rng)


def _replay(rng: np.random.Generator) -> None:
    ring = Ring(1, 2, fields_for(_CITIES, 2, "advantage"))
    records = ring.empty_records(1)
    for name, value in {"actor": 0, "group_id": 0, "tours": np.arange(_CITIES), "rewards": -1.0}.items():
        records[name] = value
    ring.writer(0).write_stored(records)
    ring.read(0, 0)
    teacher = Teacher(
        records.dtype, by_advantage=True, temperature=1.0, cap=1.0, baseline=0.0, rerooted_episodes=1, td_steps=0,
        discount=1.0, edge_reward=0.0,
    )  # fmt: skip
    lessons, one = teacher.blank(1, _CITIES), np.zeros(1, np.int64)
    teacher.load_and_teach(ring, one, one, one, records, teacher.coins(1, rng), lessons)


def _no_model(parents: Int64, actions: Int64, node: int, legal_actions: Bool) -> RecurrentOutput:
    zeros = np.zeros(len(parents), np.float32)
    return RecurrentOutput(zeros, zeros, np.zeros((len(parents), _CITIES), np.float32))
