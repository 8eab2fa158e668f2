"""Functions applied to all tensors of a batch or sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["mapped"]


def mapped(value: Any, function: Callable[[Any], Any], kind: Any) -> Any:
    """A batch or sample with a function applied to what is of some kind.

    Parameters
    ----------
    value : object
        Dicts, lists and tuples of it are gone through.
    function : callable
    kind : type or union of types
    """
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, dict):
        return {key: mapped(item, function, kind) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(mapped(item, function, kind) for item in value)
    return value
