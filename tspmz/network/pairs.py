"""Scores of pairs of cities: how much one is drawn to another, by how far apart they are among their neighbors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_NUM_FEATURES = 5
_HIDDEN = 24
_SLOPE_SCALE = 10.0
"""Slopes on distances start at 0 and are of order 10: this factor lets them learn as fast as other weights."""


class PairScores(nn.Module):
    """A learned function of two cities' place among each other's neighbors, for several uses at once.

    A short edge is good, and being the nearest neighbor counts whatever the scale: so the function sees distances in
    units of the mean spacing and ranks, not coordinates. It starts at 0 everywhere (after Zhou et al. 2024, adaptation
    bias, which is linear in the distance).

    Args:
        num_scores: X, uses.
    """

    def __init__(self, num_scores: int) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.zeros(num_scores))
        self.hidden = nn.Linear(_NUM_FEATURES, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, num_scores, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, distances: Tensor) -> Tensor:
        """`[X, M, N, N]` from the distances `[M, N, N]`: `[x, m, i, j]` of going from i to j.

        The pairs stand in the last axes throughout, so that each use finds its scores in one piece.
        """
        features = pair_features(distances).flatten(1) - 2.0
        hidden = F.relu(torch.addmm(self.hidden.bias.unsqueeze(-1), self.hidden.weight, features))
        curved = torch.mm(self.out.weight, hidden).view(-1, *distances.shape)
        return torch.addcmul(curved, _SLOPE_SCALE * self.slopes.view(-1, 1, 1, 1), distances)


@torch.no_grad()
def pair_features(distances: Tensor) -> Tensor:
    """`[5, M, N, N]`: of i and j, without gradient.

    The distance times sqrt(N); log(1 + rank) of j among the neighbors of i, itself having rank 0, and of i among those
    of j; log(1 + distance / distance of the nearest neighbor), that of i and that of j.
    """
    n = distances.shape[-1]
    places = torch.arange(n, dtype=distances.dtype, device=distances.device).log1p().expand_as(distances)
    rank = torch.empty_like(distances).scatter_(-1, distances.argsort(dim=-1), places)
    itself = torch.eye(n, dtype=torch.bool, device=distances.device)
    nearest = distances.masked_fill(itself, math.inf).amin(dim=-1, keepdim=True).clamp(min=1e-3)
    share = (distances / nearest).log1p()
    return torch.stack((distances * math.sqrt(n), rank, rank.transpose(1, 2), share, share.transpose(1, 2)))
