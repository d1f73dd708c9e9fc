"""Evaluation of a checkpoint: keys, numbers that can be checked, and errors for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_helpers import KINDS
from process_helpers import TinyRun, tiny_config

from tspmz.agent import load_agent, search_factory, untrained_agent
from tspmz.checkpoint import load_checkpoint, save_checkpoint
from tspmz.decode import Decoding, decode
from tspmz.errors import RunError, UsageError
from tspmz.evaluation import evaluate, gap_interval
from tspmz.tsp.instances import InstanceError, load_instances
from tspmz.tsp.reference import solve_exact
from tspmz.tsp.tours import tour_length

N, COUNT = 5, 12
SPEC = f"uniform:{N}:{COUNT}:1234"
KEYS = [
    "instances", "cities", "decode", "simulations", "starts", "augment", "tour_length_mean", "reference_length_mean",
    "gap_mean", "gap_mean_of_ratios", "seconds", "device", "source", "train_steps", "reference", "samples", "seed",
    "gap_interval", "gap_of_ratios_interval", "solved_share", "instances_per_second", "notes", "dynamics", "prior",
    "leaf_values", "backup",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_cache_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def saved_run(directory: Path, **values: Any) -> Path:
    """A run directory with one checkpoint of an untrained network."""
    run = TinyRun(directory, played=0, **values)
    run.loop.save()
    return directory


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_run(tmp_path_factory.mktemp("run"))


def checkpoint_of(run_dir: Path) -> Path:
    (path,) = (run_dir / "checkpoints").iterdir()
    return path


def summary(*args: Any, **values: Any) -> dict[str, Any]:
    return evaluate(*args, **values).summary()


def test_progress_counts_the_instances_of_all_sets(run_dir: Path) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(
        run_dir, ["uniform:5:3:1", "uniform:6:4:1"], reference="none", device="cpu",
        on_progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(3, 7), (7, 7)]


def test_result_has_the_documented_keys_and_adds_up(run_dir: Path) -> None:
    result = summary(run_dir, SPEC, reference="exact", device="cpu")
    assert list(result) == KEYS
    assert (result["instances"], result["cities"], result["decode"], result["simulations"]) == (COUNT, N, "greedy", 0)
    assert (result["device"], result["train_steps"], result["reference"]) == ("cpu", 0, "exact")
    lengths = solve_exact(load_instances(SPEC).coordinates)[1]
    assert result["reference_length_mean"] == pytest.approx(lengths.mean())
    assert result["gap_mean"] == pytest.approx(result["tour_length_mean"] / lengths.mean() - 1)
    assert result["gap_mean"] > 0.01  # an untrained policy
    assert result["gap_mean_of_ratios"] > 0.01
    low, high = result["gap_interval"]
    assert low < result["gap_mean"] < high
    assert 0 <= result["solved_share"] < 1
    assert result["instances_per_second"] == pytest.approx(COUNT / result["seconds"])


def test_every_instance_has_its_tour_and_its_reference(run_dir: Path) -> None:
    result = evaluate(run_dir, SPEC, reference="exact")
    points = load_instances(SPEC).coordinates
    assert [one.name for one in result.instances] == [f"{SPEC}[{i}]" for i in range(COUNT)]
    for i, one in enumerate(result.instances):
        np.testing.assert_array_equal(one.coordinates, points[i].astype(np.float64))
        assert one.length == pytest.approx(tour_length(points[i], one.tour))
        assert one.reference_length == pytest.approx(tour_length(points[i], one.reference_tour))
        assert one.gap == pytest.approx(one.length / one.reference_length - 1)
    assert sum(one.seconds for one in result.instances) == pytest.approx(result.seconds)
    np.testing.assert_array_equal(result.gaps, [one.gap for one in result.instances])


def test_agent_run_directory_and_checkpoint_file_are_the_same(run_dir: Path) -> None:
    sources = (run_dir, checkpoint_of(run_dir), str(run_dir), load_agent(run_dir))
    results = [summary(source, SPEC, reference="none") for source in sources]
    assert len({result["tour_length_mean"] for result in results}) == 1


def test_all_starts_and_symmetries_with_search_find_the_best_tours(run_dir: Path) -> None:
    settings: dict[str, Any] = {"reference": "exact", "starts": N, "augment": 8}
    greedy = summary(run_dir, SPEC, **settings)
    searched = summary(run_dir, SPEC, decode="search", simulations=6, **settings)
    assert searched["simulations"] == 6
    for result in (greedy, searched):
        assert -1e-9 <= result["gap_mean"] < summary(run_dir, SPEC, reference="exact")["gap_mean"]


def test_all_starts_are_as_many_as_cities(run_dir: Path) -> None:
    every, counted = (summary(run_dir, SPEC, starts=starts, reference="none") for starts in (None, N))
    assert every["tour_length_mean"] == counted["tour_length_mean"]
    assert every["starts"] == counted["starts"] == N


def test_search_without_a_number_uses_that_of_the_run(run_dir: Path) -> None:
    result = summary(run_dir, SPEC, decode="search", reference="none")
    assert result["simulations"] == tiny_config().search.num_simulations


def test_samples_are_drawn_from_the_seed(run_dir: Path) -> None:
    one, again, other, more = (
        summary(run_dir, SPEC, decode="sample", seed=seed, samples=samples, reference="exact")["gap_mean"]
        for seed, samples in ((1, 1), (1, 1), (2, 1), (1, 60))
    )
    assert one == again
    assert one != other
    assert 0 <= more < min(one, other)


def test_without_a_reference_the_gaps_are_unknown(run_dir: Path) -> None:
    result = evaluate(run_dir, SPEC, reference="none")
    unknown = [key for key in KEYS[:-4] if result.summary()[key] is None]  # the last four are of searches
    assert unknown == [
        "reference_length_mean", "gap_mean", "gap_mean_of_ratios", "gap_interval", "gap_of_ratios_interval",
        "solved_share",
    ]  # fmt: skip
    assert result.gaps is None
    assert result.instances[0].gap is None


def test_reference_file_is_used(run_dir: Path, tmp_path: Path) -> None:
    references = np.arange(1.0, COUNT + 1)
    np.save(tmp_path / "lengths.npy", references)
    result = summary(run_dir, SPEC, reference=str(tmp_path / "lengths.npy"))
    lengths = decode(load_agent(run_dir).network, load_instances(SPEC).coordinates, Decoding()).lengths
    assert result["tour_length_mean"] == pytest.approx(lengths.mean())
    assert result["reference_length_mean"] == pytest.approx(references.mean())
    assert result["gap_mean"] == pytest.approx(lengths.mean() / references.mean() - 1)
    assert result["gap_mean_of_ratios"] == pytest.approx((lengths / references - 1).mean())


def test_files_of_several_sizes_are_measured_by_their_own_rules(run_dir: Path, tmp_path: Path) -> None:
    # Four corners, 30 by 40: 140 around. Seven points on a line, by a matrix of distances: 12 there and back.
    (tmp_path / "b.tsp").write_text(
        "NAME: corners\nDIMENSION: 4\nEDGE_WEIGHT_TYPE: EUC_2D\nNODE_COORD_SECTION\n1 0 0\n2 30 40\n3 30 0\n4 0 40\n"
    )
    rows = "\n".join(" ".join(str(abs(i - j)) for j in range(7)) for i in range(7))
    (tmp_path / "a.tsp").write_text(
        f"DIMENSION: 7\nEDGE_WEIGHT_TYPE: EXPLICIT\nEDGE_WEIGHT_FORMAT: FULL_MATRIX\nEDGE_WEIGHT_SECTION\n{rows}\n"
    )
    result = evaluate(run_dir, str(tmp_path), starts=6, augment=8, reference="exact")
    assert [(one.name, one.num_cities, one.reference_length) for one in result.instances] == [
        ("a", 7, 12.0), ("corners", 4, 140.0)
    ]  # fmt: skip
    for one in result.instances:
        assert one.length == int(one.length) >= one.reference_length
    assert result.summary()["cities"] == [4, 7]
    assert result.notes == ("a: positions by multidimensional scaling of the weights",)


def test_network_for_any_size_is_evaluated_on_other_sizes(run_dir: Path) -> None:
    result = summary(run_dir, "uniform:9:4:1234", decode="search", starts=9, reference="exact")
    assert result["cities"] == 9
    assert result["gap_mean"] > 0


@pytest.mark.parametrize("kind", KINDS[1:])
def test_network_for_one_size_is_evaluated_on_it_and_refuses_others(kind: str, tmp_path: Path) -> None:
    run = saved_run(tmp_path, network__kind=kind)
    assert summary(run, SPEC, decode="search", reference="exact")["gap_mean"] > 0
    with pytest.raises(UsageError, match="made for 5 cities, the instances have 9"):
        evaluate(run, "uniform:9:4:1234", reference="none")


def test_coordinates_are_evaluated_as_a_file_of_them_is(run_dir: Path, tmp_path: Path) -> None:
    points = 30.0 * np.random.default_rng(4).random((4, 5, 2))
    np.save(tmp_path / "mine.npy", points)
    given, read = (evaluate(run_dir, one, reference="none") for one in (points, str(tmp_path / "mine.npy")))
    assert np.array_equal(given.lengths, read.lengths)


def test_more_starts_than_cities_are_refused(run_dir: Path) -> None:
    with pytest.raises(UsageError, match="--starts 6: the instances have only 5 cities"):
        evaluate(run_dir, SPEC, starts=6, reference="none")


@pytest.mark.parametrize(
    ("instances", "arguments", "message"),
    [([], {}, "there are no instances"), (SPEC, {"starts": 0}, "must be at least 1"),
     (SPEC, {"decode": "search", "simulations": 0}, "must be at least 1"),
     (SPEC, {"samples": 3}, "samples needs decode = 'sample'")],
)  # fmt: skip
def test_nothing_to_do_is_refused(run_dir: Path, instances: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(run_dir, instances, reference="none", **arguments)


def test_bad_instances_are_refused(run_dir: Path) -> None:
    with pytest.raises(InstanceError):
        evaluate(run_dir, "uniform:5", reference="none")


def test_interval_of_the_gap_covers_the_truth_as_often_as_it_says() -> None:
    """Lengths 1 + e with e exponential of mean 0.1 on references of 1: the true gap is 0.1; 95 % of 400 sets is 380."""
    rng = np.random.default_rng(0)
    references = np.ones(200)
    covered = 0
    for _ in range(400):
        low, high = gap_interval(references + rng.exponential(0.1, 200), references)
        covered += low <= 0.1 <= high
    assert 360 <= covered <= 395


def test_interval_of_equal_gaps_is_a_point_and_repeatable() -> None:
    references = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(gap_interval(1.1 * references, references), (0.1, 0.1))
    lengths = np.array([1.1, 2.0, 3.3])
    assert gap_interval(lengths, references) == gap_interval(lengths, references)


def test_run_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no checkpoint"):
        load_agent(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_device_is_named(run_dir: Path) -> None:
    with pytest.raises(RunError, match="no CUDA device"):
        load_agent(run_dir, "cuda")


def test_weights_of_another_network_are_refused(run_dir: Path, tmp_path: Path) -> None:
    state = load_checkpoint(checkpoint_of(run_dir))
    state["config"]["network"]["embedding_dim"] = 32
    save_checkpoint(tmp_path, state, 0, 2)
    with pytest.raises(UsageError, match="the weights do not fit the network of the settings: size mismatch for"):
        load_agent(tmp_path)


def test_search_factory_takes_the_settings_of_the_run() -> None:
    config = tiny_config(search__num_simulations=9)
    assert search_factory(config, Decoding("search"))(4, 7).num_simulations == 9
    search = search_factory(config, Decoding("search", 3))(4, 7)
    assert (search.num_simulations, search.batch_size, search.num_actions) == (3, 4, 7)
    uniform = Decoding("search", dynamics="true", prior="uniform")
    assert search_factory(config, uniform)(4, 7).num_simulations == 9


def test_agent_that_was_trained_without_search_searches_when_it_is_asked_to() -> None:
    agent = untrained_agent()._replace(config=tiny_config(search__num_simulations=0))
    searched = Decoding("search")
    assert agent.simulations(searched) == search_factory(agent.config, searched)(4, 7).num_simulations == 8
    assert agent.simulations(Decoding("search", 3)) == 3
    assert agent.simulations(Decoding("greedy")) == 0


def test_true_rules_are_never_worse_than_the_tours_played(run_dir: Path) -> None:
    settings: dict[str, Any] = {"decode": "search", "simulations": 30, "dynamics": "true", "reference": "exact"}
    result = evaluate(run_dir, SPEC, **settings)
    assert result.record is not None
    assert result.lengths.mean() == pytest.approx(result.record.best_lengths[-1].mean())
    assert (result.lengths <= result.record.played_lengths + 1e-9).all()
    shown = result.summary()
    assert [shown[key] for key in ("dynamics", "prior", "leaf_values", "backup")] == [
        "true", "network", "network", "mean",
    ]  # fmt: skip
    more = evaluate(run_dir, SPEC, starts=N, augment=8, **settings)
    assert more.record is not None
    assert more.record.best_lengths.shape[1] == COUNT
    assert more.summary()["gap_mean"] == pytest.approx(0.0, abs=1e-6)  # 40 searches of five cities each
    assert evaluate(run_dir, SPEC, reference="exact").record is None


def test_uniform_priors_need_no_run() -> None:
    settings: dict[str, Any] = {"decode": "search", "simulations": 400, "dynamics": "true", "prior": "uniform"}
    result = evaluate(None, SPEC, reference="exact", **settings)
    assert result.summary()["gap_mean"] == pytest.approx(0.0, abs=1e-6)
    assert (result.source, result.summary()["backup"], result.simulations) == ("none", "max", 400)
    zero = evaluate(None, SPEC, reference="exact", leaf_values="zero", backup="mean", **settings)
    assert zero.summary()["leaf_values"] == "zero"
    assert zero.summary()["backup"] == "mean"


def test_everything_else_asks_the_agent_that_comes_along() -> None:
    result = evaluate(None, SPEC, decode="search", dynamics="true", reference="exact", device="cpu")
    assert result.source == "tsp20"
    assert result.train_steps > 0
    assert result.gaps is not None


def test_one_instance_has_no_interval(run_dir: Path) -> None:
    result = summary(run_dir, f"uniform:{N}:1:1", reference="exact", device="cpu")
    assert result["gap_mean"] is not None
    assert result["gap_interval"] is None
    assert result["gap_of_ratios_interval"] is None


def test_record_is_in_the_unit_of_the_file(tmp_path: Path) -> None:
    points = load_instances(SPEC).coordinates * 1000
    np.save(tmp_path / "points.npy", points)
    settings: dict[str, Any] = {"decode": "search", "simulations": 9, "dynamics": "true", "prior": "uniform"}
    result = evaluate(None, str(tmp_path / "points.npy"), reference="none", **settings)
    assert result.record is not None
    np.testing.assert_allclose(result.record.best_lengths[-1], result.lengths, rtol=1e-5)
