"""Timing in turns, and what was measured as tables."""

from __future__ import annotations

import gc
import os
import shutil
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

OURS = "hubzarr"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much work the workloads do."""

    rounds: int = 5
    images: int = 400
    side: int = 256
    samples: int = 96
    small_samples: int = 100_000
    slow_samples: int = 1_000
    random: int = 100
    field: int = 2048
    grids: tuple[int, ...] = (10_000, 100_000)
    icechunk_grid: int = 10_000
    commits: int = 20
    memory: int = 1 << 30
    buffer: int = 64 << 20


QUICK = Sizes(
    rounds=3, images=96, samples=32, small_samples=20_000, slow_samples=200, random=30,
    field=1024, grids=(2_000,), icechunk_grid=2_000, commits=8, memory=256 << 20,
    buffer=32 << 20,
)  # fmt: skip
FULL = Sizes(images=2000, grids=(10_000, 100_000, 1_000_000), field=4096, memory=4 << 30)
TINY = Sizes(
    rounds=1, images=70, side=16, samples=8, small_samples=50, slow_samples=5, random=5,
    field=128, grids=(64,), icechunk_grid=64, commits=3, memory=16 << 20, buffer=4 << 20,
)  # fmt: skip


@dataclass(kw_only=True)
class Row:
    """One piece of work and the seconds that each library took for it, in turns."""

    workload: str
    label: str
    seconds: dict[str, list[float]]
    nbytes: int = 0
    notes: dict[str, str] = field(default_factory=dict)

    def medians(self):
        """Median seconds of each library."""
        return {name: statistics.median(values) for name, values in self.seconds.items()}

    def ratio(self, name):
        """How many times as long a library took as hubzarr."""
        medians = self.medians()
        return medians[name] / medians[OURS] if OURS in medians else float("nan")


class Bench:
    """Collects rows; knows the rivals, the sizes and a directory to work in."""

    def __init__(self, rivals, sizes, directory, show=lambda row: None):
        self.rivals = rivals
        self.sizes = sizes
        self.directory = Path(directory)
        self.show = show
        self.rows = []
        self._count = 0

    def path(self):
        """A path that nothing was stored under."""
        self._count += 1
        return str(self.directory / f"a{self._count}")

    def remove(self, path):
        """Delete what a rival stored at a path."""
        shutil.rmtree(path, ignore_errors=True)
        Path(path + ".h5").unlink(missing_ok=True)

    def those(self, codec="zstd", shards=False, leave_out=()):
        """The rivals that can do something."""
        return [
            rival
            for rival in self.rivals.values()
            if codec in rival.codecs
            and (rival.shards or not shards)
            and rival.name not in leave_out
        ]

    def turns(self, rivals, work, *, rounds=None, warmup=1):
        """Call ``work(rival)`` in turns; it returns seconds by label. Lists by label and name."""
        found = {}
        for turn in range(-warmup, rounds or self.sizes.rounds):
            # The order changes from round to round, so that nobody always follows the same one.
            shift = turn % len(rivals)
            for rival in rivals[shift:] + rivals[:shift]:
                settle()
                with rival.active():
                    seconds = work(rival)
                if turn >= 0:
                    for label, value in seconds.items():
                        found.setdefault(label, {}).setdefault(rival.name, []).append(value)
        return found

    def add(self, workload, label, seconds, nbytes=0, notes=None):
        """Keep a row. Names come in the order of the rivals."""
        order = [name for name in self.rivals if name in seconds]
        order += [name for name in seconds if name not in order]
        row = Row(
            workload=workload, label=label, seconds={name: seconds[name] for name in order},
            nbytes=nbytes, notes=notes or {},
        )  # fmt: skip
        self.rows.append(row)
        self.show(row)


def settle():
    """No garbage and no dirty pages pending."""
    gc.collect()
    os.sync()


def timed(work, *args):
    """Seconds of a call."""
    start = time.perf_counter()
    work(*args)
    return time.perf_counter() - start


def timed_read(rival, a, key, expected):
    """Seconds of a read that must give what was written."""
    start = time.perf_counter()
    found = rival.read(a, key)
    seconds = time.perf_counter() - start
    if not np.array_equal(found, expected):
        raise RuntimeError(f"{rival.name} read something else than what was written")
    return seconds


def disk_usage(path):
    """Bytes of all files under a path."""
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())


def images(count, side, seed=1):
    """Smooth RGB images with a little noise, which zstd shrinks to about 60 %."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(0, np.pi, side, dtype=np.float32)
    noise = rng.normal(0, 0.5, (4, side, side, 3)).astype(np.float32)
    out = np.empty((count, side, side, 3), np.uint8)
    for i in range(count):
        a, b, c = rng.uniform(0.5, 2.0, 3)
        smooth = 125 + 45 * np.sin(a * axis)[:, None] * np.cos(b * axis + c)[None, :]
        colours = smooth[..., None] + np.float32(rng.uniform(-20, 20, 3))
        np.clip(colours + noise[i % 4], 0, 255, out=colours)
        out[i] = colours.astype(np.uint8)
    return out


def scalars(side, seed=3):
    """A float32 field with one decimal of noise."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(0, 12 * np.pi, side, dtype=np.float32)
    values = 100 * np.sin(axis)[:, None] * np.cos(axis)[None, :]
    return np.round(values + rng.normal(0, 0.5, (side, side)), 1).astype(np.float32)


def say(seconds):
    """Seconds with a fitting unit."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.3g} µs"


def cell(row, name):
    """Median and best of one library in a row, as a rate where bytes were moved; its ratio."""
    seconds, best = row.medians()[name], min(row.seconds[name])
    if row.nbytes:
        text = f"{row.nbytes / seconds / 1e6:,.0f} ({row.nbytes / best / 1e6:,.0f}) MB/s"
    else:
        text = f"{say(seconds)} ({say(best)})"
    if name != OURS and OURS in row.seconds:
        text += f", {row.ratio(name):.3g}×"
    if name in row.notes:
        text += f", {row.notes[name]}"
    return text


def markdown(rows):
    """One table per workload."""
    out = []
    for workload in dict.fromkeys(row.workload for row in rows):
        part = [row for row in rows if row.workload == workload]
        names = list(dict.fromkeys(name for row in part for name in row.seconds))
        out += [f"### {workload}", "", "| | " + " | ".join(names) + " |"]
        out.append("| --- |" + " --- |" * len(names))
        for row in part:
            cells = [cell(row, name) if name in row.seconds else "" for name in names]
            out.append(f"| {row.label} | " + " | ".join(cells) + " |")
        out.append("")
    return "\n".join(out)
