"""What an export did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hubzarr.wording import say_bytes

__all__ = ["ExportReport", "Written"]


@dataclass(frozen=True)
class Written:
    """What a format says of what it wrote.

    Attributes
    ----------
    left_out : mapping
        Tensors that have no place in the format, and why.
    notes : tuple of str
        What else users should know.
    tensors : mapping
        More about each tensor for `dataset.json`, such as where its samples are.
    """

    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tensors: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Attributes
    ----------
    target, format : str
        Where and what.
    rows, files, nbytes : int
        How much.
    tensors : tuple of str
        What was exported.
    left_out : mapping
        Tensors that have no place in the format, and why.
    notes : tuple of str
        What else is worth knowing.

    Examples
    --------
    >>> print(ExportReport("pets.csv", "csv", 2, 1, 50, ("age",), {"images": "files"}))
    2 rows as csv in pets.csv: 1 file, 50 B
    left out: images (files)
    """

    target: str
    format: str
    rows: int
    files: int
    nbytes: int
    tensors: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "target": self.target,
            "format": self.format,
            "rows": self.rows,
            "files": self.files,
            "nbytes": self.nbytes,
            "tensors": list(self.tensors),
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        files = f"{self.files:,} file{'s' * (self.files != 1)}"
        rows = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        lines = [f"{rows} as {self.format} in {self.target}: {files}, {say_bytes(self.nbytes)}"]
        lines += [f"left out: {name} ({why})" for name, why in self.left_out.items()]
        return "\n".join([*lines, *self.notes])
