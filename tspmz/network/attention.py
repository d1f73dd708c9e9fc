"""The attention network: an instance is encoded once; a state is one small vector beside it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tspmz.network.pairs import PairScores
from tspmz.network.rows import gather, rows_of
from tspmz.network.support import Support


class Context(NamedTuple):
    """What is computed once per instance and shared by all its episodes, moves, simulations and unroll steps.

    Attributes:
        as_first: `[M, N, D]` each city's part in a state's embedding where the episode started in it, and the part that
            the instance alone decides.
        as_current: `[M, N, D]` its part where the episode stands in it.
        as_unvisited: `[M, N, D]` its part while it is not visited.
        action_inputs: `[M, N, 2 D]` each city's part in the dynamics' and the reward's hidden layer.
        glimpse_keys: `[M * H, D / H, N]`, multiplied by what scales the products.
        glimpse_values: `[M * H, N, D / H]`.
        states_to_scores: `[M, D, N]`, by which normalized embeddings are multiplied for the pointer's scores.
        glimpses_to_scores: `[M, D, N]`, by which glimpses are, before their output layer.
        leans: `[M * H, N, N]` what each city adds to the glimpse's scores when it is the current one.
        edge_scores: `[M, N, N]` what it adds to the pointer's.
    """

    as_first: Tensor
    as_current: Tensor
    as_unvisited: Tensor
    action_inputs: Tensor
    glimpse_keys: Tensor
    glimpse_values: Tensor
    states_to_scores: Tensor
    glimpses_to_scores: Tensor
    leans: Tensor
    edge_scores: Tensor


class InstanceNorm(nn.Module):
    """Each feature by itself, over the cities of an instance (Ulyanov et al. 2016; for tours, Kwon et al. 2020)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, cities: Tensor) -> Tensor:
        """`[M, N, D]` to `[M, N, D]` float32: mean 0 and variance 1 over the N cities, then scaled and shifted."""
        # torch.var_mean goes through an axis that is not the last one number by number, four times as slow
        cities = cities.float()
        centered = cities - cities.mean(dim=1, keepdim=True)
        variance = centered.square().mean(dim=1, keepdim=True)
        return torch.addcmul(self.bias, centered, (variance + 1e-5).rsqrt() * self.weight)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward over the cities of an instance, each beside a shortcut; scores lean on pairs.

    Normalized after each of the two by instance, as in POMO, or before each by city (`layer`), as in most transformers.
    """

    def __init__(self, dim: int, num_heads: int, feedforward_dim: int, norm: str) -> None:
        super().__init__()
        self.num_heads = num_heads
        self._norm_first = norm == "layer"
        make_norm = nn.LayerNorm if norm == "layer" else InstanceNorm
        self.attention_norm = make_norm(dim)
        self.attention_in = nn.Linear(dim, 3 * dim, bias=False)
        self.attention_out = nn.Linear(dim, dim, bias=False)
        self.feedforward_norm = make_norm(dim)
        self.feedforward_in = nn.Linear(dim, feedforward_dim)
        self.feedforward_out = nn.Linear(feedforward_dim, dim)

    def forward(self, cities: Tensor, leans: Tensor) -> Tensor:
        """`[M, N, D]` and `[H * M, N, N]` to `[M, N, D]`."""
        if self._norm_first:
            cities = cities + self._attend(self.attention_norm(cities), leans)
            return cities + self._feed_forward(self.feedforward_norm(cities))
        cities = self.attention_norm(cities + self._attend(cities, leans))
        return self.feedforward_norm(cities + self._feed_forward(cities))  # type: ignore[no-any-return]

    def _attend(self, cities: Tensor, leans: Tensor) -> Tensor:
        """Written out: at tens of cities, plain products take half the time of torch's fused kernel with its mask."""
        m, n, dim = cities.shape
        width = dim // self.num_heads
        heads = self.attention_in(cities).view(m, n, 3, self.num_heads, width)
        queries, keys, values = heads.permute(2, 3, 0, 1, 4).flatten(1, 2)
        scores = torch.baddbmm(leans, queries, keys.transpose(1, 2), alpha=1 / math.sqrt(width))
        attended = torch.bmm(scores.softmax(dim=-1), values).view(self.num_heads, m, n, width)
        return self.attention_out(attended.permute(1, 2, 0, 3).reshape(m, n, dim))  # type: ignore[no-any-return]

    def _feed_forward(self, cities: Tensor) -> Tensor:
        return self.feedforward_out(F.relu(self.feedforward_in(cities)))  # type: ignore[no-any-return]


