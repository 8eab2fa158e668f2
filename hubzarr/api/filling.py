"""Arrays made from values that exist elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.api.creation import array
from hubzarr.api.opening import exists
from hubzarr.arrays import Array
from hubzarr.arrays.lazy import stored_chunks
from hubzarr.config import get_config
from hubzarr.errors import HubzarrError, InvalidError, InvalidTypeError
from hubzarr.history.heads import head
from hubzarr.progress import progress
from hubzarr.session import branching
from hubzarr.session.copying import delete_repository
from hubzarr.session.opening import existing_versions

if TYPE_CHECKING:
    import dask.array

__all__ = ["from_dask", "from_numpy", "from_zarr"]

#: Bytes that go over at a time, so that memory stays bounded and progress shows.
_BLOCK = 64 << 20


def from_numpy(x: Any, name: str, **options: Any) -> Array:
    """Create an array with the shape, dtype and values of `x`, and commit it.

    Parameters
    ----------
    x : array_like
    name : str
    **options
        As for `array`.

    Examples
    --------
    >>> import hubzarr as hub
    >>> hub.from_numpy([[1, 2], [3, 4]], "examples/numpy").sum()
    np.int64(10)
    """
    values = np.asarray(x)
    dtype: Any = values.dtype
    if dtype.kind == "O":
        if not all(isinstance(v, str) for v in values.flat):
            raise InvalidTypeError(
                "arrays of Python objects can't be stored; give numbers, strings, dates or a "
                "structured dtype"
            )
        dtype = str
    with _made(values.shape, name, dtype=options.pop("dtype", dtype), **options) as out:
        return _filled(out, values, "values from NumPy")


@contextlib.contextmanager
def _made(shape: Any, name: str, **options: Any) -> Iterator[Array]:
    """A new array, to be filled; an error in that takes back what was made, and no more."""
    there = bool(options.get("exist_ok")) and exists(
        name, storage_options=options.get("storage_options")
    )
    out = array(shape, name, **options)
    made = out._session.manifest.commit.number
    try:
        yield out
    except BaseException:
        if not there:
            with contextlib.suppress(HubzarrError):  # the first error is the one to show
                _take_back(out, made)
        raise


def _take_back(out: Array, made: int) -> None:
    """Undo the creation of an array, unless somebody used it already."""
    storage, version = out._session.storage, out.version
    newest = head(storage, version)
    if newest is None or newest.commit.number != made:
        return
    if made:  # it was overwritten
        out.revert(made - 1, discard=True)
        return
    out.discard()
    branching.delete_version(storage, version, get_config().author)
    if not existing_versions(storage):
        delete_repository(storage)


def _filled(out: Array, source: Any, message: str) -> Array:
    """Copy all elements in blocks of whole cells, and commit them once."""
    with out.transaction(message):
        if not out.shape:
            out[...] = source[()]
        elif out.size:
            rows = (out.shards or out.chunks)[0]
            step = rows * max(1, _BLOCK // (rows * out[:1].nbytes))
            for start in progress(range(0, len(out), step), f"storing {out.name}"):
                out[start : start + step] = source[start : start + step]
    return out


def from_dask(x: dask.array.Array, name: str, *, scheduler: Any = None, **options: Any) -> Array:
    """Create an array from a dask array, whose tasks store it in parallel as one commit.

    Parameters
    ----------
    x : dask.array.Array
        Of known shape. Its chunks are kept where they are regular and `chunks` is not given;
        of one that was computed from `to_dask`, those of the array that it reads.
    name : str
    scheduler : optional
        As for `dask.compute`: by default the current client's cluster, else threads.
    **options
        As for `array`.

    Notes
    -----
    If storing fails, nothing is left behind: no new array, and one that was to be
    overwritten is as it was.

    Examples
    --------
    >>> import dask.array as da
    >>> import hubzarr as hub
    >>> hub.from_dask(da.arange(10, chunks=5), "examples/dask").chunks
    (5,)
    """
    if any(n != n for n in x.shape):
        raise InvalidError("a dask array of unknown shape can't be stored: compute_chunk_sizes()")
    if "chunks" not in options and x.ndim and all(x.shape):
        options["chunks"] = stored_chunks(x) or tuple(max(axis) for axis in x.chunks)
        options.setdefault("shards", None)
    with _made(x.shape, name, dtype=options.pop("dtype", x.dtype), **options) as out:
        out.store(x, message="values from dask", scheduler=scheduler)
        return out


def from_zarr(source: Any, name: str, **options: Any) -> Array:
    """Create an array from a Zarr array of version 2 or 3, in bounded memory.

    Parameters
    ----------
    source : zarr.Array, str or StoreLike
        What `zarr.open_array` takes.
    name : str
    **options
        As for `array`; chunks, shards, fill value and attributes are taken over otherwise.

    Examples
    --------
    >>> import hubzarr as hub
    >>> import numpy as np
    >>> import zarr
    >>> z = zarr.array(np.arange(6), chunks=(2,))
    >>> a = hub.from_zarr(z, "examples/zarr")
    >>> a.chunks, a.sum()
    ((2,), np.int64(15))
    """
    import zarr

    z = source if isinstance(source, zarr.Array) else zarr.open_array(source, mode="r")
    options.setdefault("chunks", z.chunks)
    options.setdefault("shards", z.shards)
    options.setdefault("fill_value", 0 if z.fill_value is None else z.fill_value)
    options.setdefault("attributes", dict(z.attrs))
    with _made(z.shape, name, dtype=options.pop("dtype", z.dtype), **options) as out:
        return _filled(out, z, "values from Zarr")
