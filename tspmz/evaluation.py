"""Measuring a trained agent on sets of instances against reference tours."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.agent import Agent, get_agent
from tspmz.decode import Decoding, check_options
from tspmz.errors import UsageError
from tspmz.planning import Record
from tspmz.tsp import tsplib
from tspmz.tsp.instances import InstanceSet, from_array, load_instance_sets
from tspmz.tsp.reference import SOLVED_TOLERANCE, Reference
from tspmz.tsp.references import find_references
from tspmz.types import Float64, Int64

_BOOTSTRAP_RESAMPLES = 2000
_BOOTSTRAP_CHUNK = 100


class InstanceResult(NamedTuple):
    """What was found for one instance.

    Attributes:
        name: of the instance.
        coordinates: `[N, 2]` float, where to draw the cities.
        tour: `[N]` int64, the best one found.
        length: of the tour, in the unit and by the rule of the instance.
        reference_length: None if unknown.
        reference_tour: `[N]` int64, None if unknown.
        seconds: of decoding, an equal share of its set's (the instances of a set are decoded together).
    """

    name: str
    coordinates: Float64
    tour: Int64
    length: float
    reference_length: float | None
    reference_tour: Int64 | None
    seconds: float

    @property
    def num_cities(self) -> int:
        """N."""
        return len(self.tour)

    @property
    def gap(self) -> float | None:
        """`length / reference_length - 1`; None if there is no reference."""
        return None if self.reference_length is None else self.length / self.reference_length - 1.0


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found: every instance, and what follows from all of them.

    Attributes:
        source: run, checkpoint or name that the agent came from.
        train_steps: updates that its network has had.
        device: where the network ran.
        decoding: how tours were made.
        simulations: per move; 0 without a search.
        reference: what the reference lengths are: `lkh`, `exact`, `published`, a file, or `none`.
        instances: one result per instance, in order.
        seconds: of decoding, without reading, references, and what is loaded and compiled at first use.
        notes: what the reader must know, one line each.
        record: of a search with the true rules on one set, lengths in the unit of the set; else None.
    """

    source: str
    train_steps: int
    device: str
    decoding: Decoding
    simulations: int
    reference: str
    instances: tuple[InstanceResult, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    record: Record | None = None

    @property
    def lengths(self) -> Float64:
        """`[I]` float64."""
        return np.array([one.length for one in self.instances])

    @property
    def reference_lengths(self) -> Float64 | None:
        """`[I]` float64; None unless all are known."""
        found = [one.reference_length for one in self.instances if one.reference_length is not None]
        return np.array(found) if len(found) == len(self.instances) else None

    @property
    def gaps(self) -> Float64 | None:
        """`[I]` float64 `length / reference_length - 1`; None unless all are known."""
        references = self.reference_lengths
        return None if references is None else self.lengths / references - 1.0

    def summary(self) -> dict[str, Any]:
        """What `--json` writes: plain numbers and texts, None for what is unknown.

        Keys: instances, cities (a number, or the list of sizes), decode, simulations, starts (None: from every city
        of instances of several sizes), augment,
        tour_length_mean, reference_length_mean, gap_mean (mean length / mean reference - 1, fraction),
        gap_mean_of_ratios (mean of the instances' gaps), seconds (decoding only), device, source, train_steps,
        reference, samples, seed, gap_interval (95 % of gap_mean) and gap_of_ratios_interval (of gap_mean_of_ratios),
        solved_share, instances_per_second, notes, dynamics, prior, leaf_values and backup (of a search; else None).
        """
        sizes = sorted({one.num_cities for one in self.instances})
        decoding = self.decoding
        gaps = self._gap_numbers()
        return {
            "instances": len(self.instances),
            "cities": sizes[0] if len(sizes) == 1 else sizes,
            "decode": decoding.decode,
            "simulations": self.simulations,
            "starts": sizes[0] if decoding.starts is None and len(sizes) == 1 else decoding.starts,
            "augment": decoding.augment,
            "tour_length_mean": float(self.lengths.mean()),
            "reference_length_mean": gaps["reference_length_mean"],
            "gap_mean": gaps["gap_mean"],
            "gap_mean_of_ratios": gaps["gap_mean_of_ratios"],
            "seconds": self.seconds,
            "device": self.device,
            "source": self.source,
            "train_steps": self.train_steps,
            "reference": self.reference,
            "samples": decoding.samples,
            "seed": decoding.seed,
            "gap_interval": gaps["gap_interval"],
            "gap_of_ratios_interval": gaps["gap_of_ratios_interval"],
            "solved_share": gaps["solved_share"],
            "instances_per_second": len(self.instances) / self.seconds if self.seconds > 0.0 else None,
            "notes": list(self.notes),
            "dynamics": decoding.dynamics if decoding.decode == "search" else None,
            "prior": decoding.prior if decoding.true_rules else None,
            "leaf_values": decoding.chosen_leaf_values if decoding.true_rules else None,
            "backup": decoding.backup,
        }

    def _gap_numbers(self) -> defaultdict[str, Any]:
        """What needs references, and intervals more than one instance; every key is None without them."""
        numbers: defaultdict[str, Any] = defaultdict(lambda: None)
        references = self.reference_lengths
        if references is not None:
            ratios = self.lengths / references
            numbers["reference_length_mean"] = float(references.mean())
            numbers["gap_mean"] = float(self.lengths.mean() / references.mean() - 1.0)
            numbers["gap_mean_of_ratios"] = float(ratios.mean() - 1.0)
            if len(ratios) > 1:
                numbers["gap_interval"] = list(gap_interval(self.lengths, references))
                numbers["gap_of_ratios_interval"] = list(gap_interval(ratios, np.ones(len(ratios))))
            numbers["solved_share"] = float(np.mean(ratios - 1.0 <= SOLVED_TOLERANCE))
        return numbers


def gap_interval(lengths: Float64, references: Float64) -> tuple[float, float]:
    """95 % interval of `mean length / mean reference - 1` over instances drawn like these.

    Percentile bootstrap over instances (Efron and Tibshirani 1993, section 13.3), 2,000 resamples from a fixed seed.
    It says how far another set of instances may differ, and nothing of other training seeds.

    Args:
        lengths: `[I]`.
        references: `[I]`.
    """
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(_BOOTSTRAP_RESAMPLES // _BOOTSTRAP_CHUNK):
        drawn = rng.integers(len(lengths), size=(_BOOTSTRAP_CHUNK, len(lengths)))
        gaps.append(lengths[drawn].sum(axis=1) / references[drawn].sum(axis=1) - 1.0)
    low, high = np.percentile(np.concatenate(gaps), (2.5, 97.5))
    return float(low), float(high)


def evaluate(
    source: Agent | str | os.PathLike[str] | None,
    instances: str | Sequence[str] | Sequence[InstanceSet] | NDArray[Any],
    *,
    decode: str = "greedy",
    simulations: int | None = None,
    starts: int | None = 1,
    augment: int = 1,
    samples: int = 1,
    seed: int = 0,
    dynamics: str = "learned",
    prior: str = "network",
    leaf_values: str | None = None,
    backup: str | None = None,
    reference: str = "lkh",
    device: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Decode every instance and compare with reference lengths.

    Args:
        source: an agent, or the run directory or checkpoint of one; None = the pretrained model
            for the largest of the instances, or no network where none is asked (`prior="uniform"`).
        instances: texts as for `tsp.instances.load_instance_sets`, what it returned, or coordinates `[I, N, 2]`.
        decode: `greedy`, `sample` or `search`.
        simulations: per move, for `search`; None = as in self-play, or 8 where that has none.
        starts: tours per instance and symmetry, each from another city; None = from every city. The best counts.
            Instances of a set of several sizes that have fewer cities are started from all of them.
        augment: 1 or 8 symmetries; the best counts.
        samples: tours per start, for `sample`; the best counts.
        seed: of the draws of `sample`.
        dynamics: what `search` plans with: `learned`, or `true` for the rules themselves (the best tour found counts).
        prior: of the search with the true rules: `network` or `uniform`.
        leaf_values: what a new node is worth there: one of `tsp.dynamics.LEAF_VALUES`; None = the network's value
            where it is the prior, else `nearest_neighbor`.
        backup: `mean` or `max`; None = as trained, or `max` for uniform priors.
        reference: `lkh`, `exact` (at most 12 cities), `published` (TSPLIB's optima), `none`, or a file with lengths.
        device: `auto`, `cpu` or `cuda`, for a source that is no agent.
        on_progress: called with the number of instances decoded so far, and of all.

    Raises:
        TspmzError, InstanceError, ReferenceSolverError: what is wrong, for people.

    >>> import tspmz
    >>> result = tspmz.evaluate("runs/20-1", "uniform:9:4:1234", starts=9, reference="exact", device="cpu")
    >>> len(result.instances), result.decoding.starts
    (4, 9)
    >>> result.summary()["gap_mean"] >= 0
    True
    """
    decoding = Decoding(decode, simulations, starts, augment, samples, seed, dynamics, prior, leaf_values, backup)
    check_options(decoding)
    if (starts is not None and starts < 1) or (simulations is not None and simulations < 1):
        raise UsageError("starts and simulations must be at least 1")
    flat: list[InstanceSet] = []
    if isinstance(instances, np.ndarray):
        instances = [from_array("coordinates", instances)]
    for one in [instances] if isinstance(instances, str) else instances:
        flat.extend([one] if isinstance(one, InstanceSet) else load_instance_sets([one]))
    if not flat:
        raise UsageError("there are no instances to evaluate on")
    sizes = sorted({one.coordinates.shape[1] for one in flat})
    agent = get_agent(
        source, device, num_cities=sizes[-1], network=not (decoding.true_rules and prior == "uniform")
    )
    decoding = decoding._replace(backup=agent.backup(decoding))
    if starts is not None and starts > sizes[0] and len(sizes) == 1:
        raise UsageError(f"--starts {starts}: the instances have only {sizes[0]} cities")
    references = find_references(flat, reference)
    agent.warm_up(flat[0].coordinates, decoding)
    results: list[InstanceResult] = []
    record: Record | None = None
    total = sum(len(one.coordinates) for one in flat)
    done = 0

    def count(finished: int) -> None:
        nonlocal done
        done += finished
        if on_progress is not None:
            on_progress(done, total)

    for one, found in zip(flat, references, strict=True):
        measured, record = _measured(agent, one, found, decoding, count)
        results.extend(measured)
    return EvaluationResult(
        source=agent.source,
        train_steps=agent.train_steps,
        device=agent.device,
        decoding=decoding,
        simulations=agent.simulations(decoding),
        reference=reference,
        instances=tuple(results),
        seconds=sum(one.seconds for one in results),
        notes=tuple(_notes(flat)),
        record=record if len(flat) == 1 else None,
    )


def _measured(
    agent: Agent,
    instances: InstanceSet,
    reference: Reference | None,
    decoding: Decoding,
    on_progress: Callable[[int], None],
) -> tuple[list[InstanceResult], Record | None]:
    """Results of the instances of a set, and the search's record where the set has lengths in the plane."""
    count, num_cities, _ = instances.coordinates.shape
    fitting = decoding._replace(starts=None if decoding.starts is None else min(decoding.starts, num_cities))
    started = time.perf_counter()
    decoded = agent.decode(
        instances.coordinates, fitting, lambda part, tours: instances.part(part).lengths(tours), on_progress
    )
    seconds = time.perf_counter() - started
    problem = instances.problem
    drawn = instances.coordinates if problem is None else tsplib.drawing(problem)[None]
    results = [
        InstanceResult(
            name=name,
            coordinates=np.asarray(drawn[i], np.float64),
            tour=decoded.tours[i],
            length=float(decoded.lengths[i]),
            reference_length=None if reference is None else float(reference.lengths[i]),
            reference_tour=None if reference is None or reference.tours is None else reference.tours[i],
            seconds=seconds / count,
        )
        for i, name in enumerate(instances.names)
    ]
    record = decoded.record
    if record is None or problem is not None:
        return results, None
    scales = instances.scales
    return results, Record(record.simulations, record.best_lengths * scales, record.played_lengths * scales)


def _notes(sets: Sequence[InstanceSet]) -> list[str]:
    notes: dict[str, list[str]] = {}
    for one in sets:
        note = tsplib.positions(one.problem)[1] if one.problem is not None else ""
        if note:
            notes.setdefault(note, []).extend(one.names)
    return [f"{', '.join(names)}: {note}" for note, names in notes.items()]
