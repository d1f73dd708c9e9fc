"""The network as a tree search sees it: numpy in, numpy out, the latents of all tree nodes kept on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tspmz.acceleration import Compiled
from tspmz.network.attention import legal_bias
from tspmz.network.build import Network
from tspmz.types import Bool, Float32, Int64, RecurrentOutput, RootOutput


class SearchModel:
    """Initial and recurrent inference for B = I * G trees on I instances.

    The embedding of tree node `n` of all trees stands in `embeddings[n]`, so that what travels between search and
    network are node numbers, actions, masks and the outputs.

    Args:
        network: in evaluation mode, on `device`.
        num_nodes: nodes of a tree, simulations + 1.
        device: where the network runs.
        with_values: False: `initial` leaves the value head out and says 0, where states are valued otherwise, or not.
        compiled: the work of `recurrent` is compiled, for calls of one shape.
    """

    def __init__(
        self,
        network: Network,
        num_nodes: int,
        device: torch.device | str = "cpu",
        with_values: bool = True,
        compiled: bool = False,
    ) -> None:
        self.network = network
        self.device = torch.device(device)
        self._expand = Compiled(_expand, self.device, "selfplay.compile") if compiled else _expand
        self._with_values = with_values
        self._num_nodes = num_nodes
        self._context: Any = None
        self._embeddings = torch.empty(0)
        self._shape = (0, 0)

    @property
    def stacked_observations(self) -> int:
        """Past states k that `initial` wants to know of."""
        return self.network.stacked_observations

    @torch.inference_mode()
    def encode(self, coordinates: Float32) -> None:
        """Encode the instances `[I, N, 2]` that the next calls are about."""
        self._context = self.network.encode(torch.from_numpy(np.ascontiguousarray(coordinates)).to(self.device))

    @torch.inference_mode()
    def initial(
        self, first: Int64, current: Int64, legal_actions: Bool, history: Int64 | None = None
    ) -> RootOutput:
        """Representation and prediction of true states.

        Args:
            first, current: `[I, G]` int64.
            legal_actions: `[I, G, N]` bool.
            history: `[I, G, k]` int64, as for `Network.representation`; needed where the network stacks k > 0.
        """
        self._reserve(first.shape)
        legal = torch.from_numpy(legal_actions).to(self.device)
        here = torch.from_numpy(current).to(self.device)
        start = torch.from_numpy(first).to(self.device)
        past = None if history is None else torch.from_numpy(np.ascontiguousarray(history)).to(self.device)
        embeddings = self.network.representation(self._context, start, here, legal.float(), past)
        self._embeddings[0] = embeddings.reshape(-1, embeddings.shape[-1])
        rows = None if self._with_values else here[:, :0]
        policy_logits, value_logits = self.network.prediction(self._context, embeddings, here, legal_bias(legal), rows)
        if self._with_values:
            values = _flat(self.network.support.to_scalar(value_logits))
        else:
            values = np.zeros(current.size, np.float32)
        return RootOutput(_flat(policy_logits), values, legal_actions.reshape(-1, legal_actions.shape[-1]))

    @torch.inference_mode()
    def recurrent(self, parents: Int64, actions: Int64, node: int, legal_actions: Bool) -> RecurrentOutput:
        """Dynamics and prediction: the states behind `actions [B]` from tree nodes `parents [B]`, stored as `node`.

        Args:
            legal_actions: `[B, N]`, legal in the new states.
        """
        episodes = len(parents)
        rows = torch.from_numpy(parents * episodes + np.arange(episodes)).to(self.device)
        states = self._embeddings.view(-1, self._embeddings.shape[-1]).index_select(0, rows).view(*self._shape, -1)
        taken = torch.from_numpy(actions).to(self.device).view(self._shape)
        legal = torch.from_numpy(legal_actions).to(self.device).view(*self._shape, -1)
        embeddings, scalars, policy_logits = self._expand(self.network, self._context, states, taken, legal)
        self._embeddings[node] = embeddings.reshape(episodes, -1)
        rewards, values = scalars.view(2, -1).cpu().numpy()
        return RecurrentOutput(rewards, values, _flat(policy_logits))

    def _reserve(self, shape: tuple[int, ...]) -> None:
        instances, episodes = shape
        self._shape = (instances, episodes)
        size = (self._num_nodes, instances * episodes, self.network.embedding_dim)
        if self._embeddings.shape != size:
            self._embeddings = torch.empty(size, device=self.device)


def _expand(
    network: Network, context: Any, states: Tensor, actions: Tensor, legal_actions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings `[M, E, D]` after `actions [M, E]`, rewards and values `[2, M, E]`, policy logits `[M, E, N]`."""
    embeddings, reward_logits = network.dynamics(context, states, actions)
    policy_logits, value_logits = network.prediction(context, embeddings, actions, legal_bias(legal_actions))
    return embeddings, network.support.to_scalar(torch.stack((reward_logits, value_logits))), policy_logits


def _flat(values: Tensor) -> Float32:
    """The first two axes (instance, episode) of `values` joined, as numpy."""
    return values.flatten(0, 1).cpu().numpy()  # type: ignore[no-any-return]
