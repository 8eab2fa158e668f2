"""Loaders for PyTorch: `ds.pytorch(...)`, and datasets for loaders of one's own."""

from __future__ import annotations

from hubzarr.loaders.torch.framework import TorchFramework
from hubzarr.loaders.torch.iterable import IterableDataset
from hubzarr.loaders.torch.loader import TorchLoader, load
from hubzarr.loaders.torch.mapped import MapDataset

__all__ = ["IterableDataset", "MapDataset", "TorchFramework", "TorchLoader", "load"]
