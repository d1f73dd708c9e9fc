"""What the processes of a run share, reserved once by the parent before any of them starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tspmz.config import Config
from tspmz.control import Control
from tspmz.replay.fields import FieldSpec, fields_for, reanalyzed_fields_for, record_dtype
from tspmz.replay.limiter import RateLimiter
from tspmz.replay.ring import Ring
from tspmz.stats import StatsBoard
from tspmz.weights import SharedWeights

_SPARE_BATCHES = 32
_SPARE_BYTES = 64 * 2**20


class Channels(NamedTuple):
    """The shared objects. Pickles into a spawned child only.

    Attributes:
        ring: groups on their way from actors to learner and recorder.
        weights: network weights on their way back.
        limiter: holds play or training.
        stats: every process's numbers.
        control: go on or stop, and the clock.
        first_group_ids: of each actor that ever played in this run, the first group not yet sealed when this part of
            the run began; those behind the ring's actors do not play now.
        reanalyzed: newer targets of stored groups, on their way from the reanalyzer to the learner; None where there
            is none.
    """

    ring: Ring
    weights: SharedWeights
    limiter: RateLimiter
    stats: StatsBoard
    control: Control
    first_group_ids: tuple[int, ...] = ()
    reanalyzed: Ring | None = None


def stored_fields(config: Config) -> tuple[FieldSpec, ...]:
    """What is stored of a group in this run."""
    return fields_for(config.problem.num_cities, config.selfplay.group_size, config.replay.policy_target)


def slots_per_actor(config: Config) -> int:
    """Ring slots of one actor: its share of the window, and room for what the recorder has not yet taken.

    At least two batches of play, else an actor would overwrite groups before anybody can see them; up to
    `_SPARE_BATCHES` where that costs no more than `_SPARE_BYTES` for all actors together.
    """
    batch = config.selfplay.groups_in_parallel
    cheap = _SPARE_BYTES // (record_dtype(stored_fields(config)).itemsize * config.selfplay.num_actors)
    return max(window_per_actor(config), 2 * batch, min(_SPARE_BATCHES * batch, cheap))


def window_per_actor(config: Config) -> int:
    """Groups of one actor that the learner draws from: its share of the window, at least one batch of play."""
    share = -(-config.replay.capacity_groups // config.selfplay.num_actors)
    return max(share, config.selfplay.groups_in_parallel)


def oldest_in_window(config: Config, newest: Mapping[int, int]) -> dict[int, int]:
    """By actor, the oldest group of its share of the window when `newest` is its newest."""
    return {actor: max(0, number + 1 - window_per_actor(config)) for actor, number in newest.items()}


def reanalyzed_fields(config: Config) -> tuple[FieldSpec, ...]:
    """What a reanalysis holds in this run."""
    target = config.replay.policy_target if config.replay.reanalyze_policy else "advantage"
    return reanalyzed_fields_for(config.problem.num_cities, config.selfplay.group_size, target)


def reanalyzed_slots(config: Config) -> int:
    """One for each group of the window."""
    return max(config.selfplay.num_actors * window_per_actor(config), 2)


def draws_per_position(config: Config) -> float:
    """How often a group must be drawn so that each of its moves is trained on once, on average."""
    moves = config.problem.mean_moves
    return moves / min(config.learner.positions or moves, moves)


def open_channels(config: Config, num_weights: int, weights_version: int = 0, elapsed_before: float = 0.0) -> Channels:
    """Reserve everything.

    Args:
        config: the run's settings.
        num_weights: float32 values in the network's weights.
        weights_version: the version published last, in an earlier part of the run.
        elapsed_before: seconds of training in earlier parts of the run.

    Raises:
        SharedMemoryError: not enough shared memory, with the sizes.
    """
    actors, shm_dir = config.selfplay.num_actors, config.run.shm_dir
    draws = draws_per_position(config)
    reanalyzed = None
    if config.reanalyzes:
        reanalyzed = Ring(1, reanalyzed_slots(config), reanalyzed_fields(config), shm_dir, "the reanalyzed targets")
    return Channels(
        ring=Ring(actors, slots_per_actor(config), stored_fields(config), shm_dir),
        weights=SharedWeights(num_weights, max(weights_version - 1, 0), shm_dir),
        limiter=RateLimiter(
            actors,
            draws * config.replay.samples_per_insert,
            config.replay.min_groups,
            config.replay.error_buffer_groups,
            draws * config.replay.max_samples_per_insert,
        ),
        stats=StatsBoard(actors, shm_dir),
        control=Control(elapsed_before, shm_dir),
        reanalyzed=reanalyzed,
    )


def memory_plan(config: Config, num_weights: int) -> dict[str, int]:
    """Bytes of shared memory by purpose, for the plan that is printed before they are taken."""
    plan = {
        "replay ring": Ring.plan(config.selfplay.num_actors, slots_per_actor(config), stored_fields(config)),
        "weights": 2 * 4 * num_weights,
    }
    if config.reanalyzes:
        plan["reanalyzed targets"] = Ring.plan(1, reanalyzed_slots(config), reanalyzed_fields(config))
    return plan
