"""A trained agent: a network with the settings that it was trained with."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from tspmz.config import Config
from tspmz.config_files import config_from_dict
from tspmz.decode import Decoded, Decoding, LengthsOf, SearchFactory, decode
from tspmz.network.build import Network, build_network
from tspmz.planning import UNGUIDED
from tspmz.pretrained import model_for, model_path
from tspmz.search import BatchedSearch
from tspmz.settings import network_settings, planning_settings
from tspmz.trained import load_weights, read_agent_state
from tspmz.training import learner_device
from tspmz.types import Float32

NO_AGENT = "none"
"""`Agent.source` where no network is asked."""


class Agent(NamedTuple):
    """A trained network with the settings it was trained with.

    Attributes:
        network: in evaluation mode, on `device`.
        config: settings of the run.
        train_steps: updates it has had.
        device: where it runs.
        source: where it came from, for people.
    """

    network: Network
    config: Config
    train_steps: int
    device: str
    source: str

    def decode(
        self, coordinates: Float32, decoding: Decoding, lengths_of: LengthsOf | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Decoded:  # fmt: skip
        """The best tour of each instance `[I, N, 2]`; arguments and errors as `decode.decode`."""
        make_search = search_factory(self.config, decoding) if decoding.decode == "search" else None
        return decode(
            self.network, coordinates, decoding, make_search=make_search, lengths_of=lengths_of,
            edge_reward=self.config.problem.edge_reward, device=self.device, on_progress=on_progress,
        )  # fmt: skip

    def warm_up(self, coordinates: Float32, decoding: Decoding) -> None:
        """Load and compile what a decoding of `[I, N, 2]` takes, on one tour of the first instance."""
        few = decoding._replace(starts=1, augment=1, samples=1, simulations=min(2, self.simulations(decoding)) or None)
        self.decode(coordinates[:1], few)

    def simulations(self, decoding: Decoding) -> int:
        """Simulations per move that a decoding runs: 0 without a search."""
        if decoding.decode != "search":
            return 0
        return int(decoding.simulations or planning_settings(self.config)["num_simulations"])

    def backup(self, decoding: Decoding) -> str | None:
        """Back-up of the search that a decoding runs; None without a search."""
        if decoding.decode != "search":
            return None
        trained = UNGUIDED["backup"] if decoding.prior == "uniform" else self.config.search.backup
        return decoding.backup or trained


def load_agent(source: str | os.PathLike[str], device: str = "auto") -> Agent:
    """The agent of a run directory (its newest good checkpoint), of a checkpoint file, or a pretrained one.

    Args:
        source: run directory, checkpoint file, or, where there is nothing of that name, the name of a pretrained
            model.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        CheckpointError: nothing there that can be used.
        RunError: no such device.
        UsageError: nothing there, or weights that do not fit the settings beside them.

    >>> import tspmz
    >>> agent = tspmz.load("runs/20-1", device="cpu")
    >>> agent.config.problem.num_cities
    20
    """
    state, path = read_agent_state(source)
    config = config_from_dict(state["config"], str(path))
    chosen = learner_device(device)
    network = build_network(0, **network_settings(config))
    load_weights(network, state, path)
    train_steps = int(state["learner"]["train_steps"])
    return Agent(network.to(chosen).eval(), config, train_steps, chosen, str(source))


def load_pretrained(name: str = "tsp20", device: str = "auto") -> Agent:
    """A model that comes with tspmz; its card is beside it, in `tspmz/pretrained`.

    Args:
        name: such as `tsp20`.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        UsageError: no such model.
        RunError: no such device.

    >>> import tspmz
    >>> agent = tspmz.load_pretrained("tsp20", device="cpu")
    >>> result = tspmz.evaluate(agent, "uniform:9:10:1234", starts=9, reference="exact")
    >>> result.summary()["gap_mean"] < 0.05
    True
    """
    return load_agent(model_path(name), device)._replace(source=name)


def get_agent(
    source: Agent | str | os.PathLike[str] | None, device: str = "auto", *, num_cities: int, network: bool = True
) -> Agent:
    """The agent that is meant: `source` itself, what it names, or where it is None the pretrained one for the size.

    Args:
        source: an agent, or as for `load_agent`.
        device: `auto`, `cpu` or `cuda`, for a source that is no agent.
        num_cities: of the largest instance that it is asked about.
        network: is asked for anything; without, None stands for an untrained agent.

    Raises:
        CheckpointError, RunError, UsageError: as `load_agent`.
    """
    if source is None:
        return load_pretrained(model_for(num_cities), device) if network else untrained_agent()
    return source if isinstance(source, Agent) else load_agent(source, device)


def untrained_agent() -> Agent:
    """An agent for what asks no network: the search with the true rules and uniform priors."""
    config = Config()
    return Agent(build_network(0, **network_settings(config)).eval(), config, 0, "cpu", NO_AGENT)


def search_factory(config: Config, decoding: Decoding) -> SearchFactory:
    """Searches with the settings of a run, changed as far as a decoding asks for it."""
    settings = planning_settings(config)
    if decoding.prior == "uniform":
        settings |= UNGUIDED
    if decoding.simulations is not None:
        settings["num_simulations"] = decoding.simulations
    if decoding.backup is not None:
        settings["backup"] = decoding.backup

    def make(batch_size: int, num_cities: int) -> BatchedSearch:
        return BatchedSearch(batch_size, num_cities, **settings)

    return make
