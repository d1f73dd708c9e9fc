"""What more time buys: which ways are tried, on which instances, measured in the instances' own unit."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from report_helpers import tiny_run

from tspmz.agent import load_agent, untrained_agent
from tspmz.decode import Decoding
from tspmz.report import budget
from tspmz.tsp.instances import load_instance_sets


def test_first_instances_run_over_several_sets() -> None:
    sets = load_instance_sets(["uniform:6:3:1", "uniform:5:4:1", "uniform:7:2:1"])
    kept = budget.first_instances(sets, 5)
    assert [one.coordinates.shape for one in kept] == [(3, 6, 2), (2, 5, 2)]
    assert np.array_equal(kept[1].coordinates, sets[1].coordinates[:2])
    assert [len(one.coordinates) for one in budget.first_instances(sets, 100)] == [3, 4, 2]


def test_more_starts_are_never_worse_and_the_last_is_the_best_of_all(tmp_path: Path) -> None:
    agent = load_agent(tiny_run(tmp_path), "cpu")
    sets = load_instance_sets(["uniform:6:4:1", "uniform:5:2:1"])
    points = budget.spend_more(agent, sets, Decoding())
    starts = [point for point in points if point.family == budget.STARTS]
    assert [point.label for point in starts] == ["1", "2", "4", "all", "all \N{MULTIPLICATION SIGN} 8"]
    for fewer, more in itertools.pairwise(starts):
        assert (more.lengths <= fewer.lengths + 1e-9).all()
    searches = [point for point in points if point.family == budget.SEARCH]
    guided = [point for point in points if point.family == budget.TRUE_SEARCH]
    for family in (searches, guided):
        assert [point.label for point in family] == ["4", "8", "16", "32", "64", "128"]
    assert guided[-1].lengths.mean() <= starts[0].lengths.mean()
    assert all(point.lengths.shape == (6,) and point.seconds > 0 for point in points)


def test_without_a_network_only_the_search_grows() -> None:
    decoding = Decoding("search", dynamics="true", prior="uniform", starts=4, augment=8, backup="max")
    points = budget.spend_more(untrained_agent(), load_instance_sets(["uniform:6:4:1"]), decoding)
    assert {point.family for point in points} == {budget.UNGUIDED_SEARCH}
    assert [point.label for point in points][:3] == ["10", "30", "100"]
    assert points[-1].lengths.mean() <= points[0].lengths.mean()


def test_family_ends_after_a_point_that_took_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_POINT_SECONDS", 0.0)
    points = budget.spend_more(load_agent(tiny_run(tmp_path), "cpu"), load_instance_sets(["uniform:6:1:1"]), Decoding())
    assert [point.label for point in points] == ["1", "4", "4"]


def test_lengths_are_in_the_unit_of_the_file(tmp_path: Path) -> None:
    points = np.random.default_rng(0).random((1, 6, 2)) * 1000
    np.save(tmp_path / "big.npy", points)
    agent = load_agent(tiny_run(tmp_path / "run"), "cpu")
    found = budget.spend_more(agent, load_instance_sets([str(tmp_path / "big.npy")]), Decoding())
    assert all(point.lengths.min() > 500 for point in found)
