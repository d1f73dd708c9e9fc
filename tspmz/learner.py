"""The learner: one optimizer step on a sampled batch; what it needs to go on exactly where it stopped."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from tspmz.acceleration import Compiled, lower_precision, to_device
from tspmz.fitting import Parts
from tspmz.loss import Losses, LossInputs, combined, unroll_loss
from tspmz.network.build import Network
from tspmz.rng import generator_for
from tspmz.tsp import symmetry
from tspmz.types import Batch, Float64, Int64


class StepReport(NamedTuple):
    """What one train step did.

    Attributes:
        finite: False where the loss or a gradient was not finite; the weights were then left as they were.
        metrics: name -> value, as in docs/metrics.md.
        priorities: `[M]` float64, mean absolute value error of each group.
        position_errors: `[M, T]` float64, the same of each position; NaN where the step had no value.
    """

    finite: bool
    metrics: dict[str, float]
    priorities: Float64
    position_errors: Float64


def learning_rate(
    step: int,
    progress: float,
    *,
    peak: float,
    warmup_steps: int,
    decay: str,
    decay_fraction: float,
    final_fraction: float,
    decay_rate: float,
    decay_steps: int,
) -> float:
    """Learning rate at a train step: linear warm-up, and one of two ways down.

    `cosine`: constant, then a half cosine down to `peak * final_fraction`. `exponential`: times
    `decay_rate ** (step / decay_steps)` (MuZero, appendix G).

    Args:
        step: train steps done.
        progress: share of the run's bound (minutes or steps) that is done, 0..1; 0 where there is no bound.
        Others: see `config.LearnerConfig`.
    """
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    if decay == "exponential":
        return peak * warm * decay_rate ** (step / decay_steps)  # type: ignore[no-any-return]
    start = 1.0 - decay_fraction
    down = min(max((progress - start) / decay_fraction, 0.0), 1.0) if decay_fraction else 0.0
    return peak * warm * (final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * down)))


class Learner:
    """Network, optimizer and the rules of a train step; knows no process and no clock.

    Attributes:
        network: being trained.
        train_steps: updates done.
        attempts: updates tried; those that were skipped count too, so that none is tried twice with the same numbers.
        bad_steps_in_a_row: updates skipped since the last good one.
        rate_factor: on the learning rate; below 1 after a rollback.

    Args:
        network: trained in place; moved to `device`.
        device: where to train.
        seed: the run's seed: symmetries and positions of a step are drawn from it and the step's number.
        Others: see `config.LearnerConfig`.
    """

    def __init__(
        self,
        network: Network,
        device: torch.device | str,
        seed: int,
        *,
        optimizer: str,
        momentum: float,
        weight_decay: float,
        learning_rate: float,
        warmup_steps: int,
        decay: str,
        decay_fraction: float,
        final_rate_fraction: float,
        decay_rate: float,
        decay_steps: int,
        max_grad_norm: float,
        unroll_steps: int,
        positions: int,
        unroll_positions: int,
        value_loss_weight: float,
        reward_loss_weight: float,
        entropy_bonus: float,
        dynamics_gradient_scale: float,
        augment: bool,
        precision: str = "float32",
        compile: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.network = network
        self.module: torch.nn.Module = network.to(self.device)  # type: ignore[attr-defined]
        self.train_steps = 0
        self.attempts = 0
        self.bad_steps_in_a_row = 0
        self.rate_factor = 1.0
        self._seed = seed
        self._positions = positions
        self._unroll_positions = unroll_positions
        self._augment = augment
        self._precision = precision
        self._compiled_loss = Compiled(unroll_loss, self.device, "learner.compile") if compile else None
        self._parts = Parts("learner.batch_groups")
        self._max_grad_norm = max_grad_norm
        self._schedule = {
            "peak": learning_rate,
            "warmup_steps": warmup_steps,
            "decay": decay,
            "decay_fraction": decay_fraction,
            "final_fraction": final_rate_fraction,
            "decay_rate": decay_rate,
            "decay_steps": decay_steps,
        }
        self._loss_settings = {
            "unroll_steps": unroll_steps,
            "value_loss_weight": value_loss_weight,
            "reward_loss_weight": reward_loss_weight,
            "entropy_bonus": entropy_bonus,
            "dynamics_gradient_scale": dynamics_gradient_scale,
        }
        self._optimizer = _make_optimizer(
            optimizer, _decay_groups(self.module, weight_decay), learning_rate, momentum
        )

    def step(self, batch: Batch, progress: float) -> StepReport:
        """One optimizer step on `batch`; `progress` as for `learning_rate`."""
        rate = self.rate_factor * learning_rate(self.train_steps, progress, **self._schedule)  # type: ignore[arg-type]
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        inputs = self._inputs(batch)
        losses = self._parts.run(len(batch.coordinates), lambda parts: self._gradients(inputs, parts))
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), self._max_grad_norm)
        metrics = _metrics(losses, norm, rate)
        self.attempts += 1
        finite = math.isfinite(metrics["total_loss"]) and math.isfinite(metrics["gradient_norm"])
        if finite:
            self._optimizer.step()
            self.train_steps += 1
            self.bad_steps_in_a_row = 0
        else:
            self.bad_steps_in_a_row += 1
        return StepReport(finite, metrics, *_priorities(losses))

    def _gradients(self, inputs: LossInputs, parts: list[slice]) -> Losses:
        """Leave the gradients of a batch with the weights, one part of its groups after the other."""
        loss = unroll_loss if self._compiled_loss is None else self._compiled_loss
        self._optimizer.zero_grad(set_to_none=True)
        found, shares = [], []
        for part in parts:
            chosen = LossInputs._make(None if field is None else field[part] for field in inputs)
            with lower_precision(self.device, self._precision):
                losses = loss(self.network, chosen, **self._loss_settings)  # type: ignore[arg-type]
            shares.append((part.stop - part.start) / len(inputs.coordinates))
            (losses.total * shares[-1]).backward()  # type: ignore[no-untyped-call]
            # copies: what is compiled into a CUDA graph writes those of the next part to the same place
            found.append(Losses(*(value.detach().clone() for value in losses)))
        return combined(found, shares)

    def _inputs(self, batch: Batch) -> LossInputs:
        rng = generator_for(self._seed, "augmentation", 0, self.attempts)
        coordinates = batch.coordinates
        if self._augment:
            coordinates = symmetry.apply_each(coordinates, rng.integers(8, size=len(coordinates)))
        positions = batch.positions
        if positions is None:
            positions = _draw(rng, len(coordinates), batch.rewards.shape[2], self._positions)
        unrolled = _draw(rng, len(coordinates), positions.shape[1], self._unroll_positions)
        return LossInputs(
            coordinates=to_device(coordinates, self.device),
            tours=to_device(batch.tours, self.device),
            rewards=to_device(batch.rewards, self.device),
            prior_log_probs=to_device(batch.prior_log_probs, self.device),
            value_targets=to_device(batch.value_targets, self.device),
            policy_targets=None if batch.policy_targets is None else to_device(batch.policy_targets, self.device),
            policy_weights=to_device(batch.policy_weights, self.device),
            importance_weights=to_device(batch.importance_weights, self.device),
            positions=to_device(positions, self.device),
            unrolled=to_device(unrolled, self.device),
            position_weights=None if batch.position_weights is None else to_device(batch.position_weights, self.device),
        )

    def state(self) -> dict[str, Any]:
        """Weights, optimizer and counters as tensors and plain values (copies on the CPU)."""
        return {
            "network": {name: value.detach().cpu().clone() for name, value in self.module.state_dict().items()},
            "optimizer": _to_cpu(self._optimizer.state_dict()),
            "train_steps": self.train_steps,
            "attempts": self.attempts,
            "bad_steps_in_a_row": self.bad_steps_in_a_row,
            "rate_factor": self.rate_factor,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            RuntimeError: the weights are of another network.
        """
        self._load_weights(state)
        self.train_steps = int(state["train_steps"])
        self.attempts = int(state["attempts"])
        self.bad_steps_in_a_row = int(state["bad_steps_in_a_row"])
        self.rate_factor = float(state.get("rate_factor", 1.0))  # checkpoints of 0.1.0 before it have none

    def roll_back(self, state: dict[str, Any], rate_factor: float) -> None:
        """Take weights and optimizer from an earlier `state`, and go on more slowly. Counters stay: no number of a
        step is given twice, and no batch is tried twice with the same symmetries.

        Args:
            state: what `state` gave.
            rate_factor: on the present learning rate.
        """
        self._load_weights(state)
        self.bad_steps_in_a_row = 0
        self.rate_factor *= rate_factor


    def _load_weights(self, state: dict[str, Any]) -> None:
        """Weights and the optimizer's averages; its settings stay those of this learner: a resume may change them."""
        kept = ("weight_decay", "momentum")
        chosen = [{key: group[key] for key in group if key in kept} for group in self._optimizer.param_groups]
        self.module.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        for group, settings in zip(self._optimizer.param_groups, chosen, strict=True):
            group.update(settings)


