"""What only a new process can show: imports, cold opens, peak memory.

`call` runs this file as a script; the answer is one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

CHUNK_ROWS = 4
BLOCK_ROWS = 16


def call(*arguments):
    """The answer of a new process."""
    command = [sys.executable, __file__, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def import_seconds(module):
    """Seconds of an import."""
    start = time.perf_counter()
    importlib.import_module(module)
    return time.perf_counter() - start


def cold(name, path, index):
    """Seconds to open an array and read one element; imports are not counted."""
    from rivals import installed

    rival = installed([name])[name]
    importlib.import_module("hubzarr.api" if name == "hubzarr" else rival.needs)
    importlib.import_module("zarr")
    with rival.active():
        start = time.perf_counter()
        a = rival.open(path)
        rival.read(a, int(index))
        return time.perf_counter() - start


def resident(what="VmRSS"):
    """Bytes of this process that are in memory now (VmRSS) or were at most (VmHWM)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # no Linux
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    line = next(line for line in status.splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


def memory(what, path, total, limit):
    """Peak memory of one operation above what the process had before it, and its seconds."""
    import numpy as np

    import hubzarr as hub
    import hubzarr.api

    hub.configure(cache_bytes=int(limit), buffer_bytes=int(limit))
    rows, name = int(total) >> 20, path + "/:v0"
    rng = np.random.default_rng(0)
    block = rng.integers(0, 40, (BLOCK_ROWS, 1024, 1024), dtype=np.uint8)
    # One small array first, so that threads, codecs and imports are part of what was before.
    warm = hub.array((64, 64), path + "-warm/:v0", dtype="uint8", exist_ok=True)
    warm[...] = 1
    warm.flush()
    if what == "write":
        chunks = (CHUNK_ROWS, 1024, 1024)
        a = hub.array((rows, 1024, 1024), name, dtype="uint8", chunks=chunks, shards=None)
    else:
        a = hub.load(name, mode="r")
    before, start = resident(), time.perf_counter()
    if what == "write":
        for i in range(0, rows, BLOCK_ROWS):
            a[i : i + BLOCK_ROWS] = block
        a.close()
    elif what == "read":
        for i in range(0, rows, BLOCK_ROWS):
            block[...] = a[i : i + BLOCK_ROWS]
    else:
        a[1:, 1:, 1:].std()
    seconds = time.perf_counter() - start
    return {"peak": max(0, resident("VmHWM") - before), "seconds": seconds}


PROBES = {"import": import_seconds, "cold": cold, "memory": memory}

if __name__ == "__main__":
    print(json.dumps(PROBES[sys.argv[1]](*sys.argv[2:])))
