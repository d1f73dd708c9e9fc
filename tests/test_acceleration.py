"""Lower precision changes a step by no more than rounding; what cannot be compiled runs as it is."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from model_helpers import random_states, tiny_network
from process_helpers import TinyRun, tiny_config

from tspmz.acceleration import Compiled, to_device
from tspmz.learner import Learner, StepReport
from tspmz.network.inference import SearchModel
from tspmz.settings import learner_settings
from tspmz.types import Batch

N = 5
CPU = torch.device("cpu")
gpu = pytest.mark.gpu
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    return TinyRun(tmp_path_factory.mktemp("run"), played=8).loop.buffer.sample(np.random.default_rng(0))


def stepped(
    batch: Batch, kind: str, device: str = "cpu", steps: int = 1, **values: Any
) -> tuple[StepReport, torch.Tensor]:
    """Report of the last step and the gradient that it took."""
    settings = learner_settings(tiny_config(**{"learner__warmup_steps": 0, "learner__max_grad_norm": 1e6, **values}))
    learner = Learner(tiny_network(kind, N).train(), device, 0, **settings)
    for _ in range(steps):
        report = learner.step(batch, 0.0)
    gradients = [p.grad.flatten().cpu() for p in learner.module.parameters() if p.grad is not None]
    assert all(p.dtype == torch.float32 for p in learner.module.parameters())
    return report, torch.cat(gradients)


def assert_same_but_for_rounding(
    low: tuple[StepReport, torch.Tensor], full: tuple[StepReport, torch.Tensor], similar: float = 0.99
) -> None:
    for name in ("total_loss", "policy_loss", "value_loss", "reward_loss"):
        assert low[0].metrics[name] == pytest.approx(full[0].metrics[name], rel=0.02, abs=0.02)
    assert torch.cosine_similarity(low[1], full[1], dim=0) > similar
    np.testing.assert_allclose(low[0].priorities, full[0].priorities, rtol=0.1, atol=0.05)


# the gradient of the residual network is turned by 30 degrees, which docs/performance.md says
@pytest.mark.parametrize(("kind", "similar"), [("attention", 0.999), ("fullyconnected", 0.999), ("resnet", 0.8)])
def test_bfloat16_changes_a_step_by_rounding_only(batch: Batch, kind: str, similar: float) -> None:
    low, full = stepped(batch, kind, learner__precision="bf16"), stepped(batch, kind)
    assert_same_but_for_rounding(low, full, similar)
    assert not torch.equal(low[1], full[1])


def test_tf32_changes_nothing_on_a_cpu(batch: Batch) -> None:
    low, full = stepped(batch, "attention", learner__precision="tf32"), stepped(batch, "attention")
    assert torch.equal(low[1], full[1])


def test_what_cannot_be_compiled_runs_as_it_is(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def cannot(function: Any, **settings: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("no C++ compiler\nand more")

        return call

    monkeypatch.setattr(torch, "compile", cannot)
    with caplog.at_level(logging.WARNING, "tspmz"):
        _, tried = stepped(batch, "attention", steps=2, learner__compile=True)
    assert torch.equal(tried, stepped(batch, "attention", steps=2)[1])
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["no C++ compiler"]


def test_error_of_a_function_that_was_compiled_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
    reciprocal = Compiled(lambda number: 1 / number, CPU, "a.setting")
    assert reciprocal(2) == 0.5
    with pytest.raises(ZeroDivisionError):
        reciprocal(0)
    assert reciprocal.compiled


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compiled_step_is_the_step(batch: Batch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tspmz"):
        compiled, gradient = stepped(batch, "attention", steps=2, learner__compile=True)
    assert not caplog.records
    plain, expected = stepped(batch, "attention", steps=2)
    assert compiled.metrics == pytest.approx(plain.metrics, rel=1e-4, abs=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5)


def test_tensors_hold_what_the_array_held() -> None:
    array = np.arange(12.0).reshape(3, 4)
    assert torch.equal(to_device(array[:, ::2], CPU), torch.tensor([[0.0, 2.0], [4.0, 6.0], [8.0, 10.0]]).double())


def expanded(device: str, compiled: bool) -> list[np.ndarray]:
    """What a search asks of the network, twice, since the first call of a compiled one may be another."""
    network = tiny_network("attention", N).to(device).eval()
    coordinates, first, current, legal = (values.numpy() for values in random_states(2, 3, N))
    model = SearchModel(network, 3, device, compiled=compiled)
    model.encode(coordinates)
    model.initial(first, current, legal)
    legal = legal.reshape(6, N)
    actions = legal.argmax(axis=1)
    outputs = [model.recurrent(np.zeros(6, np.int64), actions, node, legal) for node in (1, 2)]
    return [part for output in outputs for part in output if part is not None]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compiled_expansion_is_the_expansion(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tspmz"):
        compiled = expanded("cpu", compiled=True)
    assert not caplog.records
    for one, other in zip(compiled, expanded("cpu", compiled=False), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@gpu
@needs_cuda
def test_compiled_expansion_on_a_gpu_is_that_of_the_cpu() -> None:
    for one, other in zip(expanded("cuda", compiled=True), expanded("cpu", compiled=False), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@gpu
@needs_cuda
@pytest.mark.parametrize("values", [{"precision": "tf32"}, {"precision": "bf16"}, {"compile": True}])
def test_step_on_a_gpu_is_that_of_the_cpu_but_for_rounding(batch: Batch, values: dict[str, Any]) -> None:
    chosen = {f"learner__{name}": value for name, value in values.items()}
    assert_same_but_for_rounding(stepped(batch, "attention", "cuda", 2, **chosen), stepped(batch, "attention", steps=2))
