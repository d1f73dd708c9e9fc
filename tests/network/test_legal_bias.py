"""The mask that is added to scores, and rows looked up by instance."""

from __future__ import annotations

import torch

from tspmz.network.attention import gather, legal_bias


def test_bias_is_zero_for_legal_and_hugely_negative_for_illegal_cities() -> None:
    bias = legal_bias(torch.tensor([[True, False, True]]))
    assert bias.tolist() == [[0.0, -1e9, 0.0]]
    assert bias.dtype == torch.float32


def test_row_without_a_legal_city_is_zero_throughout() -> None:
    assert legal_bias(torch.tensor([[[False, False], [False, True]]])).tolist() == [[[0.0, 0.0], [-1e9, 0.0]]]


def test_gather_takes_each_instances_own_rows() -> None:
    table = torch.arange(12.0).view(2, 3, 2)
    found = gather(table, torch.tensor([[2, 0], [1, 1]]))
    assert found.tolist() == [[[4.0, 5.0], [0.0, 1.0]], [[8.0, 9.0], [8.0, 9.0]]]
