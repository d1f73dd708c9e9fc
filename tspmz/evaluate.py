"""Measuring a trained agent on a set of instances against reference lengths."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tspmz.checkpoint import load_checkpoint, load_latest
from tspmz.config import Config
from tspmz.config_files import config_from_dict
from tspmz.decode import SearchFactory
from tspmz.decode import decode as decode_tours
from tspmz.errors import UsageError
from tspmz.network.build import Network, build_network
from tspmz.rundir import CHECKPOINTS
from tspmz.search import BatchedSearch
from tspmz.settings import network_settings, search_settings
from tspmz.training import learner_device
from tspmz.tsp import reference as solvers
from tspmz.tsp.instances import load_instances
from tspmz.types import Float32


class Agent(NamedTuple):
    """A trained network with the settings it was trained with.

    Attributes:
        network: in evaluation mode, on `device`.
        config: settings of the run.
        train_steps: updates it has had.
        device: where it runs.
    """

    network: Network
    config: Config
    train_steps: int
    device: str


def load_agent(source: Path, device: str = "auto") -> Agent:
    """The agent of a run directory (its newest good checkpoint) or of a checkpoint file.

    Raises:
        CheckpointError: nothing there that can be used.
        RunError: no such device.
    """
    if source.is_dir():
        directory = source / CHECKPOINTS if (source / CHECKPOINTS).is_dir() else source
        state, path, _ = load_latest(directory)
    else:
        state, path = load_checkpoint(source), source
    config = config_from_dict(state["config"], str(path))
    chosen = learner_device(device)
    network = build_network(0, **network_settings(config))
    try:
        network.load_state_dict(state["learner"]["network"])
    except (RuntimeError, KeyError) as error:
        raise UsageError(f"{path}: the weights do not fit the settings beside them: {error}") from None
    return Agent(network.to(chosen).eval(), config, int(state["learner"]["train_steps"]), chosen)


def search_factory(config: Config, simulations: int | None = None) -> SearchFactory:
    """Searches with the settings of a run, and as many simulations per move as asked for."""
    settings = search_settings(config)
    if simulations is not None:
        settings["num_simulations"] = simulations

    def make(batch_size: int, num_cities: int) -> BatchedSearch:
        return BatchedSearch(batch_size, num_cities, **settings)

    return make


def evaluate(
    source: Path,
    instances: str,
    *,
    decode: str = "greedy",
    simulations: int | None = None,
    starts: int = 1,
    augment: int = 1,
    reference: str = "lkh",
    device: str = "auto",
) -> dict[str, Any]:
    """Decode every instance and compare with reference lengths.

    Args:
        source: run directory or checkpoint.
        instances: as for `tsp.instances.load_instances`.
        decode: `greedy` or `search`.
        simulations: per move, for `search`; None = as trained.
        starts: tours per instance and symmetry; the best counts.
        augment: 1 or 8 symmetries; the best counts.
        reference: `lkh`, `exact`, `none`, or a `.npy` file with the lengths `[I]`.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        Keys: instances, cities, decode, simulations, starts, augment, tour_length_mean, reference_length_mean,
        gap_mean (mean length / mean reference - 1, fraction), gap_mean_of_ratios (mean of the instances' gaps),
        seconds (decoding only), device, and source, train_steps, reference. What is unknown is None.

    Raises:
        TspmzError, InstanceError, ReferenceSolverError: what is wrong, for people.
    """
    agent = load_agent(source, device)
    found = load_instances(instances)
    num_instances, num_cities, _ = found.coordinates.shape
    if starts > num_cities:
        raise UsageError(f"--starts {starts}: the instances have only {num_cities} cities")
    make_search = search_factory(agent.config, simulations) if decode == "search" else None
    references = reference_lengths(found.coordinates, reference)
    started = time.perf_counter()
    decoded = decode_tours(
        agent.network,
        found.coordinates,
        num_starts=starts,
        augment=augment,
        make_search=make_search,
        device=agent.device,
    )
    seconds = time.perf_counter() - started
    result: dict[str, Any] = {
        "instances": num_instances,
        "cities": num_cities,
        "decode": decode,
        "simulations": (simulations or agent.config.search.num_simulations) if make_search else 0,
        "starts": starts,
        "augment": augment,
        "tour_length_mean": float((decoded.lengths * found.scales).mean()),
        "reference_length_mean": None,
        "gap_mean": None,
        "gap_mean_of_ratios": None,
        "seconds": seconds,
        "device": agent.device,
        "source": str(source),
        "train_steps": agent.train_steps,
        "reference": reference,
    }
    if references is not None:
        result["reference_length_mean"] = float((references * found.scales).mean())
        result["gap_mean"] = result["tour_length_mean"] / result["reference_length_mean"] - 1
        result["gap_mean_of_ratios"] = float((decoded.lengths / references).mean() - 1)
    return result


def reference_lengths(coordinates: Float32, source: str) -> np.ndarray | None:
    """`[I]` float64 reference lengths, or None for `none`.

    Raises:
        UsageError: a file that cannot be read or does not fit.
        ReferenceSolverError: the solver is missing or cannot solve these.
    """
    if source == "none":
        return None
    if source in ("lkh", "exact"):
        return solvers.reference_lengths(coordinates, source, solvers.default_cache_dir())  # type: ignore[arg-type]
    path = Path(source)
    if path.suffix != ".npy":
        raise UsageError(f"--reference {source}: must be lkh, exact, none or a .npy file with one length per instance")
    try:
        lengths = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"--reference {path}: cannot be read: {error}") from None
    if lengths.shape != (len(coordinates),):
        raise UsageError(f"--reference {path}: has shape {lengths.shape}, want ({len(coordinates)},)")
    if not (np.issubdtype(lengths.dtype, np.floating) or np.issubdtype(lengths.dtype, np.integer)):
        raise UsageError(f"--reference {path}: holds {lengths.dtype}, want numbers")
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise UsageError(f"--reference {path}: lengths must be finite and above 0")
    return lengths.astype(np.float64)
