"""Pictures of what a network knows: how sure its policy is, how right its value, where its search looks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.plots.style import INK, MUTED, PAPER, REFERENCE, START, TOUR, dress, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_LABELLED = 40


def draw_entropy_by_move(entropies: NDArray[Any]) -> Figure:
    """How sure the policy is at each move: median over instances, the middle 80 %, and what knowing nothing gives.

    Args:
        entropies: `[I, T]` nats, of the policy over the legal cities before move t.
    """
    moves = np.arange(entropies.shape[1])
    low, median, high = np.quantile(entropies, (0.1, 0.5, 0.9), axis=0)
    figure = new_figure(6.4, 3.6)
    panel = figure.subplots()
    panel.plot(moves, np.log(len(moves) - moves), color=MUTED, linewidth=1.2, linestyle="--", label="knows nothing")
    panel.fill_between(moves, low, high, color=TOUR, alpha=0.18, linewidth=0, label="middle 80 % of instances")
    panel.plot(moves, median, color=TOUR, linewidth=1.8, label="median")
    dress(panel, "move", "entropy (nats)", f"policy entropy by move, mean {entropies.mean():.3f} nats")
    panel.set_ylim(bottom=0)
    _move_axis(panel, len(moves))
    legend(panel, loc="upper right")
    return figure


def draw_value_calibration(values: NDArray[Any], returns: NDArray[Any]) -> Figure:
    """What the value says of the rest of a tour, against what it came to.

    Args:
        values: `[I, T]`, the network's value before move t.
        returns: `[I, T]`, what came of it: the rewards from move t on.
    """
    errors = values.astype(np.float64) - returns
    figure = new_figure(7.2, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    ends = (min(values.min(), returns.min()), max(values.max(), returns.max()))
    left.plot(ends, ends, color=MUTED, linewidth=1.2, linestyle="--")
    left.scatter(
        returns.ravel(), values.ravel(), s=4, color=TOUR, alpha=min(1.0, 200 / errors.size + 0.05), linewidths=0
    )
    dress(left, "return", "value", f"error {math.sqrt((errors**2).mean()):.3f} (root mean square)")
    low, median, high = np.quantile(errors, (0.1, 0.5, 0.9), axis=0)
    moves = np.arange(values.shape[1])
    right.axhline(0.0, color=MUTED, linewidth=1.2, linestyle="--")
    right.fill_between(moves, low, high, color=TOUR, alpha=0.18, linewidth=0)
    right.plot(moves, median, color=TOUR, linewidth=1.8)
    dress(right, "move", "value - return", f"bias {errors.mean():+.3f}; median and middle 80 %")
    _move_axis(right, len(moves))
    return figure


def _move_axis(panel: Axes, num_moves: int) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_xlim(0, max(1, num_moves - 1))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


class SearchedMove(NamedTuple):
    """One search of one move.

    Attributes:
        coordinates: `[N, 2]`.
        path: cities visited so far, the current one last.
        nodes: `[S']` of `search.tree.NODE`, the root first (`BatchedSearch.grown_tree`).
    """

    coordinates: NDArray[Any]
    path: NDArray[np.int64]
    nodes: NDArray[np.void]


def draw_search_tree(move: SearchedMove) -> Figure:
    """One search: where its visits went, on the map and as the tree that it grew.

    Disks of the tree are as large as their visits, and carry the city that the move leads to.
    """
    figure = new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    for panel in (left, right):
        panel.set_axis_off()
    _draw_map(left, move)
    nodes = move.nodes
    positions = _layout(nodes["parent"])
    _draw_tree(right, nodes, positions)
    simulations = int(nodes["visits"][0]) - 1
    left.set_title(f"move {len(move.path) - 1}: visits of the next cities", color=INK, fontsize=10, loc="left")
    right.set_title(
        f"tree of {simulations} simulations, depth {int(positions[:, 1].max(initial=0))}, "
        f"root value {nodes['value'][0]:.3f} (network {nodes['raw_value'][0]:.3f})",
        color=INK, fontsize=10, loc="left",
    )  # fmt: skip
    return figure


def _draw_map(panel: Axes, move: SearchedMove) -> None:
    points, path, nodes = move.coordinates, move.path, move.nodes
    panel.plot(*points[path].T, color=INK, linewidth=1.6, solid_joinstyle="round")
    children = nodes[nodes["parent"] == 0]
    here = points[path[-1]]
    total = max(1, int(children["visits"].sum()))
    for child in children:
        there = points[child["action"]]
        share = child["visits"] / total
        panel.plot(*zip(here, there, strict=True), color=TOUR, alpha=0.35 + 0.65 * share, linewidth=1 + 6 * share)
    visited = np.isin(np.arange(len(points)), path)
    x, y = points[visited].T
    panel.scatter(x, y, s=14, color=INK, zorder=3, linewidths=0)
    x, y = points[~visited].T
    panel.scatter(x, y, s=22, color=PAPER, edgecolors=INK, linewidths=0.9, zorder=3)
    panel.scatter(here[0], here[1], s=60, marker="s", color=START, edgecolors=PAPER, linewidths=1, zorder=4)
    if len(points) <= _MAX_LABELLED:
        for city, (x, y) in enumerate(points):
            panel.annotate(str(city), (x, y), (4, 4), textcoords="offset points", fontsize=7, color=MUTED)
    panel.set_aspect("equal", adjustable="datalim")
    panel.margins(0.06)


def _draw_tree(panel: Axes, nodes: NDArray[np.void], positions: NDArray[np.float64]) -> None:
    visits = nodes["visits"].astype(np.float64)
    x, y = positions[:, 0], -positions[:, 1]
    for node in range(1, len(nodes)):
        parent = nodes["parent"][node]
        share = visits[node] / visits[0]
        panel.plot(x[[parent, node]], y[[parent, node]], color=REFERENCE, linewidth=0.8 + 5 * share, zorder=1)
    area = 60 + 900 * visits / visits[0] / max(1.0, math.sqrt(len(nodes) / 24))
    panel.scatter(x, y, s=area, color=[START, *[TOUR] * (len(nodes) - 1)], edgecolors=PAPER, linewidths=1, zorder=2)
    if len(nodes) <= 2 * _MAX_LABELLED:
        for node in range(1, len(nodes)):
            panel.annotate(
                str(nodes["action"][node]), (x[node], y[node]), ha="center", va="center", fontsize=7, color=PAPER
            )
    for node in np.flatnonzero(nodes["parent"] == 0).tolist():
        panel.annotate(
            f"visits {nodes['visits'][node]}\nQ {nodes['qvalue'][node]:.3f}\nprior {nodes['prior'][node]:.2f}",
            (x[node], y[node]), (12, 0), textcoords="offset points", fontsize=7, color=INK, va="center",
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1, "alpha": 0.8}, zorder=3,
        )  # fmt: skip
    panel.set_xlim(x.min() - 0.5, x.max() + 1.0)
    panel.margins(y=0.14)


def _layout(parents: NDArray[Any]) -> NDArray[np.float64]:
    """Places `[S', 2]` of the nodes: leaves side by side, a parent over the middle of its children; y is the depth.

    A parent has a smaller number than its children, whose order is kept.
    """
    children: list[list[int]] = [[] for _ in parents]
    depth = np.zeros(len(parents))
    for node in range(1, len(parents)):
        children[parents[node]].append(node)
        depth[node] = depth[parents[node]] + 1
    places = np.zeros(len(parents))
    next_leaf, stack = 0, [0]
    while stack:  # each node is met again, below its children, once they have places
        node = stack.pop()
        if node < 0:
            places[~node] = places[children[~node]].mean()
        elif children[node]:
            stack += [~node, *reversed(children[node])]
        else:
            places[node] = next_leaf
            next_leaf += 1
    return np.stack((places, depth), axis=1)
