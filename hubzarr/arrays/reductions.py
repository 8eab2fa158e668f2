"""Mean, std and their kin of a view: from stored statistics where these suffice, else in blocks.

A box of an array answers from its chunk table; only chunks that it cuts are read. Along
other axes, and for views with steps or index arrays, the data streams through in blocks, so
that memory stays bounded whatever the size of the array.
"""

from __future__ import annotations

import operator
from math import prod
from typing import Any, Final

import numpy as np

from hubzarr.arrays.streaming import Reduction, Slices, block_bytes, cut_view, stream
from hubzarr.dtypes import kind_of, wide_dtype
from hubzarr.engine.array import ArrayEngine
from hubzarr.engine.statistics import along_rows, box_rows, has_rows, settle
from hubzarr.errors import InvalidError, InvalidTypeError, OutOfBoundsError
from hubzarr.indexing import Affine, Box, Const, Transform, box_cells
from hubzarr.indexing import apply as view_of
from hubzarr.stats import Rows, combine, constant, merge_channels
from hubzarr.stats import histogram as count
from hubzarr.table.table import Table
from hubzarr.threads import map_all, threads_for

__all__ = ["NAMES", "back", "bin_edges", "histogram", "prepare", "reduce", "table_box", "unflip"]

type Array = np.ndarray[Any, Any]

#: Statistics of a view.
NAMES: Final = (
    "mean", "std", "var", "min", "max", "sum", "count",
    "nanmean", "nanstd", "nanvar", "nanmin", "nanmax", "nansum",
)  # fmt: skip
#: Bytes of a block of a histogram: small enough that stored extremes often settle it.
HISTOGRAM_BYTES: Final = 4 << 20


def reduce(
    engine: ArrayEngine,
    t: Transform,
    name: str,
    *,
    axis: Any = None,
    keepdims: bool = False,
    ddof: float = 0,
    dtype: Any = None,
) -> Any:
    """Compute a statistic of a view, as the NumPy function of that name does.

    Parameters
    ----------
    engine : ArrayEngine
        Of the array.
    t : Transform
        The view.
    name : str
        One of `NAMES`; ``count`` is the number of elements that are not NaN.
    axis : int, tuple of int or None
        Axes to reduce; None means all.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    ddof : float, default 0
        For variance and standard deviation: divide by ``n - ddof``.
    dtype : dtype-like, optional
        Of the result of sum, mean, var and std.

    Returns
    -------
    numpy scalar or numpy.ndarray
    """
    task = prepare(t, name, axis=axis, keepdims=keepdims, ddof=ddof, dtype=dtype)
    forward, flipped = unflip(t)
    out = _from_table(engine, forward, task)
    if out is None:
        out = stream(engine, forward, task)
    return _unflip_result(out, task, flipped, t.ndim) if flipped else out


