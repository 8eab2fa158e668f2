"""What arrays and views have in common: everything that only reads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from hubzarr.arrays import functions
from hubzarr.arrays.lazy import dask_histogram
from hubzarr.arrays.loading import ArraySource
from hubzarr.arrays.printing import edge_text
from hubzarr.arrays.reductions import bin_edges, histogram, reduce
from hubzarr.dtypes import kind_of
from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.indexing import Transform
from hubzarr.loaders import Loading

if TYPE_CHECKING:
    import dask.array

    from hubzarr.arrays.handle import Source
    from hubzarr.engine import ArrayEngine

__all__ = ["Readable"]

type Axis = int | Sequence[int] | None


class Readable(NDArrayOperatorsMixin, Loading):
    """A rectangle of elements on a store, read when its values are asked for.

    NumPy functions and operators work on it and give plain NumPy arrays. Statistics are
    answered from what the manifest knows where that is possible; see `mean`.
    """

    __slots__ = ()

    #: NumPy operators with arrays on their left come to us.
    __array_priority__: ClassVar[float] = 20.0

    @abstractmethod
    def _engine(self) -> ArrayEngine:
        """The engine that reads."""

    @abstractmethod
    def _transform(self) -> Transform:
        """Which elements of the engine's array these are."""

    @abstractmethod
    def _lazy(self, name: str | None, **options: Any) -> Any:
        """A dask array: of the elements (name None) or of a statistic."""

    @abstractmethod
    def _handle(self) -> Source:
        """What opens the array elsewhere; what was written is committed first."""

    def _source(self) -> ArraySource:
        return ArraySource(self._handle(), self._transform())

    # -- shape ---------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._transform().shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self._engine().cells.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._transform().size

    @property
    def nbytes(self) -> int:
        """Bytes of all elements in memory, whether or not they were ever written."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise InvalidTypeError("a 0-d array has no length; use .size")
        return shape[0]

    def __bool__(self) -> bool:
        return bool(self.compute())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        value = self.item()
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidTypeError(f"{type(value).__name__} can't be used as an index")
        return value

    def __eq__(self, other: object) -> Any:
        if kind_of(self.dtype) == "V":  # NumPy compares structures by an operator, not by a ufunc
            return self.compute() == (other.compute() if isinstance(other, Readable) else other)
        return super().__eq__(other)

    def __ne__(self, other: object) -> Any:
        if kind_of(self.dtype) == "V":
            return self.compute() != (other.compute() if isinstance(other, Readable) else other)
        return super().__ne__(other)

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, value: object) -> bool:
        return bool((self.compute() == value).any())

    # -- values --------------------------------------------------------------

    def compute(self) -> np.ndarray[Any, Any]:
        """Read the elements.

        Returns
        -------
        ndarray
            A new array of this shape and dtype.

        Raises
        ------
        DamagedError
            A chunk is missing or is not what was written.
        """
        return self._engine().read(self._transform())

    def numpy(self) -> np.ndarray[Any, Any]:
        """Read the elements: the same as `compute`."""
        return self.compute()

    def item(self) -> Any:
        """The only element as a Python scalar."""
        if self.size != 1:
            raise InvalidError(
                f"only one element can become a scalar, not {self.size}; select one by its index"
            )
        return self.compute().item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python scalars."""
        return self.compute().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise InvalidError(
                "stored elements can't become a NumPy array without a copy; leave copy=False out"
            )
        out = self.compute()
        return out if dtype is None or out.dtype == dtype else out.astype(dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return functions.apply_ufunc(ufunc, method, inputs, kwargs, Readable)

    def __array_function__(
        self, func: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return functions.apply_function(func, args, kwargs, Readable)

    def to_dask(self, chunks: Any = "auto") -> dask.array.Array:
        """The elements as a dask array.

        Parameters
        ----------
        chunks : "auto", None, int, tuple, dict or str
            "auto" and None: blocks of whole stored chunks, about as large as dask's setting
            ``array.chunk-size`` says, and smaller where that leaves a processor without
            work. Others as dask takes them; ``a.chunks`` gives one block for each chunk.

        Returns
        -------
        dask.array.Array
            It holds this commit, so that later writes don't change it; tasks may run in
            other processes.

        Examples
        --------
        >>> import hubzarr as hub
        >>> a = hub.array((100, 100), "examples/to_dask", chunks=(10, 100))
        >>> a.to_dask(a.chunks).numblocks, a.to_dask(chunks=(50, -1)).chunks
        ((10, 1), ((50, 50), (100,)))
        """
        out: dask.array.Array = self._lazy(None, chunks=chunks)
        return out

    # -- statistics ----------------------------------------------------------

    def _reduce(
        self,
        name: str,
        axis: Axis,
        keepdims: bool,
        compute: bool,
        ddof: float = 0,
        dtype: Any = None,
    ) -> Any:
        wanted = axis if axis is None or isinstance(axis, int) else tuple(axis)
        if not compute:
            return self._lazy(name, axis=wanted, keepdims=keepdims, ddof=ddof, dtype=dtype)
        return reduce(
            self._engine(), self._transform(), name,
            axis=wanted, keepdims=keepdims, ddof=ddof, dtype=dtype,
        )  # fmt: skip

    def mean(
        self, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None, compute: bool = True
    ) -> Any:
        """Arithmetic mean.

        The statistics of stored chunks stand in the manifest, so the mean of the whole
        array reads no chunk, and that of a slice reads only the chunks that its border
        cuts. The same holds for `std`, `var`, `min`, `max`, `sum` and `count`, along no
        axis or along all but a last axis of at most four channels; along other axes the
        chunks are read, a bounded number at a time.

        Parameters
        ----------
        axis : int or sequence of int, optional
            Axes to reduce; all by default.
        keepdims : bool
            Keep reduced axes with length 1.
        dtype : dtype-like, optional
            Of the result.
        compute : bool
            False gives a dask array instead of computing now.

        Returns
        -------
        scalar, ndarray or dask.array.Array
            What NumPy gives for the same elements, to 1e-12 relative.
        """
        return self._reduce("mean", axis, keepdims, compute, dtype=dtype)

    def std(
        self,
        axis: Axis = None,
        *,
        ddof: float = 0,
        keepdims: bool = False,
        dtype: Any = None,
        compute: bool = True,
    ) -> Any:
        """Standard deviation; the divisor is ``n - ddof``. See `mean`."""
        return self._reduce("std", axis, keepdims, compute, ddof, dtype)

    def var(
        self,
        axis: Axis = None,
        *,
        ddof: float = 0,
        keepdims: bool = False,
        dtype: Any = None,
        compute: bool = True,
    ) -> Any:
        """Variance; the divisor is ``n - ddof``. See `mean`."""
        return self._reduce("var", axis, keepdims, compute, ddof, dtype)

    def sum(
        self, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None, compute: bool = True
    ) -> Any:
        """Sum; exact for integers, modulo 2**64 as in NumPy. See `mean`."""
        return self._reduce("sum", axis, keepdims, compute, dtype=dtype)

    def min(self, axis: Axis = None, *, keepdims: bool = False, compute: bool = True) -> Any:
        """Smallest element; NaN if there is any. See `mean`."""
        return self._reduce("min", axis, keepdims, compute)

    def max(self, axis: Axis = None, *, keepdims: bool = False, compute: bool = True) -> Any:
        """Largest element; NaN if there is any. See `mean`."""
        return self._reduce("max", axis, keepdims, compute)

    def count(self, axis: Axis = None, *, keepdims: bool = False, compute: bool = True) -> Any:
        """Number of elements that are not NaN. See `mean`."""
        return self._reduce("count", axis, keepdims, compute)

    def nanmean(
        self, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None, compute: bool = True
    ) -> Any:
        """Mean of the elements that are not NaN. See `mean`."""
        return self._reduce("nanmean", axis, keepdims, compute, dtype=dtype)

    def nanstd(
        self,
        axis: Axis = None,
        *,
        ddof: float = 0,
        keepdims: bool = False,
        dtype: Any = None,
        compute: bool = True,
    ) -> Any:
        """Standard deviation of the elements that are not NaN. See `mean`."""
        return self._reduce("nanstd", axis, keepdims, compute, ddof, dtype)

    def nanvar(
        self,
        axis: Axis = None,
        *,
        ddof: float = 0,
        keepdims: bool = False,
        dtype: Any = None,
        compute: bool = True,
    ) -> Any:
        """Variance of the elements that are not NaN. See `mean`."""
        return self._reduce("nanvar", axis, keepdims, compute, ddof, dtype)

    def nansum(
        self, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None, compute: bool = True
    ) -> Any:
        """Sum of the elements that are not NaN. See `mean`."""
        return self._reduce("nansum", axis, keepdims, compute, dtype=dtype)

    def nanmin(self, axis: Axis = None, *, keepdims: bool = False, compute: bool = True) -> Any:
        """Smallest element that is not NaN. See `mean`."""
        return self._reduce("nanmin", axis, keepdims, compute)

    def nanmax(self, axis: Axis = None, *, keepdims: bool = False, compute: bool = True) -> Any:
        """Largest element that is not NaN. See `mean`."""
        return self._reduce("nanmax", axis, keepdims, compute)

    def histogram(
        self,
        bins: int | Sequence[float] = 10,
        range: tuple[float, float] | None = None,
        *,
        compute: bool = True,
    ) -> tuple[Any, np.ndarray[Any, Any]]:
        """Counts and bin edges, as from `numpy.histogram`, in bounded memory.

        Without `range`, the smallest and the largest element come from the stored
        statistics. With ``compute=False`` the counts are a dask array; the edges are always
        known at once.
        """
        if compute:
            return histogram(self._engine(), self._transform(), bins=bins, range=range)
        edges, numbers = bin_edges(self._engine(), self._transform(), bins, range)
        elements: Any = self.to_dask()
        return dask_histogram(elements.astype(numbers), edges), edges

    # -- text ----------------------------------------------------------------

    def __str__(self) -> str:
        return edge_text(self)

    @abstractmethod
    def __getitem__(self, key: Any) -> Any:
        """Select elements, with NumPy's meaning of every key."""

    def __iter__(self) -> Iterator[Any]:
        for i in range(len(self)):
            yield self[i]
