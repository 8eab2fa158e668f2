"""hubzarr behind the interface that the comparison harness drives every library through.

The harness calls `create_array` or `open`, then reads and writes, then `finish`. Settings
are the defaults that a user gets: checksums on every chunk, statistics computed on every
write, automatic syncs in the background.

Variants: "" (one object per chunk), "shard" (8 chunks of axis 0 per shard, or 16 x 16 for
two axes), "auto" (hubzarr's own choice of chunks and shards).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from adapters.base import ArrayPeer

import hubzarr as hub
import hubzarr.api  # what `hub.load` imports when it is first used
from hubzarr.engine import shared_cache


class HubzarrPeer(ArrayPeer):
    """One array of a repository at a path."""

    dists = ("hubzarr", "zarr", "numcodecs", "numpy")
    settings = "defaults: crc32c on every chunk, statistics on every write, auto-sync"

    def __init__(self, variant: str = "") -> None:
        super().__init__(variant)
        self.a: Any = None

    def create_array(self, path: str, shape: Any, dtype: Any, chunks: Any, codec: str) -> None:
        """Create the array with the chunks asked for, in shards if the variant says so."""
        shards = None
        if self.variant == "shard":
            if len(shape) > 2:
                shards = (min(chunks[0] * 8, -(-shape[0] // chunks[0]) * chunks[0]), *chunks[1:])
            else:
                shards = tuple(c * 16 for c in chunks)
        elif self.variant == "auto":
            chunks = shards = "auto"
        self.a = hub.array(
            shape, _name(path), dtype=dtype, chunks=chunks, shards=shards, codec=codec
        )

    def open(self, path: str) -> None:
        """Open for reading, with no chunk decoded before: other libraries begin so too."""
        shared_cache.clear()
        self.a = hub.load(_name(path), mode="r")

    def open_write(self, path: str) -> None:
        """Open for writing."""
        self.a = hub.load(_name(path))

    def write_all(self, data: np.ndarray) -> None:
        """One assignment."""
        self.a[...] = data

    def write_sample(self, i: int, sample: np.ndarray) -> None:
        """One index of axis 0."""
        self.a[i] = sample

    def write_slice(self, start: int, stop: int, data: np.ndarray) -> None:
        """Some rows."""
        self.a[start:stop] = data

    def append(self, rows: np.ndarray) -> None:
        """Rows at the end."""
        self.a.append(rows)

    def finish(self) -> None:
        """Store and commit."""
        self.a.flush()

    def read_all(self) -> np.ndarray:
        """Everything."""
        return self.a.compute()

    def read_sample(self, i: int) -> np.ndarray:
        """One index of axis 0."""
        return np.asarray(self.a[i])

    def read_samples(self, idx: np.ndarray) -> np.ndarray:
        """Many indices of axis 0."""
        return np.asarray(self.a[idx])

    def read_slice(self, sl: tuple[slice, ...]) -> np.ndarray:
        """A box."""
        return np.asarray(self.a[sl])

    def mean_std(self) -> tuple[float, float]:
        """Of everything."""
        return float(self.a.mean()), float(self.a.std())

    def native_mean(self) -> float:
        """Of everything, as libraries with stored aggregates have it."""
        return float(self.a.mean())

    def close(self) -> None:
        """Commit what is left and let go."""
        self.a.close()

    def commit(self, message: str) -> str:
        """Name a state in the history."""
        return str(self.a.commit(message).id)

    def create_branch(self, name: str) -> None:
        """A new version from here."""
        self.a.branch(name)

    def diff(self, a: Any, b: Any) -> int:
        """Number of changed cells between two commits."""
        return int(self.a.diff(a, b).cells)


def _name(path: str) -> str:
    return path + "/:v0"
