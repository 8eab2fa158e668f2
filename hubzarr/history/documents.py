"""Documents of nodes: what ``zarr.json`` says, as dicts, lists and plain values."""

from __future__ import annotations

__all__ = ["copied"]


def copied[T](value: T) -> T:
    """A copy whose changes the original doesn't see; ten times quicker than `copy.deepcopy`."""
    kind = type(value)
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}  # type: ignore[attr-defined, return-value]
    if kind is list:
        return [copied(item) for item in value]  # type: ignore[attr-defined, return-value]
    return value
