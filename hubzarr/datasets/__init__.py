"""Datasets: versioned groups of tensors whose rows belong together."""

from __future__ import annotations

from hubzarr.datasets.dataset import Dataset
from hubzarr.datasets.info import Info
from hubzarr.datasets.tensor import Tensor
from hubzarr.datasets.view import DatasetView

__all__ = ["Dataset", "DatasetView", "Info", "Tensor"]
