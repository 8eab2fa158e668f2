"""Datasets: versioned groups of tensors whose rows belong together."""

from __future__ import annotations

from hubzarr.datasets.dataset import Dataset
from hubzarr.datasets.info import Info
from hubzarr.datasets.replaying import replay_of
from hubzarr.datasets.tensor import Tensor
from hubzarr.datasets.view import DatasetView
from hubzarr.session.replaying import replayers

__all__ = ["Dataset", "DatasetView", "Info", "Tensor"]

replayers.append(replay_of)
