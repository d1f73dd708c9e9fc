"""Rows picked from tables, for every instance its own."""

from __future__ import annotations

import torch
from torch import Tensor


def gather(table: Tensor, index: Tensor) -> Tensor:
    """Rows `[M, E, F]` of `table [M, N, F]` at `index [M, E]`."""
    m, n, width = table.shape
    offsets = torch.arange(m, device=table.device).unsqueeze(1) * n
    return table.reshape(m * n, width).index_select(0, (index + offsets).reshape(-1)).view(m, -1, width)


def rows_of(values: Tensor, rows: Tensor | None) -> Tensor:
    """`[M, V, F]` of `values [M, E, F]` at `rows [M, V]`; all of them where that is None."""
    return values if rows is None else gather(values, rows)
