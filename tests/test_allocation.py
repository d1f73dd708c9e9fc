"""Freed memory stays with the process, unless the user has said otherwise."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

TAKEN_AGAIN = """
import resource
import numpy as np
from tspmz.allocation import keep_freed_memory

def take():
    blocks = [np.ones(2**18) for _ in range(16)]  # 2 MiB each, freed together

took_effect = keep_freed_memory()
take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
take()
print(took_effect, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 16 * 2**21 // 4096

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")


def effect_and_faults(**variables: str) -> tuple[bool, int]:
    inherited = {name: value for name, value in os.environ.items() if "MALLOC" not in name and "GLIBC" not in name}
    printed = subprocess.run(
        [sys.executable, "-c", TAKEN_AGAIN], env=inherited | variables, capture_output=True, text=True, check=True
    ).stdout.split()
    return printed[0] == "True", int(printed[1])


def test_blocks_that_were_freed_are_taken_again_without_page_faults() -> None:
    took_effect, faults = effect_and_faults()
    assert took_effect
    assert faults < PAGES // 50


@pytest.mark.parametrize(
    "variables",
    [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}],
    ids=["variable", "tunable"],
)
def test_what_the_user_has_set_holds(variables: dict[str, str]) -> None:
    took_effect, faults = effect_and_faults(**variables)
    assert not took_effect
    assert faults > PAGES // 2
