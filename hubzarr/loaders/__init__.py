"""Loaders: batches of samples for training, in NumPy, PyTorch, TensorFlow and JAX."""

from __future__ import annotations

from hubzarr.loaders.loader import Loader
from hubzarr.loaders.methods import Loading
from hubzarr.loaders.options import Options

__all__ = ["Loader", "Loading", "Options"]
