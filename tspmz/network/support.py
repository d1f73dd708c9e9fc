"""The categorical value and reward: scaled atoms, two-hot targets, expectations."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 0.001
"""Linear part of `transform` (MuZero, appendix F; Pohlen et al. 2018, eq. 2)."""


def transform(scalars: Tensor) -> Tensor:
    """h(x) = sign(x) (sqrt(|x| + 1) - 1) + epsilon x, any shape (MuZero, appendix F)."""
    return torch.sign(scalars) * (torch.sqrt(scalars.abs() + 1) - 1) + EPSILON * scalars


def inverse_transform(scaled: Tensor) -> Tensor:
    """The inverse of `transform`, any shape (Pohlen et al. 2018, proposition A.2).

    The published form, `((root - 1) / (2 epsilon)) ** 2 - 1`, loses three digits in float32 where `scaled` is small:
    it subtracts numbers that are nearly equal, twice. Here both differences are rearranged.
    """
    shifted = scaled.abs() + 1 + EPSILON
    base = 2 * shifted / (torch.sqrt(1 + 4 * EPSILON * shifted) + 1)  # sqrt(|x| + 1)
    return torch.sign(scaled) * (base - 1) * (base + 1)


class Support(torch.nn.Module):
    """Atoms `step * (-size .. size)` in the space after `transform`; C = 2 * size + 1.

    Args:
        size: atoms on each side of zero.
        step: distance between two atoms.
    """

    atoms: Tensor

    def __init__(self, size: int, step: float) -> None:
        super().__init__()
        self.size = size
        self.step = step
        self.register_buffer("atoms", step * torch.arange(-size, size + 1, dtype=torch.float32), persistent=False)

    @property
    def num_atoms(self) -> int:
        """C."""
        return 2 * self.size + 1

    @property
    def largest(self) -> float:
        """The largest scalar that it can tell; the smallest is minus that."""
        return float(inverse_transform(torch.tensor(self.size * self.step)))

    def to_scalar(self, logits: Tensor) -> Tensor:
        """Expected value of `logits [..., C]`, mapped back to the original scale: `[...]` float32."""
        with torch.autocast(logits.device.type, enabled=False):  # in bfloat16 small values would be lost
            return inverse_transform(torch.softmax(logits.float(), dim=-1) @ self.atoms)

    def two_hot(self, scalars: Tensor) -> tuple[Tensor, Tensor]:
        """The two-hot target of `scalars [...]`: lower atom's index and the upper atom's probability, each `[...]`.

        Values outside the support are clipped to its ends.
        """
        position = (transform(scalars) / self.step + self.size).clamp(0, 2 * self.size)
        lower = position.floor().clamp(max=2 * self.size - 1)
        # a target that is not finite must make the loss NaN, which skips the step, not an index out of range
        return lower.nan_to_num(0.0).long(), position - lower

    def cross_entropy(self, logits: Tensor, scalars: Tensor) -> Tensor:
        """Cross entropy `[...]` of `logits [..., C]` against the two-hot target of `scalars [...]`."""
        lower, upper_probability = self.two_hot(scalars)
        log_probs = torch.log_softmax(logits, dim=-1)
        at_lower = log_probs.gather(-1, lower.unsqueeze(-1)).squeeze(-1)
        at_upper = log_probs.gather(-1, lower.unsqueeze(-1) + 1).squeeze(-1)
        return -(at_lower * (1 - upper_probability) + at_upper * upper_probability)
