"""The search of one root at a time that self-play is compared with plays whole tours, and looks where it should."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.one_root import OneRootPlayer
from tspmz.config_files import load_config
from tspmz.network.build import build_network
from tspmz.settings import network_settings


def player(num_simulations: int) -> OneRootPlayer:
    torch.set_num_threads(1)
    values = {"network.embedding_dim": 16, "network.num_layers": 1, "problem.num_cities": 7}
    network = build_network(0, **network_settings(load_config(values=values))).eval()
    return OneRootPlayer(network, 7, num_simulations, fraction=0.0)


def test_games_are_tours() -> None:
    one = player(12)  # more than there are states at the end of a tour: some paths end at a finished tour
    for _ in range(3):
        tour, points = one.play()
        assert sorted(tour) == list(range(7))
        assert points.shape == (7, 2)


@torch.inference_mode()
def test_visits_of_the_root_are_its_simulations_and_values_are_means() -> None:
    one = player(40)
    one._context = one._network.encode(torch.rand(1, 7, 2, generator=torch.Generator().manual_seed(0)))
    root = one._search([0], [1, 2, 3, 4, 5, 6])
    assert root.visits == 40
    assert sum(child.visits for child in root.children.values()) == 40
    assert np.isclose(sum(child.prior for child in root.children.values()), 1.0, atol=1e-5)
    total = sum(child.value_sum + child.visits * child.reward for child in root.children.values())
    assert np.isclose(root.value_sum, total, atol=1e-4)
