"""What the workers of peers have in common: requests as lines of JSON on stdin, answers on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def serve(load: Callable[[], tuple[str, Mapping[str, Callable[..., Any]]]]) -> None:
    """Answer requests until stdin ends.

    Args:
        load: imports the peer and returns its version and its handlers by name; their arguments and results are what
            JSON can hold.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not mix with the answers

    def answer(**content: Any) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        version, handlers = load()
    except Exception as error:  # a package that does not load is as good as missing
        answer(missing=f"{type(error).__name__}: {error}")
        return
    answer(result={"version": version})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            result = handlers[request["operation"]](**request["arguments"])
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")
        else:
            answer(result=result)


def seconds_of(calls: int, function: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that so many calls take; `time.process_time` counts CPU time alone."""
    started = clock()
    for _ in range(calls):
        function()
    return clock() - started
