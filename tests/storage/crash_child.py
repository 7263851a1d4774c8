# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Writes tables in processes that are there to be killed.

Reads a request in JSON from each line of stdin, forks for it, and prints the child's
exit status: the imports, which take a hundred times as long as the write, are paid for
once.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time

import numpy as np

from jax_hps.storage import create_table

NUM_ROWS, DIM = 6000, 32

STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir"}


def blocks(value: float, *, sparse: bool):
    for start in range(0, NUM_ROWS, 1000):
        keys = np.arange(start, start + 1000) * 3 if sparse else None
        yield keys, np.full((1000, DIM), value, np.float32)


def kill_at(step: int) -> None:
    """Kill this process before its `step`-th change to the file system."""
    seen = 0

    def hook(event: str, arguments: object) -> None:
        nonlocal seen
        if event in STEPS:
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def serve(request: dict) -> int:
    if "step" in request:
        kill_at(request["step"])
    if "file_bytes" in request:
        limit = request["file_bytes"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        create_table(
            request["path"],
            blocks(request["value"], sparse=request["sparse"]),
            overwrite=request["overwrite"],
        )
    except OSError as error:
        return error.errno or 255
    return 0


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(serve(request))
        if "kill_after_s" in request:
            time.sleep(request["kill_after_s"])
            os.kill(child, signal.SIGKILL)  # at worst it is waiting to be waited for
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
