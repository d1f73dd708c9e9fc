"""The instance encoder: its norms by hand, and that it treats cities alike."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tspmz.network.attention import EncoderLayer, InstanceNorm


def test_instance_norm_by_hand_and_as_that_of_torch() -> None:
    norm = InstanceNorm(2)
    cities = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]]])
    spread = (8 / 3) ** 0.5  # of 1, 3, 5; that of 0, 0, 6 is 8 ** 0.5
    expected = torch.tensor([[[-2 / spread, -2 / 8**0.5], [0.0, -2 / 8**0.5], [2 / spread, 4 / 8**0.5]]])
    torch.testing.assert_close(norm(cities), expected, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, -1.0]))
        norm.bias.copy_(torch.tensor([0.5, 1.0]))
    many = torch.randn(4, 7, 2, generator=torch.Generator().manual_seed(0))
    theirs = F.instance_norm(many.transpose(1, 2), weight=norm.weight, bias=norm.bias).transpose(1, 2)
    torch.testing.assert_close(norm(many), theirs)


def test_instance_norm_of_equal_cities_is_finite_and_float32_under_autocast() -> None:
    norm = InstanceNorm(3)
    assert torch.equal(norm(torch.full((1, 5, 3), 7.0)), torch.zeros(1, 5, 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(torch.randn(1, 5, 3).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("norm", ["instance", "layer"])
def test_layer_is_that_of_the_formula_and_knows_no_order_of_cities(norm: str) -> None:
    generator = torch.Generator().manual_seed(1)
    layer = EncoderLayer(8, 2, 16, norm)
    cities, leans = torch.randn(3, 6, 8, generator=generator), torch.randn(3, 2, 6, 6, generator=generator)

    def attend(inputs: torch.Tensor) -> torch.Tensor:
        queries, keys, values = layer.attention_in(inputs).view(3, 6, 3, 2, 4).permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(-1, -2) / 2.0 + leans).softmax(dim=-1)
        return layer.attention_out((weights @ values).transpose(1, 2).reshape(3, 6, 8))  # type: ignore[no-any-return]

    def feed(inputs: torch.Tensor) -> torch.Tensor:
        return layer.feedforward_out(layer.feedforward_in(inputs).relu())  # type: ignore[no-any-return]

    if norm == "instance":
        inner = layer.attention_norm(cities + attend(cities))
        expected = layer.feedforward_norm(inner + feed(inner))
    else:
        inner = cities + attend(layer.attention_norm(cities))
        expected = inner + feed(layer.feedforward_norm(inner))

    def heads_first(scores: torch.Tensor) -> torch.Tensor:
        return scores.transpose(0, 1).flatten(0, 1)

    found = layer(cities, heads_first(leans))
    torch.testing.assert_close(found, expected)
    order = torch.randperm(6, generator=generator)
    renumbered = heads_first(leans[:, :, order][:, :, :, order])
    torch.testing.assert_close(layer(cities[:, order], renumbered), found[:, order])
