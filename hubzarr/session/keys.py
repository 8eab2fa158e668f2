"""Zarr keys as text: which cell a chunk key means, which cells begin with a piece of a key."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hubzarr.codecs import compile_key
from hubzarr.errors import InvalidError

__all__ = ["DOCUMENT", "ChunkKeys", "check_key", "node_document", "node_path"]

type Cell = tuple[int, ...]
type Box = tuple[Cell, Cell]

#: Last segment of the key of a node's document.
DOCUMENT: Final = "zarr.json"
#: What an array's document must have to be one.
_ARRAY_KEYS: Final = frozenset(
    ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs")
)
#: Below this directory of a write id lie objects that belong to no array.
LOOSE: Final = ".loose"


def check_key(key: str) -> str:
    """Refuse keys that are no relative paths: they could leave the repository.

    Examples
    --------
    >>> check_key("a/b/c/0")
    'a/b/c/0'
    >>> check_key("../secret")
    Traceback (most recent call last):
    ...
    hubzarr.errors.InvalidError: key '../secret' is not a relative path: expected names ...
    """
    if "\0" in key or any(part in ("", ".", "..") for part in key.split("/")):
        raise InvalidError(
            f"key {key!r} is not a relative path: expected names joined by single slashes, without "
            "'.', '..' and null characters; correct the key"
        )
    return key


def node_path(key: str) -> str | None:
    """Path of the node whose document has this key; None for other keys.

    Examples
    --------
    >>> node_path("a/b/zarr.json"), node_path("zarr.json"), node_path("a/c/0")
    ('a/b', '', None)
    """
    if not key.endswith(DOCUMENT):
        return None
    path = key[: -len(DOCUMENT)]
    if not path:
        return ""
    return path[:-1] if path[-1] == "/" else None


def node_document(data: bytes) -> dict[str, Any] | None:
    """A ``zarr.json`` parsed; None if it is not that of a Zarr v3 group or array."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("zarr_format") != 3:
        return None
    if document.get("node_type") == "group":
        return document
    if document.get("node_type") != "array" or not document.keys() >= _ARRAY_KEYS:
        return None
    shape = document["shape"]
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        return None
    return document


@dataclass(frozen=True, slots=True)
class ChunkKeys:
    """The chunk keys of one array, in both directions.

    Attributes
    ----------
    key : callable
        From a cell to its key, relative to the array.
    head : str
        What every key begins with: ``"c/"``, ``"c."`` or nothing.
    separator : str
    ndim : int

    Examples
    --------
    >>> from hubzarr.codecs import array_document
    >>> keys = ChunkKeys.of(array_document((6, 4), "int16", chunks=(3, 4)))
    >>> keys.cell("c.1.0"), keys.cell("c.01.0"), keys.cell("other")
    ((1, 0), None, None)
    """

    key: Callable[[Cell], str]
    head: str
    separator: str
    ndim: int

    @classmethod
    def of(cls, document: dict[str, Any]) -> ChunkKeys:
        """The chunk keys of an array with this ``zarr.json``."""
        key = compile_key(document)
        ndim = len(document["shape"])
        # One cell of a template with two axes shows head and separator, whatever the encoding.
        sample = compile_key({**document, "shape": [1, 1]})((0, 0))
        separator = sample[-2]
        head = sample[:-3] if ndim else ""
        return cls(key, head, separator, ndim)

    def cell(self, key: str) -> Cell | None:
        """The cell that a key means; None if it is no chunk key."""
        if not self.ndim:
            return () if key == self.key(()) else None
        head = self.head
        if head and not key.startswith(head):
            return None
        try:
            cell = tuple(map(int, key[len(head) :].split(self.separator)))
        except ValueError:
            return None
        # Only the spelling that is written counts: no "01", no "+1".
        if len(cell) != self.ndim or self.key(cell) != key:
            return None
        return cell

    def box(self, start: str, grid: Cell) -> Box | None:
        """The smallest box that holds all cells whose keys begin with `start`."""
        head = self.head
        if not self.ndim:
            return ((0,), (1,)) if self.key(()).startswith(start) else None
        if not start.startswith(head):
            return ((0,) * self.ndim, grid) if head.startswith(start) else None
        *known, rest = start[len(head) :].split(self.separator)
        # The last piece may be cut off within a number, unless it is the last axis or beyond.
        if len(known) >= self.ndim or not (rest == "" or rest.isdecimal()):
            return None
        low, high = [0] * self.ndim, list(grid)
        for axis, text in enumerate(known):
            if not (text.isascii() and text.isdecimal() and len(text) < 20):
                return None
            low[axis] = int(text)
            high[axis] = min(low[axis] + 1, grid[axis])
            if low[axis] >= high[axis]:
                return None
        return tuple(low), tuple(high)

    def axis_below(self, directory: str) -> int | None:
        """The axis whose indices are the names in a directory of chunks (with its slash).

        None for the array's own directory where chunks lie in one below it, or where every
        chunk key is a name of its own.
        """
        if not self.ndim or self.separator == "." or not directory.startswith(self.head):
            return None
        return directory[len(self.head) :].count("/")
