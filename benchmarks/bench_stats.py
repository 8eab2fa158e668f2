"""Cost of chunk statistics: nanoseconds per byte for each dtype, beside plain NumPy.

Run ``python benchmarks/bench_stats.py``; the best of a few repeats is printed.  With
``HUBZARR_NATIVE=0`` the NumPy kernels are measured.
"""

from __future__ import annotations

import threading
import time

import numpy as np

from hubzarr import stats
from hubzarr.stats import native


def best(call, repeats=7):
    """Seconds of the fastest call."""
    call()
    found = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        found = min(found, time.perf_counter() - start)
    return found


def plain(x, axis=None):
    """The same statistics by single NumPy calls: the variant that was replaced."""
    return x.min(axis), x.max(axis), x.sum(axis), x.mean(axis), x.var(axis)


def side_by_side(call, repeats=20):
    """Seconds of a call while another thread does the same."""
    found = []

    def work():
        barrier.wait()
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        found.append((time.perf_counter() - start) / repeats)

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(found)


def show(label, seconds, nbytes, reference):
    """Print one line."""
    print(
        f"{label:34s} {seconds * 1e6:10.1f} us {seconds / nbytes * 1e9:7.3f} ns/byte"
        f"   numpy {reference / nbytes * 1e9:7.3f}"
    )


def sample(rng, dtype, shape):
    """Random data of one dtype."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def main():
    """Measure all."""
    print("kernels:", "NumPy" if native.fill is native.refuse else "compiled")
    rng = np.random.default_rng(0)
    for dtype in ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]:
        x = sample(rng, dtype, 1 << 20)
        show(
            f"{x.dtype} 1M",
            best(lambda x=x: stats.measure(x)),
            x.nbytes,
            best(lambda x=x: plain(x), 2),
        )
    for dtype in ("u1", "u2", "f4"):
        x = sample(rng, dtype, (1024, 1024, 3))
        show(
            f"{x.dtype} RGB 1024x1024x3",
            best(lambda x=x: stats.measure(x, 3)),
            x.nbytes,
            best(lambda x=x: plain(x, (0, 1)), 2),
        )
    for dtype, shape in [("u1", (1024, 1024)), ("u1", (1024, 1024, 3)), ("f4", (1024, 1024))]:
        x = sample(rng, dtype, shape)
        count = shape[2] if len(shape) > 2 else 1
        seconds = side_by_side(lambda x=x, count=count: stats.measure(x, count))
        print(f"two threads, {x.dtype} {shape}: {seconds / x.nbytes * 1e9:.3f} ns/byte each")
    x = np.where(rng.random(1 << 20) < 0.3, np.nan, rng.normal(size=1 << 20)).astype("f4")
    show(
        "float32 1M, 30 % NaN", best(lambda: stats.measure(x)), x.nbytes, best(lambda: plain(x), 2)
    )
    for dtype in ("i4", "f4", "u1"):
        x = sample(rng, dtype, 16)
        seconds = best(lambda x=x: [stats.measure(x) for _ in range(1000)]) / 1000
        show(f"{x.dtype} 16 elements", seconds, x.nbytes, best(lambda x=x: plain(x)))
    rows = np.concatenate([stats.measure(sample(rng, "f4", 100)) for _ in range(1000)])
    rows = np.tile(rows, 1000)
    print(f"combine 1e6 rows: {best(lambda: stats.combine(rows), 3) * 1e3:.1f} ms")
    few = rows[:4, None]
    print(f"combine 4 rows: {best(lambda: stats.combine(few)) * 1e6:.1f} us")
    one = few[0, 0]
    seconds = best(lambda: stats.finish(one, "mean", input_dtype="f4"))
    print(f"finish mean: {seconds * 1e6:.1f} us")
    block = sample(rng, "f4", (2048, 2048))
    for side in (4, 16, 64, 256):
        seconds = best(lambda side=side: stats.measure_many(block, (side, side)), 3)
        count = (2048 // side) ** 2
        print(f"measure_many float32 {side}x{side}: {seconds / count * 1e6:.2f} us per chunk")
    small = rng.integers(0, 1000, 1 << 20)
    show(
        "int64 1M, small",
        best(lambda: stats.measure(small)),
        small.nbytes,
        best(lambda: plain(small)),
    )


if __name__ == "__main__":
    main()
