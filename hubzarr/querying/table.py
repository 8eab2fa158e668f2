"""What can be queried: columns of rows, read only as far as a query needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

__all__ = ["Bounds", "QueryColumn", "RowTable", "Rows"]

#: Rows to read: a slice with step 1, or their numbers.
type Rows = slice | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class QueryColumn:
    """How a query sees a tensor.

    Parameters
    ----------
    kind : str
        ``"number"``: one number, truth value or time per row. ``"label"``: numbers of
        classes. ``"text"``, ``"json"``: texts. ``"array"``: numbers in lists or lists of
        lists. ``"shape"``: samples that a query can't look into, only their shapes.
    dtype : str
        NumPy's name of the type of numbers.
    class_names : tuple of str
        Names of the classes of labels.
    several : bool
        Whether a row holds a list of labels rather than one.
    size : int, optional
        Numbers per row where all rows of a one-dimensional array have as many.
    width : int
        Bytes of a row in memory, roughly.

    Examples
    --------
    >>> QueryColumn("label", "uint8", class_names=("Rain", "Shine")).several
    False
    """

    kind: Literal["number", "label", "text", "json", "array", "shape"]
    dtype: str = ""
    class_names: tuple[str, ...] = ()
    several: bool = False
    size: int | None = None
    width: int = 8


class Bounds(NamedTuple):
    """Smallest and largest value of each run of rows; NaN where they aren't known.

    NaNs among the values don't count. The runs begin at `starts`, which begin with 0 and
    grow; each ends where the next one begins, the last one with the table.
    """

    starts: npt.NDArray[np.int64]
    smallest: npt.NDArray[Any]
    largest: npt.NDArray[Any]


class RowTable(Protocol):
    """What `hubzarr.querying.run` asks of a table."""

    @property
    def length(self) -> int:
        """Number of rows."""

    @property
    def columns(self) -> Mapping[str, QueryColumn]:
        """Columns by name; groups are parts of names: ``boxes/size``."""

    def read(self, name: str, rows: Rows) -> pa.Array:
        """Values of a column other than of kind ``"shape"``.

        Numbers, numbers of labels (or lists of them), texts, or lists of numbers.
        """

    def shapes(self, name: str, rows: Rows) -> npt.NDArray[np.int64]:
        """Shapes of samples, a row each; samples of fewer dimensions end with -1."""

    def bounds(self, name: str) -> Bounds | None:
        """Bounds of a column of numbers or labels, where they are known without reading."""
