"""Faster arithmetic, by settings: lower precision, compiled steps, copies from pinned memory."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
import torch

from tspmz.fitting import reason_of

_LOG = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


def lower_precision(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Context in which the loss is computed.

    Args:
        device: of the learner.
        precision: `float32`; `tf32`, matrix products of float32 numbers with 10 bits of mantissa where the device is a
            GPU that has them (on a CPU nothing changes); `bf16`, torch's autocast to bfloat16, on both.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
        torch.backends.cudnn.allow_tf32 = precision != "float32"
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def to_device(array: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    """A tensor on the device; to a GPU through pinned memory, so that the copy does not wait for what it computes."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Compiled(Generic[P, R]):
    """A function compiled by torch.compile at its first call, on a GPU with CUDA graphs.

    Where it cannot be compiled (no C++ compiler, an operation that the compiler does not know), the function runs as
    it is from then on, and the log says why.

    Args:
        function: what to compile; its shapes should not change.
        device: where it computes.
        setting: that asks for it, for the log.
    """

    def __init__(self, function: Callable[P, R], device: torch.device, setting: str) -> None:
        self._plain = function
        self._setting = setting
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        self._compiled: Callable[P, R] | None = torch.compile(function, dynamic=False, mode=mode)
        self._proven = False

    @property
    def compiled(self) -> bool:
        """It has not been given up."""
        return self._compiled is not None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result."""
        if self._compiled is None:
            return self._plain(*args, **kwargs)
        torch.compiler.cudagraph_mark_step_begin()  # results of the last call may be overwritten now
        try:
            result = self._compiled(*args, **kwargs)
        except Exception as error:  # the compiler raises many kinds
            if self._proven or isinstance(error, torch.OutOfMemoryError):
                raise
            _LOG.warning("%s: cannot be compiled here and runs as it is: %s", self._setting, reason_of(error))
            self._compiled = None
            return self._plain(*args, **kwargs)
        self._proven = True
        return result
