"""Ingest of class folders of JPEGs, and of more data than memory holds.

Run with ``python benchmarks/bench_ingest.py``. The first part tells images a second:
bytes kept and headers checked; then with each file decoded; then with statistics of
pixels; and what the decoder alone does in as many threads. The second part ingests 10 GB
that are made on the way, and tells by how much the process grew.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import hubzarr as hub
from hubzarr.api.ingesting import ingest
from hubzarr.ingesting import Block, Column, Unit
from hubzarr.ingesting.ingest import ingest_into
from hubzarr.media import Sample, get_format

SIDE = 256
CLASSES = 10


def write_images(folder: Path, count: int) -> list[Path]:
    """Write JPEGs of about 15 KB, in class folders."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    paths = []
    for number in range(count):
        array = np.kron(coarse[number], np.ones((SIDE // 32, SIDE // 32, 1), np.uint8))
        path = folder / f"class{number % CLASSES}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Sample(array=array).encoded("jpeg", quality=80))
        paths.append(path)
    return paths


def best_rate(images: Path, count: int, rounds: int, **options: bool) -> float:
    """Images a second, in the best of some rounds."""
    best = float("inf")
    for number in range(rounds):
        start = time.perf_counter()
        name = f"bench/{'-'.join(options) or 'plain'}-{number}"
        ingest(images, name, progressbar=False, **options).close()
        best = min(best, time.perf_counter() - start)
    return count / best


def decoder_rate(paths: list[Path], rounds: int) -> float:
    """Images a second that are read and decoded, and nothing else."""
    decode = get_format("jpeg").decode
    best = float("inf")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in range(rounds):
            start = time.perf_counter()
            list(pool.map(lambda path: decode(path.read_bytes()).shape, paths))
            best = min(best, time.perf_counter() - start)
    return len(paths) / best


class Made:
    """Rows that are made when they are read."""

    kind = "made"
    info: dict = {}  # noqa: RUF012
    columns = (Column("x", {"dtype": "uint8"}),)

    def __init__(self, size: int) -> None:
        self.size = size

    def units(self) -> Iterator[Unit]:
        """Parts of 32 MB."""
        for number in range(self.size // 32_000_000):
            yield Unit(str(number), number, 32)

    def rows(self, unit: Unit) -> Iterator[Block]:
        """Pictures of one colour, so that the disk isn't what is measured."""
        yield Block({"x": np.full((32, 1000, 1000), unit.payload % 256, np.uint8)}, 32)


def grow(size: int, root: str) -> None:
    """Ingest so many bytes in this process, and tell by how much it grew."""
    os.environ["HUBZARR_ROOT"] = root
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ds = hub.empty("bench/made")
    report = ingest_into(ds, Made(size), name="made", progressbar=False)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{report}; the process grew by {grown / 1000:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--bytes", type=float, default=10e9)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hubzarr-bench-") as folder:
        os.environ["HUBZARR_ROOT"] = f"{folder}/root"
        images = Path(folder) / "images"
        paths = write_images(images, options.images)
        for chosen in ({}, {"verify": True}, {"verify": True, "statistics": True}):
            rate = best_rate(images, options.images, options.rounds, **chosen)
            print(f"ingest {' '.join(chosen) or 'plain':20} {rate:10.0f} images/s")
        print(f"decoder alone {decoder_rate(paths, options.rounds):20.0f} images/s")
        context = multiprocessing.get_context("spawn")
        child = context.Process(target=grow, args=(int(options.bytes), f"{folder}/root"))
        child.start()
        child.join()


if __name__ == "__main__":
    main()
