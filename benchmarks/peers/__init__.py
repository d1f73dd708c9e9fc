"""Other projects that tspmz is measured beside, each in a process of an environment of its own.

    python -m benchmarks.peers

makes that environment (`.peers` in the checkout, or the folder that TSPMZ_PEERS names) with the versions of `pins.txt`.
Without it, or without one of the packages, rows say that the peer is not installed, and nothing fails.

A module here is either this side (`client.py`), common to the workers (`worker.py`), or the worker of one peer. Workers
are run by the Python of the environment and import nothing of tspmz. `pomo.py` needs rl4co, which `pins.txt` does not
hold: `benchmarks/learning.py` is told the Python of an environment that has it.
"""
