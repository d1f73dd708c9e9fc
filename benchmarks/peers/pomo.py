"""POMO as rl4co has it, trained for so many minutes and measured; run by a Python that has rl4co.

    PYTHON benchmarks/peers/pomo.py --cities 20 --minutes 4 --seed 0 --instances a.npy --out DIR

rl4co's `TSPEnv` and `AttentionModelPolicy` (128 wide, 3 layers, instance norm, no graph context, as POMO uses it),
batches of 32 new instances from all starts, the shared baseline of POMO (Kwon et al. 2020, equation 4), Adam with 5e-4,
constant and then linear to 0 over the last 30 % of the budget. Loading libraries and measuring cost none of the
budget. At `--points` times, the last of them the end, the greedy tours of every instance file are measured: from one
start, from all, from all in 8 symmetries (rl4co's `dihedral8`). Writes `points.json`: a list of {minutes, train_steps,
lengths: {file: {one start | all starts | all starts x 8: [I]}}, seconds: the same with seconds of decoding}.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rl4co.data.transforms import StateAugmentation
from rl4co.envs import TSPEnv
from rl4co.models.zoo.am import AttentionModelPolicy
from rl4co.utils.ops import unbatchify
from tensordict import TensorDict

_BATCH = 32
_LEARNING_RATE = 5e-4
_DECAY_FROM = 0.7
_TOURS_AT_ONCE = 20_000


class Trainer:
    """POMO's training loop, with a clock that stands still while others use the machine.

    Args:
        num_cities: N.
        seed: of weights and instances.
        seconds: the budget.
    """

    def __init__(self, num_cities: int, seed: int, seconds: float) -> None:
        torch.manual_seed(seed)
        self.env = TSPEnv(generator_params={"num_loc": num_cities}, seed=seed)
        self.policy = AttentionModelPolicy(
            env_name=self.env.name, embed_dim=128, num_encoder_layers=3, normalization="instance",
            use_graph_context=False,
        )  # fmt: skip
        self.optimizer = torch.optim.Adam(self.policy.parameters(), lr=_LEARNING_RATE)
        self.num_cities, self.budget, self.used, self.steps = num_cities, seconds, 0.0, 0

    def train_until(self, seconds: float) -> None:
        """Train until so much of the budget is used."""
        self.policy.train()
        while self.used < seconds:
            started = time.perf_counter()
            rate = _LEARNING_RATE * min(1.0, (1.0 - self.used / self.budget) / (1.0 - _DECAY_FROM))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            state = self.env.reset(batch_size=[_BATCH])
            out = self._decode(state, "train", "multistart_sampling")
            reward = unbatchify(out["reward"], self.num_cities)
            log_likelihood = unbatchify(out["log_likelihood"], self.num_cities)
            loss = -((reward - reward.mean(dim=1, keepdim=True)) * log_likelihood).mean()
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0)
            self.optimizer.step()
            self.steps += 1
            self.used += time.perf_counter() - started

    def _decode(self, state: TensorDict, phase: str, how: str) -> dict[str, torch.Tensor]:
        return self.policy(state, self.env, phase=phase, num_starts=self.num_cities, decode_type=how)

    @torch.no_grad()
    def measure(self, coordinates: torch.Tensor) -> tuple[dict[str, list[float]], dict[str, float]]:
        """Lengths `[I]` and seconds by way of decoding."""
        self.policy.eval()
        found: dict[str, list[float]] = {}
        seconds: dict[str, float] = {}
        for name, augment in (("all starts", 1), ("all starts x 8", 8)):
            started = time.perf_counter()
            at_once = _TOURS_AT_ONCE // self.num_cities // augment
            rewards = torch.cat([self._rewards(part, augment) for part in coordinates.split(at_once)])
            seconds[name] = time.perf_counter() - started
            found[name] = (-rewards.amax(dim=(1, 2))).tolist()
            if augment == 1:
                found["one start"] = (-rewards[:, 0, 0]).tolist()
        return found, seconds

    def _rewards(self, coordinates: torch.Tensor, augment: int) -> torch.Tensor:
        """`[I, augment, N]`."""
        count = len(coordinates)
        state = self.env.reset(TensorDict({"locs": coordinates}, batch_size=[count]))
        if augment > 1:
            state = StateAugmentation(num_augment=augment, augment_fn="dihedral8", first_aug_identity=True)(state)
        out = self._decode(state, "test", "multistart_greedy")
        return unbatchify(out["reward"], (augment, self.num_cities)).reshape(count, augment, self.num_cities)


def main() -> None:
    """Train and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cities", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--instances", type=Path, nargs="+", required=True, help="npy files, [I, N, 2]")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    sets = {path.stem: torch.from_numpy(np.load(path).astype(np.float32)) for path in options.instances}
    trainer = Trainer(options.cities, options.seed, 60.0 * options.minutes)
    points: list[dict[str, Any]] = []
    for point in range(1, options.points + 1):
        trainer.train_until(trainer.budget * point / options.points)
        measured = {name: trainer.measure(coordinates) for name, coordinates in sets.items()}
        points.append(
            {
                "minutes": trainer.used / 60.0,
                "train_steps": trainer.steps,
                "lengths": {name: lengths for name, (lengths, _) in measured.items()},
                "seconds": {name: seconds for name, (_, seconds) in measured.items()},
            }
        )
        print(f"{points[-1]['minutes']:.2f} minutes, {trainer.steps} steps", flush=True)
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "points.json").write_text(json.dumps(points), encoding="utf-8")


if __name__ == "__main__":
    main()
