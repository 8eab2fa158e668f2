"""Loaders: batches of samples for training, in NumPy, PyTorch, TensorFlow and JAX."""

from __future__ import annotations

from typing import Any

from hubzarr.loaders.frameworks import FRAMEWORKS, module_for
from hubzarr.loaders.loader import Loader
from hubzarr.loaders.methods import Loading
from hubzarr.loaders.options import Options

__all__ = ["Loader", "Loading", "Options"]


def __getattr__(name: str) -> Any:
    """`hubzarr.loaders.torch` and so on, imported when they are asked for."""
    if name in FRAMEWORKS:
        return module_for(name)
    raise AttributeError(f"module 'hubzarr.loaders' has no attribute {name!r}")