def _draw(rng: np.random.Generator, rows: int, total: int, count: int) -> Int64:
    """`[rows, count]` int64: in each row `count` of `0 .. total - 1` in order, without repetition; 0 = all."""
    everything = np.arange(total)[None].repeat(rows, axis=0)
    if not 0 < count < total:
        return everything
    return np.sort(rng.permuted(everything, axis=1)[:, :count], axis=1)


def _make_optimizer(
    kind: str, groups: list[dict[str, Any]], learning_rate: float, momentum: float
) -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=momentum)
    if kind == "adam":
        return torch.optim.Adam(groups, lr=learning_rate, fused=True)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)


def _decay_groups(module: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and other vectors do not."""
    matrices = [p for p in module.parameters() if p.dim() >= 2]
    vectors = [p for p in module.parameters() if p.dim() < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _priorities(losses: Losses) -> tuple[Float64, Float64]:
    """Those of the groups and those of their positions, in one transfer from the device."""
    both = torch.cat((losses.priorities.unsqueeze(1), losses.position_errors), dim=1).double().cpu().numpy()
    return both[:, 0], both[:, 1:]


def _metrics(losses: Losses, norm: torch.Tensor, rate: float) -> dict[str, float]:
    """All scalars of a step in one transfer from the device."""
    values = {
        "total_loss": losses.total.detach(),
        "policy_loss": losses.policy,
        "value_loss": losses.value,
        "reward_loss": losses.reward,
        "policy_entropy": losses.entropy,
        "value_error": losses.value_error,
        "reward_error": losses.reward_error,
        "gradient_norm": norm,
    }
    numbers = torch.stack([value.float() for value in values.values()]).tolist()
    return dict(zip(values, numbers, strict=True)) | {"learning_rate": rate}


def _to_cpu(tree: Any) -> Any:
    """A copy of nested dictionaries and lists with their tensors on the CPU."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().cpu().clone()
    if isinstance(tree, dict):
        return {key: _to_cpu(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_to_cpu(value) for value in tree]
    return tree
