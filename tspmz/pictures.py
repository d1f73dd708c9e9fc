"""The evaluator's pictures: tours, how sure the policy is, how right the value is, one search tree."""

from __future__ import annotations

import numpy as np

from tspmz.decode import Decoded, SearchFactory
from tspmz.diagnostics import along_tours, search_move
from tspmz.network.build import Network
from tspmz.plots.style import percent, to_pixels
from tspmz.plots.tours import draw_tours
from tspmz.plots.training import draw_entropy_by_move, draw_search_tree, draw_value_calibration
from tspmz.tensorboard import EventWriter
from tspmz.types import Float32, Float64, Int64


def write_pictures(
    events: EventWriter,
    step: int,
    network: Network,
    make_search: SearchFactory,
    coordinates: Float32,
    greedy: Decoded,
    reference_tours: Int64,
    reference_lengths: Float64,
    num_tours: int,
    *,
    edge_reward: float = 0.0,
    discount: float = 1.0,
) -> None:
    """Write all of them, as of one train step.

    Args:
        events: where they go.
        step: train steps of the weights.
        network: in evaluation mode, on the CPU.
        make_search: the search that is drawn.
        coordinates: `[I, N, 2]` float32, the held-out instances.
        greedy: the policy's tours.
        reference_tours: `[I, N]`.
        reference_lengths: `[I]`.
        num_tours: of the first so many instances the tours are drawn, at least 1.
        edge_reward: as in the run's value targets.
        discount: as in the run's value targets.
    """
    shown = slice(0, num_tours)
    gaps = greedy.lengths / reference_lengths - 1
    pairs = zip(greedy.lengths[shown], gaps[shown], strict=True)
    titles = [f"{length:.3f} ({percent(gap, sign=True)})" for length, gap in pairs]
    tours = draw_tours(coordinates[shown], greedy.tours[shown], titles, reference_tours[shown])
    events.image("tours/greedy", to_pixels(tours), step)

    told = along_tours(network, coordinates, greedy.tours, edge_reward=edge_reward, discount=discount)
    events.image("policy/entropy_by_move", to_pixels(draw_entropy_by_move(told.entropies)), step)
    events.image("value/calibration", to_pixels(draw_value_calibration(told.values, told.returns)), step)

    # the move of the first instance that the policy is least sure of: where there is something to search
    move = int(np.argmax(told.entropies[0]))
    search = make_search(1, coordinates.shape[1])
    searched = search_move(network, search, coordinates[0], greedy.tours[0, : move + 1])
    events.image("search/tree", to_pixels(draw_search_tree(searched)), step)