def prepare(
    t: Transform, name: str, *, axis: Any, keepdims: bool, ddof: float, dtype: Any
) -> Reduction:
    """Check the arguments of a reduction."""
    if name not in NAMES:
        raise InvalidError(f"no statistic {name!r}; expected one of {', '.join(NAMES)}")
    return Reduction(name, normalize_axes(axis, t.ndim), bool(keepdims), ddof, dtype)


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the axes to reduce, sorted and not negative.

    Examples
    --------
    >>> from hubzarr.arrays.reductions import normalize_axes
    >>> normalize_axes((-1, 0), 3), normalize_axes(None, 2)
    ((0, 2), (0, 1))
    """
    if axis is None:
        return tuple(range(ndim))
    try:
        given = [operator.index(a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    except TypeError:
        raise InvalidTypeError(
            f"axis is {axis!r}; expected an integer, a tuple of integers or None"
        ) from None
    for a in given:
        if not -ndim <= a < ndim:
            raise OutOfBoundsError(
                f"axis {a} is out of bounds for an array of {ndim} axes; expected "
                + (f"{-ndim} to {ndim - 1}" if ndim else "None")
            )
    found = tuple(sorted({a % ndim for a in given}))
    if len(found) != len(given):
        raise InvalidError(f"an axis is repeated in {axis}; name each once")
    return found


def unflip(t: Transform) -> tuple[Transform, tuple[int, ...]]:
    """Return the view with every negative step turned round, and the axes that were turned.

    Examples
    --------
    >>> from hubzarr.arrays.reductions import unflip
    >>> from hubzarr.indexing import apply, identity
    >>> unflip(apply(identity((4, 6)), (slice(None), slice(None, None, -1))))[0].box
    ((0, 4), (0, 6))
    """
    if t.box is not None:
        return t, ()
    flipped = [m.axis for m in t.maps if type(m) is Affine and m.step < 0 and t.shape[m.axis]]
    if not flipped:
        return t, ()
    turn = tuple([slice(None, None, -1 if v in flipped else 1) for v in range(t.ndim)])
    return _as_box(view_of(t, turn)), tuple(flipped)


def _as_box(t: Transform) -> Transform:
    """The same view with its box, if it is one."""
    box, axes = [], [-1] * t.ndim
    for source, m in enumerate(t.maps):
        if isinstance(m, Affine) and m.step == 1:
            box.append((m.start, m.start + t.shape[m.axis]))
            axes[m.axis] = source
        elif isinstance(m, Const):
            box.append((m.index, m.index + 1))
        else:
            return t
    if any(a < 0 and n != 1 for a, n in zip(axes, t.shape, strict=True)):
        return t
    return Transform(t.shape, tuple(box), tuple(axes))


def _unflip_result(out: Any, task: Reduction, flipped: tuple[int, ...], ndim: int) -> Any:
    """Turn the axes of a result round again that `unflip` turned."""
    turned = [v in flipped for v in range(ndim) if task.keepdims or v not in task.axes]
    return out[back(turned)] if any(turned) else out


def back(turned: list[bool]) -> Slices:
    """The index that turns some axes round."""
    return tuple([slice(None, None, -1 if turn else 1) for turn in turned])


# -- from the table ----------------------------------------------------------


def table_box(engine: ArrayEngine, t: Transform, task: Reduction) -> Box | None:
    """The box whose stored rows give the result as they are, or merged into one."""
    if t.box is None or not t.size or not has_rows(engine):
        return None
    kept = [v for v in range(t.ndim) if v not in task.axes and t.shape[v] != 1]
    if kept and (engine.cells.channels == 1 or [t.axes[v] for v in kept] != [len(t.box) - 1]):
        return None
    return t.box


def _from_table(engine: ArrayEngine, t: Transform, task: Reduction) -> Any:
    """The result if the table and single chunks give it, else None."""
    box, shape = table_box(engine, t, task), task.shape(t.shape)
    if box is not None:
        rows = box_rows(engine, box)
        if prod(shape) == 1:
            rows = merge_channels(rows)
    else:
        found = _along(engine, t, task)
        if found is None:
            return None
        rows = found
    return task.finish(rows.reshape(shape), engine.cells.dtype)


def _along(engine: ArrayEngine, t: Transform, task: Reduction) -> Rows | None:
    """Rows for each position along axes that cells have length 1 on; None for other axes."""
    if t.box is None or not t.size or not has_rows(engine):
        return None
    cells = engine.cells
    kept = [t.axes[v] for v in range(t.ndim) if v not in task.axes and t.shape[v] != 1]
    lanes = cells.channels > 1 and kept[-1:] == [len(t.box) - 1]
    if lanes:
        kept.pop()
    if any(cells.cell_shape[axis] != 1 for axis in kept):
        return None
    rows = along_rows(engine, t.box, kept)
    return rows if lanes else merge_channels(rows)


# -- histograms --------------------------------------------------------------


def histogram(
    engine: ArrayEngine, t: Transform, bins: Any = 10, range: Any = None
) -> tuple[Array, Array]:
    """Count the elements of a view by value, as `numpy.histogram` does.

    Parameters
    ----------
    engine : ArrayEngine
        Of the array.
    t : Transform
        The view.
    bins : int or array-like, default 10
        How many bins of equal width, or their edges.
    range : (float, float), optional
        Of the bins; by default from the smallest to the largest element, which stored
        statistics know.

    Returns
    -------
    counts, edges : numpy.ndarray
    """
    edges, numbers = bin_edges(engine, t, bins, range)
    return _counts(engine, unflip(t)[0], edges, numbers), edges


def bin_edges(
    engine: ArrayEngine, t: Transform, bins: Any = 10, range: Any = None
) -> tuple[Array, np.dtype[Any]]:
    """Edges of the bins of a histogram, and the dtype that elements are counted as."""
    dtype = engine.cells.dtype
    if kind_of(dtype) not in "biuf":
        raise InvalidTypeError(
            f"no histogram of dtype {dtype}; expected booleans, integers or floats"
        )
    if isinstance(bins, str):
        raise InvalidError(
            f"bins is {bins!r}, a rule that needs all elements; expected a number of bins, or edges"
        )
    numbers = np.dtype("u1") if dtype.kind == "b" else wide_dtype(dtype).newbyteorder("=")
    sample = np.empty(0, numbers)
    if range is None and np.ndim(bins) == 0 and t.size:
        extremes = [reduce(engine, t, name) for name in ("min", "max")]
        sample = np.array(extremes).astype(numbers)
    try:
        return np.histogram_bin_edges(sample, bins, range), numbers
    except (TypeError, ValueError) as error:
        raise InvalidError(
            f"no histogram with bins {bins!r} and range {range!r}: {error}"
        ) from None


def _counts(engine: ArrayEngine, t: Transform, edges: Array, numbers: np.dtype[Any]) -> Array:
    total = np.zeros(len(edges) - 1, "i8")
    if not t.size:
        return total
    table = settle(engine)
    concurrency = engine.cells.storage.concurrency
    size = min(HISTOGRAM_BYTES, block_bytes(threads_for(concurrency)))
    cuts = cut_view(engine, t, normalize_axes(None, t.ndim), size)

    def run(group: tuple[Slices, list[Slices]]) -> Array:
        found = np.zeros(len(edges) - 1, "i8")
        for part in cuts.parts(t, *group):
            ends = _extremes(engine, table, part)
            if ends is not None:
                where = count(ends.astype(numbers), edges)
                if where.max() == 2 or ends[1] < edges[0] or ends[0] > edges[-1]:
                    found += where // 2 * part.size  # all elements lie in one bin, or in none
                    continue
            found += count(engine.read(part).astype(numbers, copy=False), edges)
        return found

    for found in map_all(run, cuts.groups(16 * threads_for(concurrency)), concurrency):
        total += found
    return total


def _extremes(engine: ArrayEngine, table: Table, t: Transform) -> Array | None:
    """Two values between which all elements of a view lie, if stored statistics know them."""
    if t.box is None or table.stats is None or not has_rows(engine):
        return None
    cells = engine.cells
    first, last = box_cells(t.box, cells.cell_shape)
    stop = tuple([n + 1 for n in last])
    row = merge_channels(table.stats.roll_box(first or (0,), stop or (1,)))[0]
    size = prod(
        [
            min(b * c, n) - a * c
            for a, b, c, n in zip(first, stop, cells.cell_shape, engine.shape, strict=True)
        ]
    )
    if row["n"] < size:
        if row["nan"] or row["unknown"]:
            return None
        fill = constant(cells.dtype, cells.codec.fill_value, size - int(row["n"]))
        row = combine(np.stack([row, fill[0]]))
        if row["nan"]:
            return None
    return np.array([row["min"], row["max"]])
