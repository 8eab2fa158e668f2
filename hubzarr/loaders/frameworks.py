"""The modules of this package that need a framework, imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any, Final

from hubzarr.errors import UnsupportedError

__all__ = ["FRAMEWORKS", "module_for"]

#: Package that a framework is imported as, and its name.
FRAMEWORKS: Final = {
    "torch": ("torch", "PyTorch"),
    "tensorflow": ("tensorflow", "TensorFlow"),
    "jax": ("jax", "JAX"),
}


def module_for(framework: str) -> Any:
    """The loaders of a framework.

    Raises
    ------
    UnsupportedError
        The framework is not installed.
    """
    package, name = FRAMEWORKS[framework]
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise UnsupportedError(
            f"{name} can't be imported ({error}): pip install 'hubzarr[{framework}]' installs it. "
            "ds.batches(...) gives NumPy batches without it"
        ) from error
    return importlib.import_module(f"hubzarr.loaders.{framework}")
