"""Child process of `test_read_only`: runs commands as somebody who may read files but not write where it is forbidden.

The super-user may write anywhere; it gives up that power first. Argument: JSON list of lists COMMAND, ARGUMENTS..;
prints JSON: the exit code of each, and what it wrote to stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import sys

_VERSION_3 = 0x20080522
_OVERRIDES = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Powers(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def give_up_powers() -> None:
    """From now on the permissions of files hold for this process, whoever it belongs to."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, powers = _Header(_VERSION_3, 0), (_Powers * 2)()
    if libc.capget(ctypes.byref(header), powers) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    for name in ("effective", "permitted", "inheritable"):
        for bit in _OVERRIDES:
            setattr(powers[0], name, getattr(powers[0], name) & ~(1 << bit))
    if libc.capset(ctypes.byref(header), powers) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def main() -> None:
    from tspmz.cli.command import run_command
    from tspmz.cli.eval import evaluate
    from tspmz.cli.replay import replay
    from tspmz.cli.train import train

    give_up_powers()
    commands = {"eval": evaluate, "replay": replay, "train": train}
    results = []
    for name, *arguments in json.loads(sys.argv[1]):
        code, errors = 0, io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            try:
                run_command(commands[name], arguments)
            except SystemExit as end:
                code = int(end.code or 0)
        results.append((code, errors.getvalue()))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
