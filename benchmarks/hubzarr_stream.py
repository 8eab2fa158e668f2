"""hubzarr's datasets behind the interface that the comparison harness streams samples through.

Samples are rows of two tensors: JPEG files kept as they are, or arrays, and labels. Settings
are the defaults that a user gets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from adapters.base import StreamPeer

import hubzarr as hub
from hubzarr.media import Sample


class HubzarrStream(StreamPeer):
    """A dataset at a path."""

    dists = ("hubzarr", "numpy")
    settings = "image tensor of JPEG files / generic tensor, class_label; checksums on every chunk"

    def _create(self, path: str, **image: Any) -> Any:
        ds = hub.empty(path)
        ds.create_tensor("x", **image)
        ds.create_tensor("y", htype="class_label", class_names=[f"class_{i}" for i in range(4)])
        return ds

    def build_raw(self, path: str, x: np.ndarray, y: np.ndarray) -> None:
        """Store arrays of one shape."""
        ds = self._create(path, dtype=x.dtype)
        with ds:
            ds.extend({"x": x, "y": y})
        ds.close()

    def build_jpeg(self, path: str, samples: list[tuple[bytes, int]]) -> None:
        """Store files whose bytes are in memory."""
        self._build(path, [Sample(data) for data, _ in samples], [label for _, label in samples])

    def ingest_folder(self, path: str, files: list[tuple[Path, int]]) -> None:
        """Store files, read when their rows are appended."""
        self._build(path, [hub.read(file) for file, _ in files], [label for _, label in files])

    def _build(self, path: str, samples: list[Sample], labels: list[int]) -> None:
        ds = self._create(path, htype="image", sample_compression="jpeg")
        with ds:
            ds.extend({"x": samples, "y": labels})
        ds.close()

    def loader(self, path: str, kind: str, batch: int, workers: int) -> Any:
        """Batches of tensors, shuffled in windows."""
        return hub.load(path, mode="r").pytorch(
            batch, tensors=["x", "y"], shuffle=True, form="tuple", num_workers=workers
        )
