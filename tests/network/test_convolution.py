"""The residual network over the row of cities: lengths of boards, heads and their sizes, a convolution by hand."""

from __future__ import annotations

import pytest
import torch
from model_helpers import CITIES, tiny_network

from tspmz.network.convolution import ConvolutionLayer, PoolingLayer, downsampling


def test_convolution_sees_three_neighbors_and_zeros_beyond_the_ends() -> None:
    layer = ConvolutionLayer(1, 1)
    with torch.no_grad():
        layer.taps.weight.copy_(torch.tensor([[1.0, 10.0, 100.0]]))
        layer.taps.bias.fill_(0.5)
        found = layer(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1))
    assert found.flatten().tolist() == [10 + 200 + 0.5, 1 + 20 + 300 + 0.5, 2 + 30 + 0.5]


def test_pooling_takes_the_mean_of_the_neighbors_that_are_there() -> None:
    assert PoolingLayer()(torch.tensor([1.0, 3.0, 5.0, 10.0]).view(1, 4, 1)).flatten().tolist() == [2.0, 6.0]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("length", [1, 2, 5, 6])
def test_convolution_is_that_of_torch(length: int, stride: int) -> None:
    layer, expected = ConvolutionLayer(3, 4, stride), torch.nn.Conv1d(3, 4, 3, stride, padding=1)
    with torch.no_grad():
        expected.weight.copy_(layer.taps.weight.view(4, 3, 3).transpose(1, 2))
        expected.bias.copy_(layer.taps.bias)  # type: ignore[union-attr]
    planes = torch.randn(2, length, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(planes), expected(planes.transpose(1, 2)).transpose(1, 2))


@pytest.mark.parametrize(("cities", "places"), [(5, 1), (16, 1), (17, 2), (33, 3), (50, 4)])
def test_downsampling_leaves_a_sixteenth_of_the_places(cities: int, places: int) -> None:
    assert downsampling(3, 8)(torch.zeros(2, cities, 3)).shape == (2, places, 8)
    network = tiny_network("", cities, **CITIES, network__downsample=True, network__resnet_channels=8)
    assert network.embedding_dim == 8 * places


def test_sizes_are_those_of_the_settings() -> None:
    network = tiny_network(
        "", 6, **CITIES, network__resnet_blocks=2, network__resnet_channels=5,
        network__resnet_reduced_channels_reward=2,
        network__resnet_reduced_channels_value=3, network__resnet_reduced_channels_policy=4,
        network__resnet_reward_layers="7", network__resnet_value_layers="", network__resnet_policy_layers="9,8",
        network__support_size=8,
    )  # fmt: skip

    def widths(head: torch.nn.Module) -> list[tuple[int, int]]:
        return [(m.in_features, m.out_features) for m in head.modules() if isinstance(m, torch.nn.Linear)]

    assert widths(network.reward_head) == [(5, 2), (6 * 2, 7), (7, 17)]
    assert widths(network.value_head) == [(5, 3), (6 * 3, 17)]
    assert widths(network.policy_head) == [(5, 4), (6 * 4, 9), (9, 8), (8, 6)]
    convolutions = [m for m in network.dynamics_tower.modules() if isinstance(m, ConvolutionLayer)]
    assert len(convolutions) == 1 + 2 * 2
    assert network.embedding_dim == 5 * 6
