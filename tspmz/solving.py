"""One instance, as well as an agent can in a given time: greedy tours first, then sampling or ever larger searches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tspmz.agent import Agent, get_agent
from tspmz.decode import Decoding, check_options
from tspmz.tsp import symmetry, tsplib
from tspmz.tsp.instances import InstanceSet, from_array, load_instances
from tspmz.tsp.polish import polish as polished
from tspmz.types import Float64, Int64

_CHUNK_SECONDS = 0.5
"""Between two looks at the clock at least, if there is so much to do."""

_FIRST_CHUNK = 8


class Progress(NamedTuple):
    """How far a solution has come.

    Attributes:
        seconds: since the start.
        tours: made so far.
        simulations: made so far, all trees together.
        length: of the best tour.
        method: what is being done, for people.
    """

    seconds: float
    tours: int
    simulations: int
    length: float
    method: str


class Solution(NamedTuple):
    """The best tour that was found.

    Attributes:
        tour: `[N]` int64.
        length: of the tour, in the unit and by the rule of the instance.
        method: what found it, for people; names the local search where there was one.
        agent_length: of the best tour before any local search.
        history: a state of things after each chunk of work, the last one at the end.
    """

    tour: Int64
    length: float
    method: str
    agent_length: float
    history: tuple[Progress, ...]


class _Round(NamedTuple):
    """Tours from all starts on one image of the instance."""

    decoding: Decoding
    image: int
    method: str


def solve(
    instance: InstanceSet | ArrayLike | os.PathLike[str],
    source: Agent | str | os.PathLike[str] | None = None,
    *,
    seconds: float | None = None,
    decode: str = "greedy",
    simulations: int | None = None,
    dynamics: str = "learned",
    leaf_values: str | None = None,
    polish: bool = False,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Solution:
    """The best tour of one instance that an agent finds.

    Greedy tours from every start on all eight symmetries come first. With `sample`, tours drawn from the policy follow;
    with `search`, tours by tree search, on one symmetry after the other and then with twice as many simulations. This
    goes on until the time is over (what was begun is finished, within a second as a rule), or, without a limit,
    once through the symmetries.

    Args:
        instance: coordinates `[N, 2]`, a `.tsp` or `.npy` file of one instance, or a set of one.
        source: an agent, or the run directory or checkpoint of one; None = the pretrained model
            for its size.
        seconds: limit; None = none.
        decode: `greedy`, `sample` or `search`: what follows the greedy tours.
        simulations: per move of the first searches; None = as in self-play, or 8 where that has none.
        dynamics: what `search` plans with: `learned`, or `true`: the rules of tours in the plane, where every tour
            that a search comes across counts.
        leaf_values: what a new node is worth there, as for `evaluate`.
        polish: 2-opt and Or-opt on the best tour; no longer the agent's work alone.
        seed: of what `sample` draws.
        device: `auto`, `cpu` or `cuda`, for a source that is no agent.
        on_progress: called after each chunk of work.
        should_stop: asked after each chunk of work.

    Raises:
        TspmzError, InstanceError, ValueError: what is wrong, for people.

    >>> import numpy as np, tspmz
    >>> corners = np.array([[0, 0], [30, 40], [30, 0], [0, 40], [15, 0]])
    >>> solution = tspmz.solve(corners, polish=True)
    >>> round(solution.length, 3)
    140.0
    """
    if decode not in ("greedy", "sample", "search"):
        raise ValueError(f"decode = {decode!r}: must be greedy, sample or search")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds = {seconds!r}: must be above 0")
    if simulations is not None and simulations < 1:
        raise ValueError(f"simulations = {simulations!r}: must be at least 1")
    check_options(Decoding(decode, simulations, dynamics=dynamics, leaf_values=leaf_values))
    one = instance if isinstance(instance, InstanceSet) else _one_instance(instance)
    agent = get_agent(source, device, num_cities=one.coordinates.shape[1])
    started = time.monotonic()
    attempt = _Attempt(agent, one, started)
    limit = np.inf if seconds is None else started + seconds
    count = agent.simulations(Decoding("search", simulations))
    search = Decoding("search", count, None, dynamics=dynamics, leaf_values=leaf_values)
    for step in _rounds(decode, search, seed, endless=seconds is not None):
        for progress in attempt.run(step):
            if on_progress is not None:
                on_progress(progress)
            if time.monotonic() >= limit or should_stop():
                return attempt.solution(polish)
    return attempt.solution(polish)


def _one_instance(instance: ArrayLike | os.PathLike[str]) -> InstanceSet:
    one = load_instances(str(Path(instance))) if isinstance(instance, str | os.PathLike) else from_array(
        "coordinates", np.asarray(instance)
    )  # fmt: skip
    if len(one.coordinates) != 1:
        raise ValueError(f"{one.name}: {len(one.coordinates)} instances, want one (evaluate takes many)")
    return one


def _rounds(decode: str, search: Decoding, seed: int, endless: bool) -> Iterator[_Round]:
    images = range(symmetry.NUM_SYMMETRIES)
    yield from (_Round(Decoding(starts=None), image, "greedy") for image in images)
    turn = 0
    while decode != "greedy" and (turn == 0 or endless):
        for image in images:
            if decode == "sample":
                drawing = Decoding("sample", starts=None, seed=seed + turn * len(images) + image)
                yield _Round(drawing, image, "sampled")
            else:
                count = (search.simulations or 1) * 2**turn
                rules = "search with the true rules" if search.true_rules else "search"
                yield _Round(search._replace(simulations=count), image, f"{rules}, {count:,} simulations")
        turn += 1


class _Attempt:
    """The best tour so far, and what it took."""

    def __init__(self, agent: Agent, instance: InstanceSet, started: float) -> None:
        self._agent, self._instance, self._started = agent, instance, started
        self._num_cities = instance.coordinates.shape[1]
        self._best = np.inf
        self._tour = np.arange(self._num_cities)
        self._method = ""
        self._tours = self._simulations = 0
        self._chunk = {"greedy": self._num_cities}
        self._history: list[Progress] = []

    def run(self, step: _Round) -> Iterator[Progress]:
        """Make the tours of a round, some starts at a time."""
        first, kind = 0, step.method
        while first < self._num_cities:
            count = min(self._chunk.get(kind, _FIRST_CHUNK), self._num_cities - first)
            begun = time.monotonic()
            self._make(step, first, count)
            spent = time.monotonic() - begun
            first += count
            if spent < _CHUNK_SECONDS:
                self._chunk[kind] = max(2 * count, self._chunk.get(kind, 0))  # the last one of a round is cut short
            elif spent > 2 * _CHUNK_SECONDS:
                self._chunk[kind] = max(1, count // 2)
            now = time.monotonic() - self._started
            self._history.append(Progress(now, self._tours, self._simulations, self._best, step.method))
            yield self._history[-1]

    def _make(self, step: _Round, first: int, count: int) -> None:
        """Tours from the cities `first .. first + count - 1`."""
        found = self._agent.decode(
            symmetry.apply(self._instance.coordinates, step.image),
            step.decoding._replace(starts=count, first_start=first),
            lambda _, tours: self._instance.lengths(tours),
        )
        self._tours += count
        self._simulations += count * max(self._num_cities - 2, 0) * self._agent.simulations(step.decoding)
        if found.lengths[0] < self._best:
            self._best = float(found.lengths[0])
            self._tour = found.tours[0]
            self._method = step.method

    def solution(self, polish: bool) -> Solution:
        """The best tour, polished if asked for."""
        tour, length, method = self._tour, self._best, self._method
        if polish:
            tour = polished(_weights(self._instance), tour)
            length = float(self._instance.lengths(tour[None, None])[0, 0])
            method += ", then 2-opt and Or-opt"
        return Solution(tour, length, method, self._best, tuple(self._history))


def _weights(instance: InstanceSet) -> Float64:
    if instance.problem is not None:
        return tsplib.weight_matrix(instance.problem)
    points = instance.coordinates[0].astype(np.float64)
    return np.hypot(*(points[:, None] - points).transpose(2, 0, 1))  # type: ignore[no-any-return]
