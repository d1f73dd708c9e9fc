"""The learner: schedule, skipped steps, repeatable to the last bit, symmetries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_helpers import KINDS, tiny_network
from process_helpers import TinyRun, tiny_config

from tspmz.learner import Learner, learning_rate
from tspmz.settings import learner_settings
from tspmz.tsp.tours import tour_lengths
from tspmz.types import Batch

N = 5
SCHEDULE = {
    "peak": 2.0, "warmup_steps": 10, "decay": "cosine", "decay_fraction": 0.5, "final_fraction": 0.1,
    "decay_rate": 0.25, "decay_steps": 100,
}  # fmt: skip


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    run = TinyRun(tmp_path_factory.mktemp("run"), played=8)
    return [run.loop.buffer.sample(np.random.default_rng(i)) for i in range(10)]


def make_learner(kind: str = "attention", seed: int = 0, **values: Any) -> Learner:
    settings = learner_settings(tiny_config(**{"learner__warmup_steps": 0, **values}))
    return Learner(tiny_network(kind, N).train(), "cpu", seed, **settings)


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([value.flatten() for value in learner.module.state_dict().values()])


@pytest.mark.parametrize(
    ("step", "progress", "rate"),
    [
        (0, 0.0, 0.2), (4, 0.0, 1.0), (9, 0.3, 2.0), (500, 0.5, 2.0), (500, 0.75, 1.1), (500, 1.0, 0.2),
        (500, 2.0, 0.2), (4, 0.75, 0.55),
    ],
)  # fmt: skip
def test_learning_rate_warms_up_and_decays_as_by_hand(step: int, progress: float, rate: float) -> None:
    assert learning_rate(step, progress, **SCHEDULE) == pytest.approx(rate)  # type: ignore[arg-type]


def test_learning_rate_without_warmup_and_decay_is_constant() -> None:
    plain = {**SCHEDULE, "warmup_steps": 0, "decay_fraction": 0.0}
    assert {learning_rate(s, p, **plain) for s in (0, 7) for p in (0.0, 0.9, 1.0)} == {2.0}  # type: ignore[arg-type]


@pytest.mark.parametrize(("step", "rate"), [(0, 0.2), (50, 1.0), (100, 0.5), (200, 0.125)])
def test_exponential_decay_has_the_rates_by_hand(step: int, rate: float) -> None:
    exponential = {**SCHEDULE, "decay": "exponential"}
    rates = [learning_rate(step, progress, **exponential) for progress in (0.0, 1.0)]  # type: ignore[arg-type]
    assert rates == pytest.approx([rate, rate])


def test_optimizers_step_as_by_hand(batches: list[Batch]) -> None:
    """First two steps of SGD with momentum; adam and adamw differ in weight decay only by where it enters."""
    settings: dict[str, Any] = {
        "learner__optimizer": "sgd", "learner__momentum": 0.5, "learner__weight_decay": 0.25,
        "learner__learning_rate": 0.01, "learner__max_grad_norm": 1e6, "learner__decay_fraction": 0.0,
    }  # fmt: skip
    learner = make_learner(**settings)
    matrix = next(p for p in learner.module.parameters() if p.dim() == 2)
    vector = next(p for p in learner.module.parameters() if p.dim() == 1)
    velocity = {}
    for batch in batches[:2]:
        before = {p: p.detach().clone() for p in (matrix, vector)}
        learner.step(batch, 0.0)
        for parameter, decay in ((matrix, 0.25), (vector, 0.0)):
            assert parameter.grad is not None
            gradient = parameter.grad + decay * before[parameter]
            velocity[parameter] = gradient + 0.5 * velocity.get(parameter, torch.zeros(()))
            torch.testing.assert_close(parameter.detach(), before[parameter] - 0.01 * velocity[parameter])


def test_adam_decays_through_the_gradient_and_adamw_beside_it(batches: list[Batch]) -> None:
    decayed = {}
    for kind in ("adam", "adamw"):
        learners = [
            make_learner(learner__optimizer=kind, learner__learning_rate=0.01, learner__weight_decay=decay)
            for decay in (0.0, 0.5)
        ]
        for learner in learners:
            learner.step(batches[0], 0.0)
        before = next(p for p in make_learner().module.parameters() if p.dim() == 2).detach()
        plain, with_decay = (next(p for p in one.module.parameters() if p.dim() == 2).detach() for one in learners)
        decayed[kind] = (with_decay - plain, before)
    difference, before = decayed["adamw"]
    torch.testing.assert_close(difference, -0.01 * 0.5 * before, atol=1e-6, rtol=1e-3)
    difference, _ = decayed["adam"]
    assert not torch.allclose(difference, -0.01 * 0.5 * before, atol=1e-4)


def test_step_uses_the_rate_of_its_number(batches: list[Batch]) -> None:
    learner = make_learner(learner__warmup_steps=4, learner__learning_rate=0.4)
    rates = [learner.step(batches[0], 0.0).metrics["learning_rate"] for _ in range(5)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])


@pytest.mark.parametrize("field", ["coordinates", "policy_weights", "importance_weights"])
def test_batch_with_nan_leaves_the_weights_and_is_counted(batches: list[Batch], field: str) -> None:
    learner = make_learner()
    assert learner.step(batches[0], 0.0).finite
    before = learner.state()
    report = learner.step(batches[0]._replace(**{field: np.full_like(getattr(batches[0], field), np.nan)}), 0.0)
    after = learner.state()
    assert not report.finite
    assert all(torch.equal(after["network"][name], before["network"][name]) for name in after["network"])
    assert [after[name] for name in ("train_steps", "attempts", "bad_steps_in_a_row")] == [1, 2, 1]
    assert learner.step(batches[1], 0.0).finite
    assert (learner.train_steps, learner.attempts, learner.bad_steps_in_a_row) == (2, 3, 0)


@pytest.mark.parametrize(("unroll_steps", "rtol"), [(0, 1e-4), (2, 0.05)])
def test_batch_in_parts_gives_the_step_of_the_whole(batches: list[Batch], unroll_steps: int, rtol: float) -> None:
    """Exactly without an unroll; with one up to how many states past the end each part happens to have."""
    batch, settings = batches[0], {"learner__unroll_steps": unroll_steps, "learner__max_grad_norm": 1e6}
    assert len(batch.coordinates) == 2
    whole, parted = make_learner(**settings), make_learner(**settings)
    parted._parts.count = 2
    reports = [learner.step(batch, 0.0) for learner in (whole, parted)]
    for name in ("total_loss", "policy_loss", "value_loss", "reward_loss", "policy_entropy", "value_error"):
        assert reports[1].metrics[name] == pytest.approx(reports[0].metrics[name], rel=rtol, abs=1e-5)
    np.testing.assert_allclose(reports[1].priorities, reports[0].priorities, rtol=1e-4)
    np.testing.assert_allclose(reports[1].position_errors, reports[0].position_errors, rtol=1e-4)
    one, other = (
        torch.cat([p.grad.flatten() for p in learner.module.parameters() if p.grad is not None])
        for learner in (whole, parted)
    )
    assert torch.linalg.norm(other - one) < rtol * torch.linalg.norm(one)


def test_step_that_was_skipped_leaves_no_trace_in_the_next_one(batches: list[Batch]) -> None:
    nan = np.full_like(batches[0].policy_weights, np.nan)
    # so that nothing is drawn by the attempt's number
    settings: dict[str, Any] = {"learner__augment": False, "learner__unroll_positions": 0}
    spoiled, sound = make_learner(**settings), make_learner(**settings)
    spoiled.step(batches[0]._replace(policy_weights=nan), 0.0)
    for learner in (spoiled, sound):
        learner.step(batches[1], 0.0)
    assert torch.equal(weights(spoiled), weights(sound))


@pytest.mark.parametrize("kind", KINDS)
def test_learners_with_one_seed_are_equal_bit_by_bit(batches: list[Batch], kind: str) -> None:
    one, same, other = (make_learner(kind, seed, learner__positions=2) for seed in (0, 0, 1))
    for learner in (one, same, other):
        for batch in batches[:5]:
            assert learner.step(batch, 0.1).finite
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))  # other symmetries and positions


@pytest.mark.parametrize("kind", KINDS)
def test_learner_goes_on_from_its_state_bit_by_bit(batches: list[Batch], kind: str) -> None:
    straight, before, after = (make_learner(kind, learner__warmup_steps=20) for _ in range(3))
    for batch in batches[:3]:
        straight.step(batch, 0.0)
        before.step(batch, 0.0)
    after.load_state(before.state())
    assert (after.train_steps, after.attempts) == (3, 3)
    for batch in batches[3:6]:
        reports = [learner.step(batch, 0.0) for learner in (straight, after)]
        assert reports[0].metrics == reports[1].metrics
    assert torch.equal(weights(straight), weights(after))


def test_state_is_a_copy(batches: list[Batch]) -> None:
    learner = make_learner()
    learner.step(batches[0], 0.0)
    state = learner.state()
    kept = torch.cat([value.flatten() for value in state["network"].values()]).clone()
    moments = state["optimizer"]["state"][0]["exp_avg"].clone()
    learner.step(batches[1], 0.0)
    assert torch.equal(torch.cat([value.flatten() for value in state["network"].values()]), kept)
    assert torch.equal(state["optimizer"]["state"][0]["exp_avg"], moments)


def test_state_of_another_network_is_refused() -> None:
    with pytest.raises(RuntimeError):
        make_learner("fullyconnected").load_state(make_learner("attention").state())


def seen_coordinates(learner: Learner, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """What the network is given to encode in one step."""
    seen: list[np.ndarray] = []
    encode = learner.network.encode

    def watched(points: torch.Tensor) -> Any:
        seen.append(points.numpy().copy())
        return encode(points)

    monkeypatch.setattr(learner.network, "encode", watched)
    learner.step(batch, 0.0)
    return seen[0]


def test_augmentation_keeps_every_tour_length(batches: list[Batch], monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make_learner()
    moved = 0
    for batch in batches:
        seen = seen_coordinates(learner, batch, monkeypatch)
        moved += int((seen != batch.coordinates).any(axis=(1, 2)).sum())
        assert seen.min() >= 0.0
        assert seen.max() <= 1.0
        np.testing.assert_allclose(tour_lengths(seen, batch.tours), -batch.rewards.sum(axis=-1), rtol=1e-5)
    assert moved > len(batches)  # 7 of 8 symmetries move an instance


def test_without_augmentation_instances_stay_as_they_are(
    batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = seen_coordinates(make_learner(learner__augment=False), batches[0], monkeypatch)
    assert np.array_equal(seen, batches[0].coordinates)


def test_positions_are_drawn_in_order_without_repetition(
    batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make_learner(learner__positions=2)
    rows: list[torch.Tensor] = []
    represent = learner.network.representation

    def watched(context: Any, first: Any, current: Any, legal: torch.Tensor, history: Any) -> torch.Tensor:
        rows.append(legal.sum(-1))
        return represent(context, first, current, legal, history)

    monkeypatch.setattr(learner.network, "representation", watched)
    for batch in batches:
        learner.step(batch, 0.0)
    left = torch.stack(rows).unflatten(-1, (-1, 2))  # cities left at the two positions of each episode
    assert (left[..., 0] > left[..., 1]).all()
    assert (left == left[:, :, :1]).all()  # the same positions for all episodes of a group
    assert set(left.flatten().tolist()) == {1.0, 2.0, 3.0, 4.0}


def test_gradients_are_scaled_down_to_the_largest_norm(batches: list[Batch]) -> None:
    learner = make_learner(learner__max_grad_norm=1e-3)
    report = learner.step(batches[0], 0.0)
    norm = torch.stack([p.grad.norm() for p in learner.module.parameters() if p.grad is not None]).norm().item()
    assert report.metrics["gradient_norm"] > 1e-2
    assert norm == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize(
    ("kind", "setting", "before", "after"),
    [("adamw", "weight_decay", 0.1, 0.0), ("sgd", "momentum", 0.9, 0.5), ("adam", "weight_decay", 0.0, 0.2)],
)
def test_settings_of_the_optimizer_may_change_when_a_run_goes_on(
    batches: list[Batch], kind: str, setting: str, before: float, after: float
) -> None:
    first = make_learner(learner__optimizer=kind, **{f"learner__{setting}": before})
    first.step(batches[0], 0.0)
    resumed, fresh = (make_learner(learner__optimizer=kind, **{f"learner__{setting}": after}) for _ in range(2))
    resumed.load_state(first.state())
    chosen = [group[setting] for group in resumed._optimizer.param_groups]
    assert chosen == [group[setting] for group in fresh._optimizer.param_groups]
    assert chosen[0] == after
    resumed.roll_back(first.state(), 0.5)
    assert [group[setting] for group in resumed._optimizer.param_groups] == chosen