class AttentionNetwork(nn.Module):
    """Representation, dynamics and prediction over an attention encoder (Kool et al. 2019; Kwon et al. 2020).

    No weight depends on the number of cities: a network trained on 20 cities runs on 50. Scores of attention and
    pointer get a learned function of how the two cities stand among each other's neighbors (`pairs.PairScores`), so
    that the policy need not find out first that near cities are good ones; the pointer's, also a product of the two
    cities' embeddings: what the edge between them is worth in this instance, whatever else was visited.

    Axes: M instances, E states per instance, N cities, D width, H heads, C atoms.

    Args:
        embedding_dim: D.
        num_layers: encoder layers.
        num_heads: H.
        feedforward_dim: hidden width of the encoder's feed-forward layers.
        encoder_norm: `instance` or `layer`, see `EncoderLayer`.
        tanh_clipping: policy logits lie in [-tanh_clipping, tanh_clipping].
        support_size: atoms on each side of zero.
        support_step: distance between two atoms.
    """

    stacked_observations = 0

    def __init__(
        self,
        *,
        embedding_dim: int,
        num_layers: int,
        num_heads: int,
        feedforward_dim: int,
        encoder_norm: str,
        tanh_clipping: float,
        support_size: int,
        support_step: float,
    ) -> None:
        super().__init__()
        dim = embedding_dim
        self.embedding_dim = dim
        self.num_heads = num_heads
        self.tanh_clipping = tanh_clipping
        self.support = Support(support_size, support_step)
        self.embed_city = nn.Linear(2, dim)
        layers = [EncoderLayer(dim, num_heads, feedforward_dim, encoder_norm) for _ in range(num_layers)]
        self.encoder = nn.ModuleList(layers)
        self.encoder_norm = nn.LayerNorm(dim)
        self._pair_uses = [*[num_heads] * (num_layers + 1), 1]
        self.pair_scores = PairScores(sum(self._pair_uses))
        self.edge_from = nn.Linear(dim, dim, bias=False)
        self.edge_to = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.edge_from.weight)
        self.summary = nn.Linear(dim, dim)
        self.state_inputs = nn.Linear(dim, 3 * dim, bias=False)
        self.progress = nn.Parameter(torch.zeros(dim))
        self.action_inputs = nn.Linear(dim, 2 * dim)
        self.dynamics_norm = nn.LayerNorm(dim)
        self.dynamics_in = nn.Linear(dim, 2 * dim, bias=False)
        self.dynamics_out = nn.Linear(dim, dim)
        self.reward_out = nn.Linear(dim, self.support.num_atoms)
        self.glimpse_inputs = nn.Linear(dim, 3 * dim, bias=False)
        self.state_norm = nn.LayerNorm(dim)
        self.glimpse_query = nn.Linear(dim, dim)
        self.glimpse_out = nn.Linear(dim, dim)
        self.pointer_query = nn.Linear(2 * dim, dim)
        self.value_in = nn.Linear(2 * dim, 2 * dim)
        self.value_out = nn.Linear(2 * dim, self.support.num_atoms)

    def encode(self, coordinates: Tensor) -> Context:
        """Encode instances `[M, N, 2]`."""
        m, n, _ = coordinates.shape
        distances = (coordinates.unsqueeze(2) - coordinates.unsqueeze(1)).square().sum(-1).sqrt()
        cities = self.embed_city(coordinates)
        *per_layer, glimpse_leans, edges = self.pair_scores(distances).split(self._pair_uses)
        for layer, leans in zip(self.encoder, per_layer, strict=True):
            cities = layer(cities, leans.flatten(0, 1))
        cities = self.encoder_norm(cities)
        keys, values, pointer_keys = self.glimpse_inputs(cities).chunk(3, dim=-1)
        edges_by_content = self.edge_from(cities) @ self.edge_to(cities).transpose(1, 2) / math.sqrt(self.embedding_dim)
        states_to_scores, glimpses_to_scores, constants = self._fold_pointer(pointer_keys)
        as_first, as_current, as_unvisited = self.state_inputs(cities).chunk(3, dim=-1)
        width = self.embedding_dim // self.num_heads
        split = (m, n, self.num_heads, width)
        return Context(
            as_first=as_first + self.summary(cities.mean(dim=1, keepdim=True)),
            as_current=as_current.contiguous(),
            as_unvisited=(as_unvisited + self.progress) / n,
            action_inputs=self.action_inputs(cities),
            glimpse_keys=(keys / math.sqrt(width)).reshape(split).permute(0, 2, 3, 1).flatten(0, 1).contiguous(),
            glimpse_values=values.reshape(split).transpose(1, 2).flatten(0, 1).contiguous(),
            states_to_scores=states_to_scores,
            glimpses_to_scores=glimpses_to_scores,
            leans=glimpse_leans.transpose(0, 1).flatten(0, 1),
            edge_scores=edges.squeeze(0) + edges_by_content + constants,
        )

    def _fold_pointer(self, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What makes the pointer's scores of states and of glimpses, `[M, D, N]` each, and a constant `[M, 1, N]`.

        The pointer is linear from its query and the glimpse's output layer on: both are multiplied into the `keys`
        `[M, N, D]`, once per instance instead of once per state.
        """
        keys = keys / math.sqrt(self.embedding_dim)
        of_states, of_glimpses = self.pointer_query.weight.chunk(2, dim=1)
        by_states, by_glimpses = keys @ of_states, keys @ (of_glimpses @ self.glimpse_out.weight)
        constants = keys @ (self.pointer_query.bias + of_glimpses @ self.glimpse_out.bias)
        return by_states.mT.contiguous(), by_glimpses.mT.contiguous(), constants.unsqueeze(1)

    def representation(
        self, context: Context, first: Tensor, current: Tensor, legal_actions: Tensor, history: Tensor | None = None
    ) -> Tensor:
        """Embeddings `[M, E, D]` of true states.

        Args:
            first: `[M, E]` int64, where the episode started.
            current: `[M, E]` int64, where it stands.
            legal_actions: `[M, E, N]` float32, 1 for the cities not yet visited.
            history: not used: the state is all that the future depends on.
        """
        ends = gather(context.as_first, first) + gather(context.as_current, current)
        return torch.baddbmm(ends, legal_actions, context.as_unvisited).float()  # also where products are bfloat16

    def dynamics(self, context: Context, embeddings: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `[M, E, D]` after `actions [M, E]` and reward logits `[M, E, C]`."""
        hidden = F.relu(self.dynamics_in(self.dynamics_norm(embeddings)) + gather(context.action_inputs, actions))
        for_state, for_reward = hidden.chunk(2, dim=-1)
        return embeddings + self.dynamics_out(for_state), self.reward_out(for_reward)

    def prediction(
        self,
        context: Context,
        embeddings: Tensor,
        current: Tensor,
        legal_bias: Tensor,
        value_rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Policy logits `[M, E, N]` and value logits `[M, E, C]`, or `[M, V, C]`.

        Args:
            current: `[M, E]` int64, where the episodes stand: in a search, the last action.
            legal_bias: `[M, E, N]` float32, added to scores: 0 for legal cities, a large negative number for others.
            value_rows: `[M, V]` int64, of which of the E states the value is wanted; None = of all.
        """
        states = self.state_norm(embeddings)
        glimpses = self.glimpse(context, states, current, legal_bias)
        scores = torch.baddbmm(gather(context.edge_scores, current), states, context.states_to_scores)
        scores = torch.baddbmm(scores, glimpses, context.glimpses_to_scores)
        policy_logits = torch.add(legal_bias, torch.tanh(scores.float()), alpha=self.tanh_clipping)
        states, glimpses = rows_of(states, value_rows), rows_of(glimpses, value_rows)
        features = torch.cat((states, self.glimpse_out(glimpses)), dim=-1)
        return policy_logits, self.value_out(F.relu(self.value_in(features)))

    def glimpse(self, context: Context, states: Tensor, current: Tensor, legal_bias: Tensor) -> Tensor:
        """Attention of normalized embeddings `[M, E, D]` over the legal cities, `[M, E, D]`: the heads side by side.

        Written out: at tens of episodes and cities per instance, plain batched products take half the time of torch's
        fused kernel. `current` and `legal_bias` as for `prediction`.
        """
        m, e, dim = states.shape
        heads = self.num_heads
        queries = self.glimpse_query(states).view(m, e, heads, -1).transpose(1, 2).reshape(m * heads, e, -1)
        leans = gather(context.leans, current.repeat_interleave(heads, dim=0)).view(m, heads, e, -1)
        # in place, as nothing else is as large; no gradient asks for what was there
        with torch.no_grad():
            leans.add_(legal_bias.unsqueeze(1))
        weights = torch.baddbmm(leans.flatten(0, 1), queries, context.glimpse_keys).softmax(dim=-1)
        glimpses = torch.bmm(weights, context.glimpse_values)
        return glimpses.view(m, heads, e, -1).transpose(1, 2).reshape(m, e, dim)


def legal_bias(legal_actions: Tensor) -> Tensor:
    """0 for legal and -1e9 for illegal cities, `[..., N]` float32; finite, so that no row can give NaN.

    A row without any legal city (a finished episode) is 0 throughout.
    """
    legal = legal_actions | ~legal_actions.any(dim=-1, keepdim=True)
    return torch.zeros(legal.shape, device=legal.device).masked_fill_(~legal, -1e9)
