"""Statistics of a tensor's elements: of arrays from their chunks, of files from what is kept.

The combination of moments follows Chan, Golub and LeVeque (1983).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.datasets import layout
from hubzarr.datasets.entry import TensorEntry, default_channels, write_entry
from hubzarr.datasets.ragged import RaggedColumn, measured, nothing_measured, tile_boxes
from hubzarr.datasets.rows import as_numbers
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.datasets.values import values
from hubzarr.engine import ArrayEngine
from hubzarr.errors import InvalidError
from hubzarr.indexing import apply, identity
from hubzarr.media.pixels import combine_statistics
from hubzarr.progress import progress
from hubzarr.session import ArrayState
from hubzarr.session.rebase import box_view
from hubzarr.threads import map_all

if TYPE_CHECKING:
    from hubzarr.datasets.tensor import Tensor

__all__ = ["analyze", "reduce"]

type Array = np.ndarray[Any, Any]

#: Samples that are decoded before their statistics are put down.
_BATCH = 256


def reduce(tensor: Tensor, name: str, axis: Any) -> Any:
    """Mean, std, min or max of the selected samples."""
    by_channel = axis == "channel"
    column = tensor._column
    if isinstance(column, UniformColumn):
        return _of_array(tensor, name, axis)
    if column is None:
        raise InvalidError(f"tensor {tensor.name!r} has no samples, so it has no {name}")
    if axis is not None and not by_channel:
        raise InvalidError(
            f"samples of tensor {tensor.name!r} differ in shape: axis is None (all elements) or "
            f"'channel', not {axis!r}"
        )
    rows = as_numbers(tensor._selected())
    state = column.statistics
    if state is None:
        if tensor.spec.stores not in ("array", "file"):
            raise InvalidError(f"tensor {tensor.name!r} of htype {tensor.htype!r} has no {name}")
        found = _measure_now(tensor, column, rows)
    else:
        found = np.array(state.engine.read(apply(identity(state.shape), rows)))
    _measure_large(column, rows, found)
    if by_channel:
        _spread_grey(found)
    total = combine_statistics(found)
    if not by_channel:
        total = combine_statistics(total[:, None, :])
    return _finish(total[total[:, 0] > 0] if by_channel else total, name, by_channel)


def _spread_grey(found: Array) -> None:
    """Let a grey image count in each of the three colours where others are in colour."""
    channels = (found[:, :, 0] > 0).sum(axis=1)
    if found.shape[1] >= 3 and len(channels) and channels.max() >= 3:
        grey = channels == 1
        found[grey, 1:3] = found[grey, :1]


def _finish(total: Array, name: str, by_channel: bool) -> Any:
    if not len(total) or not total[0, 0]:
        raise InvalidError(f"no elements are selected, so there is no {name}")
    count, sums, m2, low, high = total.T
    out = {
        "sum": lambda: sums,
        "mean": lambda: sums / count,
        "std": lambda: np.sqrt(m2 / count),
        "min": lambda: low,
        "max": lambda: high,
    }[name]()
    return out if by_channel else out[0]


def _of_array(tensor: Tensor, name: str, axis: Any) -> Any:
    array = tensor.array
    view: Any = array
    if tensor._row is not None or tensor._rows is not None:
        rows = tensor._selected()
        if isinstance(rows, range) and rows.step == 1:
            view = array[rows.start : rows.stop]
        else:
            view = array.oindex[as_numbers(rows)]
    if tensor._subs:
        view = np.asarray(tensor.numpy())
    if axis == "channel":
        axis = tuple(range(view.ndim - 1))
    return getattr(view, name)(axis=axis)


def _measure_now(tensor: Tensor, column: RaggedColumn, rows: Array) -> Array:
    """Statistics of samples that none are kept of: they are read."""
    channels = channels_of(column)
    entry = tensor._entry
    parts = [
        _measured(column, entry, rows[start : start + _BATCH], channels)
        for start in range(0, len(rows), _BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, channels, 5))


def _measured(column: RaggedColumn, entry: TensorEntry, rows: Array, channels: int) -> Array:
    """Statistics of samples; of large ones nothing, as for those that are kept."""
    concurrency = column.session.storage.concurrency
    out = np.stack([nothing_measured(channels)] * len(rows))
    small = column.entries(rows)[:, 1] >= 0
    samples = list(values(column, entry, rows[small]))
    found = map_all(lambda x: measured(np.asarray(x), channels), samples, concurrency, 4)
    if found:
        out[small] = np.stack(found)
    return out


def _measure_large(column: RaggedColumn, rows: Array, found: Array) -> None:
    """Put in what is not kept: statistics of large samples, parts of which may have changed."""
    blank = np.flatnonzero(~found[..., 0].any(axis=1))
    if not len(blank):
        return
    entries = column.entries(rows[blank])
    for i, number, length in zip(blank, entries[:, 0], entries[:, 1], strict=True):
        if length < 0:
            found[i] = _of_blocks(column.large(int(number)), found.shape[1])


def _of_blocks(engine: ArrayEngine, channels: int) -> Array:
    """Statistics of a large sample, read by parts that have all channels."""
    shape, tile = engine.shape, engine.cells.cell_shape
    if len(shape) > 2:
        tile = (*tile[:-1], shape[-1])
    out = nothing_measured(channels)
    for box in tile_boxes(shape, tile):
        out = combine_statistics(np.stack([out, measured(engine.read(box_view(box)), channels)]))
    return out


def channels_of(column: RaggedColumn) -> int:
    """Channels that a tensor's samples have at most; 1 for all but images."""
    if column.spec.base.split(".")[0] != "image" or column.ndim < 3:
        return 1
    return max(1, int(column.interval()[1][-1]))


def analyze(tensor: Tensor, progressbar: bool) -> None:
    """Compute statistics of all samples and keep them, then and for samples to come."""
    session = tensor._session
    with session.lock:
        session.check_writable()
        column = tensor._column
        if isinstance(column, UniformColumn):
            return  # its chunks have statistics
        entry = tensor._entry
        if entry.spec.stores not in ("array", "file"):
            raise InvalidError(
                f"tensor {tensor.name!r} of htype {tensor.htype!r} has no pixels to analyze"
            )
        if column is None:
            write_entry(
                session, tensor.name, replace(entry, statistics=default_channels(entry.spec))
            )
            return
        if column.statistics is not None:
            return
        channels = channels_of(column)
        path = f"{tensor.name}/{layout.STATISTICS}"
        state = session.create_array(path, layout.statistics_document(channels))
        try:
            _fill(tensor, column, state, channels, progressbar)
        except BaseException:
            session.remove(path)
            raise
        write_entry(session, tensor.name, replace(entry, statistics=channels))


def _fill(
    tensor: Tensor, column: RaggedColumn, state: ArrayState, channels: int, progressbar: bool
) -> None:
    starts: Any = range(0, len(column), _BATCH)
    if progressbar:
        starts = progress(starts, f"analyzing {tensor.name}")
    for start in starts:
        rows = np.arange(start, min(start + _BATCH, len(column)))
        state.append(_measured(column, tensor._entry, rows, channels))
