"""What loaders read from: rows of some fields, at one commit."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Field", "Source", "Stored"]


class Stored(NamedTuple):
    """A sample as it is stored.

    Attributes
    ----------
    data : object
        Bytes, or what the source needs to read it later.
    shape : tuple of int
    """

    data: Any
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Field:
    """One column of what is loaded.

    Attributes
    ----------
    name : str
    kind : {"array", "text", "object"}
        What a sample is: an array (or number), a string, or anything else.
    dtype : numpy.dtype or None
        Of arrays; None where samples differ.
    shape : tuple of (int or None), or None
        Of a sample; None for an extent that may differ. None: even the axes may.
    uniform : bool
        Whether samples are rows of one array, which come without decoding.
    nbytes : float
        Stored bytes of a sample, about.
    cost : {"none", "threads", "cpu", "store"}
        What decoding a sample takes: next to nothing, a processor (that threads can share, as
        decoders run beside Python, or that Python keeps busy), or requests to a store.
    """

    name: str
    kind: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | None, ...] | None
    uniform: bool
    nbytes: float
    cost: str = "none"


class Source(Protocol):
    """Rows of some fields, which never change. Instances must be picklable."""

    @property
    def fields(self) -> Sequence[Field]:
        """The columns."""

    @property
    def commit(self) -> str:
        """What tells this state of the data from others."""

    @property
    def identity(self) -> Hashable:
        """What is equal only for sources of the same rows of the same data."""

    @property
    def selection(self) -> str:
        """What of the data the rows are, where their numbers don't tell; the same anywhere."""

    @property
    def single(self) -> bool:
        """Whether it is one array, whose batches are not named."""

    @property
    def concurrency(self) -> int:
        """Requests that its store answers at a time."""

    def __len__(self) -> int:
        """Number of rows."""

    def block(self) -> int:
        """How many neighbouring rows of the dataset are worth reading together."""

    def numbers(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Numbers in the dataset of rows of what is loaded."""

    def is_contiguous(self) -> bool:
        """Whether row i is number i + a constant."""

    def load(
        self, name: str, rows: npt.NDArray[np.int64], out: npt.NDArray[Any] | None = None,
        keep: bool | None = None,
    ) -> npt.NDArray[Any] | list[Stored]:  # fmt: skip
        """Samples of a field: of uniform ones an array (`out` if given), else as stored.

        `keep` says whether what was decoded should stay in the cache; None: if it is little.

        Raises
        ------
        DamagedError
            Something that belongs to one of the rows is damaged or missing.
        """

    def decode(self, name: str, stored: Stored, out: npt.NDArray[Any] | None = None) -> Any:
        """The sample itself; in `out`, if one is given.

        Raises
        ------
        SampleError
            It can't be decoded.
        """

    def to_bytes(self, name: str, stored: Stored) -> bytes:
        """The bytes of a sample as they are stored."""
