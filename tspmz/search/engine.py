"""Batched MuZero tree search, Gumbel or PUCT, around a network that the caller brings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tspmz.search import simulate
from tspmz.search.settings import make_settings, pack
from tspmz.search.tree import NO_PARENT, ROOT, UNVISITED, allocate_tree
from tspmz.types import Bool, Float32, Float64, Int64, PolicyFn, RecurrentOutput, RootOutput, SearchResult

RecurrentFn = Callable[[Int64, Int64, int, Bool], RecurrentOutput]
"""`(parents [B], actions [B], node, legal_actions [B, N]) -> RecurrentOutput`; see `BatchedSearch.run`."""

_MIN_EXPONENTIAL = np.float32(2.0**-24)


class BatchedSearch:
    """B searches in lock-step; the memory is reserved once and used again by every run.

    Rows do not influence one another. An object is not safe to share between threads.

    Args:
        batch_size: B, > 0.
        num_actions: N, > 0.
        algorithm: "gumbel" (Gumbel MuZero, Danihelka et al. 2022) or "puct" (MuZero, Schrittwieser et al. 2020).
        num_simulations: S, >= 0; 0 searches nothing (Gumbel): the action is drawn from the policy, by its logits and
            their noise, and no visits are counted.
        max_considered_actions: root actions that sequential halving starts from, > 0 (Gumbel).
        mask_interior: an action is illegal below itself, at every node; a node without legal actions is terminal and
            worth 0. Otherwise only the root is masked.
        discount: per-step factor of future rewards; -1 for two players who move in turn.
        gumbel_scale: factor of the Gumbel noise at the root.
        value_scale: c_scale of the completed Q values (Gumbel).
        maxvisit_init: c_visit of the completed Q values (Gumbel).
        rescale_values: completed Q values are min-max scaled to [0, 1] before `value_scale` (Gumbel).
        pb_c_init: c1 of the exploration term (PUCT).
        pb_c_base: c2 of the exploration term (PUCT).
        dirichlet_alpha: concentration of the root noise (PUCT).
        dirichlet_fraction: share of the root noise in the prior (PUCT).
        q_normalization: range that brings Q to [0, 1] (PUCT): "tree", all Q values seen in the tree (MuZero, appendix
            B, eq. 5), or "siblings", the node's value and its children's Q values (as mctx does).
        backup: what a node is worth: "mean" of all values backed up through it (MuZero, appendix B, eq. 4), or "max",
            its largest Q value, its own raw value standing for the actions not tried yet (one step of value iteration).

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        batch_size: int,
        num_actions: int,
        *,
        algorithm: Literal["gumbel", "puct"] | str = "gumbel",
        num_simulations: int = 8,
        max_considered_actions: int = 4,
        mask_interior: bool = True,
        discount: float = 1.0,
        gumbel_scale: float = 1.0,
        value_scale: float = 0.4,
        maxvisit_init: float = 50.0,
        rescale_values: bool = False,
        pb_c_init: float = 1.25,
        pb_c_base: float = 19652.0,
        dirichlet_alpha: float = 0.3,
        dirichlet_fraction: float = 0.25,
        q_normalization: Literal["tree", "siblings"] | str = "tree",
        backup: Literal["mean", "max"] | str = "mean",
    ) -> None:
        counts = {
            "batch_size": batch_size,
            "num_actions": num_actions,
            "num_simulations": num_simulations,
            "max_considered_actions": max_considered_actions,
        }
        for name, count in counts.items():
            least = 0 if name == "num_simulations" and algorithm == "gumbel" else 1
            if count < least:
                raise ValueError(f"{name} = {count}: must be at least {least}")
        if algorithm not in ("gumbel", "puct"):
            raise ValueError(f"algorithm = {algorithm!r}: must be gumbel or puct")
        if q_normalization not in ("tree", "siblings"):
            raise ValueError(f"q_normalization = {q_normalization!r}: must be tree or siblings")
        if backup not in ("mean", "max"):
            raise ValueError(f"backup = {backup!r}: must be mean or max")
        self.batch_size = batch_size
        self.num_actions = num_actions
        self.num_simulations = num_simulations
        self.discount = discount
        self._gumbel_scale = gumbel_scale
        self._dirichlet_alpha = dirichlet_alpha
        self._settings = make_settings(
            num_actions,
            num_simulations,
            algorithm=algorithm,
            max_considered_actions=max_considered_actions,
            mask_interior=mask_interior,
            discount=discount,
            value_scale=value_scale,
            maxvisit_init=maxvisit_init,
            rescale_values=rescale_values,
            pb_c_init=pb_c_init,
            pb_c_base=pb_c_base,
            dirichlet_fraction=dirichlet_fraction,
            q_normalization=q_normalization,
            backup=backup,
        )
        self._packed = pack(self._settings)
        self._tree = allocate_tree(batch_size, num_actions, num_simulations)
        self._asked, self._asked_nodes = np.zeros(batch_size, np.bool_), np.zeros(batch_size, np.int64)
        self._no_logits = np.zeros((0, num_actions), np.float32)

    @property
    def num_bytes(self) -> int:
        """Memory of all trees in bytes; it grows with S times the batch size."""
        return sum(array.nbytes for array in self._tree)

    def run(
        self,
        root: RootOutput,
        recurrent_fn: RecurrentFn,
        rng: np.random.Generator,
        *,
        temperature: float = 1.0,
        noise: bool = True,
    ) -> SearchResult:
        """Search from B roots.

        `recurrent_fn(parents, actions, node, legal_actions)` is called once per simulation for the whole batch. Row b
        applies `actions[b]` to the state of node `parents[b]`; the caller keeps the new state under the index `node`
        (1 .. S; the root is 0). `legal_actions[b]` is the legal set of the new state: empty at a terminal node, and the
        root's where `mask_interior` is off. A model that knows the rules may answer with the legal actions itself; they
        then hold instead. A row that reached a terminal node again asks for the edge to it once more, and its answer is
        ignored. The three arrays are overwritten by the next simulation.

        Args:
            root: the network's outputs of the roots.
            recurrent_fn: the model, see above; outputs float32, `[B]`, `[B]` and `[B, N]`. In place of policy logits it
                may give a function (`types.PolicyFn`) that the search asks for them, between two simulations, where
                it comes by a node a second time.
            rng: source of the root noise and, for PUCT, of the choice of actions.
            temperature: factor of the Gumbel noise (Gumbel), or exponent 1 / temperature on visit counts when the
                action is drawn (PUCT); 0 is deterministic.
            noise: False leaves the Gumbel or Dirichlet noise out.

        Raises:
            ValueError: arrays of the wrong shape, a root without legal actions, or a temperature below 0.
        """
        shape = (self.batch_size, self.num_actions)
        if self._settings.gumbel:
            scale = self._gumbel_scale * temperature if noise else 0.0
            root_noise = _gumbel_noise(rng, shape, scale) if scale > 0.0 else np.zeros(shape, np.float32)
            return self.run_with_noise(root, recurrent_fn, root_noise, temperature=temperature)
        if noise:
            root_noise = rng.standard_gamma(self._dirichlet_alpha, shape).astype(np.float32)
        else:
            root_noise = np.zeros(shape, np.float32)
        uniforms = rng.random(self.batch_size) if temperature > 0.0 else None
        return self.run_with_noise(root, recurrent_fn, root_noise, uniforms, temperature=temperature)

    def run_with_noise(
        self,
        root: RootOutput,
        recurrent_fn: RecurrentFn,
        root_noise: Float32,
        uniforms: Float64 | None = None,
        *,
        temperature: float = 1.0,
    ) -> SearchResult:
        """Search from B roots with given noise; a pure function of its arguments.

        Args:
            root: as in `run`.
            recurrent_fn: as in `run`.
            root_noise: `[B, N]` float32. Gumbel: what is added to the logits. PUCT: weights >= 0 that are normalized
                over the legal actions; a row of zeros leaves the prior as it is.
            uniforms: `[B]` float64 in [0, 1) that decide the actions (PUCT, temperature > 0); without them the most
                visited action is taken.
            temperature: as in `run`; without effect for Gumbel, whose noise is given.

        Raises:
            ValueError: as in `run`.
        """
        if not (temperature >= 0.0 and math.isfinite(temperature)):
            raise ValueError(f"temperature = {temperature}: must be a finite number, at least 0")
        vector, matrix = (self.batch_size,), (self.batch_size, self.num_actions)
        logits = _checked("root.policy_logits", root.policy_logits, np.float32, matrix)
        values = _checked("root.values", root.values, np.float32, vector)
        legal = _checked("root.legal_actions", root.legal_actions, np.bool_, matrix)
        root_noise = _checked("root_noise", root_noise, np.float32, matrix)
        tree = self._tree
        empty = simulate.start(tree, self._packed, logits, values, legal, root_noise)
        if empty >= 0:
            raise ValueError(f"root.legal_actions[{empty}]: no legal action; there is nothing to search")
        policy_fn: PolicyFn | None = None
        for simulation in range(self.num_simulations):
            output = recurrent_fn(tree.leaf_parents, tree.leaf_actions, simulation + 1, tree.leaf_legal)
            rewards = _checked("rewards", output.rewards, np.float32, vector)
            values = _checked("values", output.values, np.float32, vector)
            if awaited := callable(output.policy_logits):
                policy_fn, logits = output.policy_logits, self._no_logits
            else:
                logits = _checked("policy_logits", output.policy_logits, np.float32, matrix)
            if output.legal_actions is not None:
                tree.leaf_legal[:] = _checked("legal_actions", output.legal_actions, np.bool_, matrix)
            masked = self._settings.mask_interior or output.legal_actions is not None
            simulate.advance(tree, self._packed, rewards, values, logits, masked, awaited, simulation)
            if policy_fn is not None and simulate.awaiting(tree, self._asked_nodes, self._asked):
                logits = _checked("policy_logits", policy_fn(self._asked_nodes, self._asked), np.float32, matrix)
                simulate.resume(tree, self._packed, logits, simulation + 1)
        return self._result(uniforms if temperature > 0.0 else None, temperature)

    def grown_tree(self, row: int) -> NDArray[np.void]:
        """The tree that the last run grew from root `row`.

        Returns:
            `[S']` of `tree.NODE`, a copy, numbered in the order of expansion. S' is S + 1, less the simulations that
            came to a terminal node once more.
        """
        stored = self._tree.nodes[row]
        reached = [ROOT]
        for node in reached:
            child = int(stored["first_child"][node])
            while child != UNVISITED:
                reached.append(child)
                child = int(stored["next_sibling"][child])
        kept = np.sort(reached)
        nodes = stored[kept]
        for link, absent in (("parent", NO_PARENT), ("first_child", UNVISITED), ("next_sibling", UNVISITED)):
            nodes[link] = np.where(nodes[link] == absent, absent, np.searchsorted(kept, nodes[link]))
        nodes["next_sibling"][ROOT] = UNVISITED
        return nodes

    def _result(self, uniforms: Float64 | None, temperature: float) -> SearchResult:
        tree = self._tree
        matrix = (self.batch_size, self.num_actions)
        visit_counts = np.zeros(matrix, np.int32)
        qvalues = np.zeros(matrix, np.float32)
        action_weights = np.zeros(matrix, np.float32)
        actions = np.zeros(self.batch_size, np.int64)
        simulate.read_children(tree, visit_counts, qvalues)
        if self._settings.gumbel:
            simulate.finish_gumbel(tree, self._packed, visit_counts, qvalues, action_weights, actions)
        elif uniforms is None:
            simulate.finish_puct(visit_counts, 0.0, np.zeros(self.batch_size), action_weights, actions)
        else:
            uniforms = _checked("uniforms", uniforms, np.float64, (self.batch_size,))
            simulate.finish_puct(visit_counts, float(temperature), uniforms, action_weights, actions)
        depths = np.zeros(self.batch_size, np.float32)
        if self.num_simulations:  # a leaf is selected even where no simulation follows
            depths = tree.searches["depth_sum"].astype(np.float32) / np.float32(self.num_simulations)
        return SearchResult(
            actions=actions,
            action_weights=action_weights,
            visit_counts=visit_counts,
            root_values=tree.nodes["value"][:, ROOT].copy(),
            qvalues=qvalues,
            depths=depths,
        )


def _gumbel_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Float32:
    """Gumbel(0, 1) times `scale`: minus the logarithm of an exponential variable, kept off zero."""
    exponential = rng.standard_exponential(shape, dtype=np.float32)
    np.maximum(exponential, _MIN_EXPONENTIAL, out=exponential)
    np.log(exponential, out=exponential)
    exponential *= np.float32(-scale)
    return exponential


def _checked(name: str, array: NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    """The array, contiguous and of `dtype`, or an error about its shape."""
    array = np.ascontiguousarray(array, dtype=dtype)
    if array.shape != shape:
        raise ValueError(f"{name}: shape {array.shape}, expected {shape}")
    return array
