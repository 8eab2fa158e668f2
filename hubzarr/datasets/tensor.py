"""`Tensor`: the samples of one kind in a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hubzarr.arrays import Array
from hubzarr.arrays.handle import Source
from hubzarr.datasets import pixels, writing
from hubzarr.datasets.catalog import catalog_of, not_found
from hubzarr.datasets.columns import Column, column_of
from hubzarr.datasets.entry import TensorEntry
from hubzarr.datasets.info import Info
from hubzarr.datasets.inplace import InPlace
from hubzarr.datasets.loading import TensorsSource, source_of_tensors
from hubzarr.datasets.pickling import opened_again, source_for
from hubzarr.datasets.ragged import RaggedColumn, interval_of
from hubzarr.datasets.reducing import Reducing
from hubzarr.datasets.rows import Rows, as_numbers, check_rows, select_rows
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.datasets.values import as_array, one_value, stacked, stored_bytes, values
from hubzarr.errors import InvalidError
from hubzarr.htypes import TensorSpec
from hubzarr.loaders import Loading
from hubzarr.session import Session

__all__ = ["Tensor"]


class Tensor(Reducing, InPlace, Loading):
    """The samples of one kind in a dataset, or some of them.

    Indexing selects samples and then elements inside them; nothing is read before
    `numpy`, `data` or an assignment needs it.

    Parameters
    ----------
    session : Session
    path : str
        Of its node.
    rows : range or ndarray of int64, optional
        Selected samples; None: all, whatever is appended later.
    row : int, optional
        The one selected sample.
    subs : tuple
        Keys into samples.

    Examples
    --------
    >>> import hubzarr as hub
    >>> import numpy as np
    >>> ds = hub.empty("examples/tensor")
    >>> x = ds.create_tensor("x")
    >>> x.extend(np.arange(6).reshape(3, 2))
    >>> x[1].numpy(), x[1:].numpy().sum(), len(x)
    (array([2, 3]), np.int64(14), 3)
    """

    def __init__(
        self,
        session: Session,
        path: str,
        rows: Rows | None = None,
        row: int | None = None,
        subs: tuple[Any, ...] = (),
    ) -> None:
        self._session = session
        self._path = path
        self._rows = rows
        self._row = row
        self._subs = subs

    # -- what it is --------------------------------------------------------------

    @property
    def name(self) -> str:
        """Path of the tensor in the repository."""
        return self._path

    @property
    def _entry(self) -> TensorEntry:
        entry = catalog_of(self._session).tensors.get(self._path)
        if entry is None:
            raise not_found(self._path, list(catalog_of(self._session).tensors))
        return entry

    @property
    def _column(self) -> Column | None:
        if self._session.closed or self._session.failure is not None:
            self._session.check()
        return column_of(self._session, self._path, self._entry)

    def _selected(self) -> Rows:
        column = self._column
        length = 0 if column is None else len(column)
        if self._row is not None:
            rows: Rows = range(self._row, self._row + 1)
        elif self._rows is not None:
            rows = self._rows
        else:
            return range(length)
        check_rows(rows, length, f"tensor {self._path!r}")
        return rows

    @property
    def spec(self) -> TensorSpec:
        """What its samples are and how they are kept."""
        return self._entry.spec

    @property
    def htype(self) -> str:
        """What its samples mean, such as ``"image"``."""
        return self.spec.htype

    @property
    def base_htype(self) -> str:
        """The same without ``sequence[]`` and ``link[]``."""
        return self.spec.base

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Of the samples; None where each has its own, or none."""
        column = self._column
        return column.dtype if isinstance(column, UniformColumn) else self.spec.numpy_dtype

    @property
    def sample_compression(self) -> str | None:
        """File format that samples are kept in."""
        return self.spec.sample_compression

    @property
    def chunk_compression(self) -> str | None:
        """Codec for the bytes of several samples together."""
        return self.spec.chunk_compression

    @property
    def hidden(self) -> bool:
        """Whether `Dataset.tensors` leaves it out."""
        return self._entry.hidden

    @property
    def is_sequence(self) -> bool:
        """Whether a sample is a list of samples."""
        return self.spec.is_sequence

    @property
    def is_link(self) -> bool:
        """Whether samples are addresses of files elsewhere."""
        return self.spec.is_link

    @property
    def info(self) -> Info:
        """Facts about all samples: a dict whose changes are stored."""
        return Info(self._session, self._path)

    @info.setter
    def info(self, value: dict[str, Any]) -> None:
        self.info.replace(value)

    @property
    def meta(self) -> dict[str, Any]:
        """How the tensor is kept."""
        return self.spec.to_json() | {"length": self.num_samples, "is_dynamic": self.is_dynamic}

    def __len__(self) -> int:
        if self._row is not None:
            return len(self.numpy())
        return len(self._selected())

    @property
    def num_samples(self) -> int:
        """Number of samples selected."""
        return len(self._selected())

    @property
    def sample_indices(self) -> list[int]:
        """Numbers of the selected samples in the dataset."""
        return [int(row) for row in self._selected()]

    @property
    def size(self) -> int:
        """Number of elements of the selected samples together."""
        return sum(math.prod(shape) for shape in self.shapes())

    @property
    def is_dynamic(self) -> bool:
        """Whether samples may differ in shape."""
        return not isinstance(self._column, UniformColumn)

    @property
    def ndim(self) -> int:
        """Axes of one sample, plus one for the samples."""
        return len(self.shape)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Number of samples, then their extents: None where they differ."""
        if self._subs:
            return tuple(self.numpy().shape)
        if self._row is not None:
            return self.shapes()[0]
        low, high = self.shape_interval
        return tuple(a if a == b else None for a, b in zip(low, high, strict=True))

    @property
    def shape_interval(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Smallest and largest shape, the number of samples first."""
        column, rows = self._column, self._selected()
        n = len(rows)
        if column is None or not n:
            return (n,), (n,)
        if self._rows is None and self._row is None:
            low, high = column.interval()
        else:
            low, high = interval_of(column.shapes(as_numbers(rows)))
        return (n, *low), (n, *high)

    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each selected sample."""
        column = self._column
        if column is None:
            return []
        found = column.shapes(as_numbers(self._selected())).tolist()
        return [tuple(n for n in shape if n >= 0) for shape in found]

    @property
    def array(self) -> Array:
        """A uniform tensor as an array with all that arrays can do.

        Raises
        ------
        InvalidError
            Its samples have different shapes or are kept as files.
        """
        if not isinstance(self._column, UniformColumn):
            raise InvalidError(
                f"the samples of tensor {self._path!r} are not rows of one array; numpy(), "
                "shapes() and statistics of images work all the same"
            )
        self._session.watched = True
        return Array(self._session, f"{self._session.name}/{self._path}", self._path)

    # -- reading -----------------------------------------------------------------

    def numpy(self, aslist: bool = False) -> Any:
        """The selected samples, decoded.

        Parameters
        ----------
        aslist : bool
            A list of arrays, which may differ in shape, instead of one array.

        Raises
        ------
        InvalidError
            The samples have different shapes and `aslist` is not set.
        """
        value = self.values()
        if self._row is not None:
            array = np.asarray(as_array(value))
            return [array] if aslist and self.is_sequence is False else array
        if not aslist:
            return stacked(value, self._path, self.dtype)
        return [as_array(sample) for sample in value]

    def values(self) -> Any:
        """The selected samples as Python has them: arrays, strings, objects, links."""
        entry, column = self._entry, self._column
        if column is None and self._row is None and self._rows is None:
            return []
        if column is not None and self._row is not None and self._row < len(column):
            return one_value(column, entry, self._row, self._subs)
        rows = self._selected()
        if column is None:
            return []
        found = values(column, entry, rows)
        if self._subs:
            return [_part(sample, self._subs) for sample in found]
        return found

    def data(self, aslist: bool = False) -> dict[str, Any]:
        """The selected samples with what belongs to them, such as names of labels."""
        if self.base_htype in ("text", "json", "list", "tag"):
            return {"value": self.values()}
        value = self.numpy(aslist=aslist or (self._row is None and self.is_dynamic))
        if self.base_htype == "class_label":
            return {"value": value, "text": self.text()}
        return {"value": value}

    def text(self) -> Any:
        """Strings of text, or names of class labels."""
        if self.base_htype == "class_label":
            names = list(self.info.get("class_names", []))
            found = self.values()
            return _named(found if isinstance(found, list) else np.asarray(found).tolist(), names)
        self._want("text", "tag")
        return self.values()

    def dict(self) -> Any:
        """Objects of a json tensor."""
        self._want("json")
        return self.values()

    def list(self) -> Any:
        """Lists of a list or tag tensor."""
        self._want("list", "tag")
        return self.values()

    def _want(self, *htypes: str) -> None:
        if self.base_htype not in htypes:
            raise InvalidError(
                f"tensor {self._path!r} has htype {self.htype!r}; this needs {' or '.join(htypes)}"
            )

    def tobytes(self) -> bytes:
        """The stored bytes of one sample: the file as it was appended, for a compressed one."""
        if self._row is None:
            raise InvalidError("bytes are those of one sample: select it first, as in t[0]")
        column = self._column
        if isinstance(column, RaggedColumn):
            return stored_bytes(column, self._row)
        return bytes(np.ascontiguousarray(self.numpy()).tobytes())

    @property
    def sample_info(self) -> Any:
        """What the headers of the selected samples' files say."""
        return writing.headers(self._column, self._entry, self._selected(), self._row is not None)

    def __getitem__(self, key: Any) -> Tensor:
        if self._row is not None:
            return self._with(subs=(*self._subs, key))
        if type(key) is int and key >= 0 and self._rows is None:
            column = self._column
            if column is not None and key < len(column):
                return Tensor(self._session, self._path, None, key, self._subs)
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        chosen = select_rows(self._selected(), first, f"tensor {self._path!r}")
        subs = (*self._subs, rest) if rest else self._subs
        if isinstance(chosen, int):
            subs = (*self._subs, rest if len(rest) > 1 else rest[0]) if rest else self._subs
            return self._with(row=chosen, subs=subs)
        return self._with(rows=chosen, subs=subs)

    def _with(self, **changes: Any) -> Tensor:
        options = {"rows": self._rows, "row": self._row, "subs": self._subs} | changes
        return Tensor(self._session, self._path, **options)

    def __iter__(self) -> Iterator[Tensor]:
        for row in self._selected():
            yield self._with(row=int(row))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.numpy(), dtype=dtype)

    # -- statistics --------------------------------------------------------------

    def analyze(self, progressbar: bool = True) -> Tensor:
        """Compute pixel statistics of all samples once, and keep them from now on.

        Afterwards `mean`, `std`, `min` and `max` need no pixels, for views neither.
        """
        pixels.analyze(self, progressbar)
        return self

    # -- writing -----------------------------------------------------------------

    def _whole(self, what: str) -> None:
        if self._rows is not None or self._row is not None:
            raise InvalidError(f"{what} works on the whole tensor, not on some of its samples")

    def append(self, sample: Any) -> None:
        """Add one sample."""
        self._whole("append")
        writing.extend(self._session, {self._path: [sample]})

    def extend(
        self, samples: Sequence[Any] | Any, progressbar: bool = False, ignore_errors: bool = False
    ) -> None:
        """Add many samples: all of them, or none if one does not fit."""
        self._whole("extend")
        writing.extend(
            self._session, {self._path: samples}, progressbar=progressbar,
            ignore_errors=ignore_errors,
        )  # fmt: skip

    def __setitem__(self, key: Any, value: Any) -> None:
        target = self[key]
        if isinstance(value, Tensor):
            if value.is_same(target):  # the result of an operator in place
                return
            value = value.values()
        target._assign(value)

    def _assign(self, values: Any) -> None:
        if self._row is not None:
            writing.update(self._session, self._path, self._row, values, self._subs)
        else:
            writing.update_many(self._session, self._path, self._selected(), values, self._subs)

    def is_same(self, other: Tensor) -> bool:
        """Whether another handle selects the same samples of the same tensor."""
        return (
            (self._session, self._path, self._row) == (other._session, other._path, other._row)
            and repr(self._subs) == repr(other._subs)
            and self.sample_indices == other.sample_indices
        )

    def pop(self, index: int | Sequence[int] | slice | None = None) -> None:
        """Remove samples at the end, by default the last; other tensors keep theirs.

        Others than the last ones go only with their whole rows, by `Dataset.pop`, unless
        this is the only tensor: the samples behind them would belong to the wrong rows.
        """
        self._whole("pop")
        writing.remove_alone(self._session, self._path, -1 if index is None else index)

    def clear(self) -> None:
        """Remove all samples."""
        self._whole("clear")
        writing.clear(self._session, self._path)

    def _source(self) -> TensorsSource:
        if self._subs:
            raise InvalidError(
                f"a loader takes whole samples of tensor {self._path!r}: select rows only, and "
                "parts of samples by transform=lambda sample: sample[...]"
            )
        return source_of_tensors(
            self._session, {self._path: self._path}, self._selected(), single=True
        )

    def __reduce__(self) -> tuple[Any, ...]:
        place = self._path, self._rows, self._row, self._subs
        return _reopened, (source_for(self._session), *place)

    def __repr__(self) -> str:
        kind = f"htype={self.htype} shape={self.shape} dtype={self.dtype}"
        return f"<hubzarr.Tensor {self._path} {kind}>"


def _reopened(source: Source, *place: Any) -> Tensor:
    return Tensor(opened_again(source), *place)


def _part(sample: Any, subs: tuple[Any, ...]) -> Any:
    for key in subs:
        sample = as_array(sample)[key]
    return sample


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if isinstance(value, np.ndarray):
        return _named(value.tolist(), names)
    return names[value] if 0 <= value < len(names) else None
