"""Changing samples, of one tensor or of several whose rows stay together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from hubzarr.arrays.values import fitted
from hubzarr.datasets.catalog import catalog_of, not_found
from hubzarr.datasets.columns import Column, add, column_of, replace_sample, replace_samples
from hubzarr.datasets.entry import TensorEntry, write_entry
from hubzarr.datasets.info import Info
from hubzarr.datasets.ragged import RaggedColumn, is_large
from hubzarr.datasets.rows import Rows, as_numbers, check_rows, select_rows
from hubzarr.datasets.undoing import as_it_is, make_empty, take_back, whole_or_not
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.datasets.values import as_array, one_value
from hubzarr.dtypes import from_torch
from hubzarr.engine import ArrayEngine
from hubzarr.errors import InvalidError, SampleError
from hubzarr.htypes import (
    Prepared,
    TensorSpec,
    empty,
    new_class_names,
    prepare,
    prepare_many,
    settled_by,
)
from hubzarr.indexing import apply, identity
from hubzarr.media import Sample
from hubzarr.progress import progress
from hubzarr.session import Session

__all__ = [
    "clear",
    "extend",
    "headers",
    "large_or_prepared",
    "length_of",
    "remove",
    "remove_alone",
    "update",
    "update_many",
    "update_row",
    "update_rows",
]

#: Samples that are prepared, and then stored, at a time.
_BATCH = 512
_ARRAY_BATCH = 1 << 16


def length_of(session: Session, path: str, entry: TensorEntry) -> int:
    """Number of samples of a tensor."""
    column = column_of(session, path, entry)
    return 0 if column is None else len(column)


def extend(
    session: Session,
    columns: Mapping[str, Any],
    *,
    progressbar: bool = False,
    ignore_errors: bool = False,
) -> list[tuple[int, SampleError]]:
    """Append samples to several tensors: all rows, or none if anything fails.

    Parameters
    ----------
    session : Session
    columns : mapping
        Samples by path of the tensor, as many for each.
    progressbar : bool
    ignore_errors : bool
        Leave out rows with a sample that does not fit.

    Returns
    -------
    list of (int, SampleError)
        Rows left out, and why.
    """
    columns = {path: _sized(path, samples) for path, samples in columns.items()}
    count = _common_length(columns)
    skipped: list[tuple[int, SampleError]] = []
    with session.lock:
        session.check_writable()
        before = {path: as_it_is(session, path, _entry(session, path)) for path in columns}
        arrays = all(isinstance(samples, np.ndarray) for samples in columns.values())
        step = _ARRAY_BATCH if arrays else _BATCH
        starts: Iterable[int] = range(0, count, step)
        if progressbar:
            starts = progress(starts, "appending")
        try:
            for start in starts:
                rows = slice(start, min(start + step, count))
                batch = {path: samples[rows] for path, samples in columns.items()}
                skipped += _append_rows(session, batch, start, ignore_errors)
        except BaseException:
            take_back(session, before)
            raise
        session.touch()
    return skipped


def _entry(session: Session, path: str) -> TensorEntry:
    tensors = catalog_of(session).tensors
    if path not in tensors:
        raise not_found(path, list(tensors))
    return tensors[path]


def _sized(path: str, samples: Any) -> Any:
    if isinstance(samples, str | bytes | Mapping) or not isinstance(samples, Iterable):
        raise SampleError(
            f"tensor {path!r} is extended by a sequence of samples, not by "
            f"{type(samples).__name__}; append() takes one sample"
        )
    if isinstance(samples, np.ndarray) and not samples.ndim:
        raise SampleError(
            f"tensor {path!r} is extended by samples along the first axis of an array; this one "
            "has no axis: append() takes one sample"
        )
    if isinstance(samples, Sequence | np.ndarray):
        return samples
    if hasattr(samples, "__array__"):
        small = from_torch(samples)
        return np.asarray(samples) if small is None else small
    return list(samples)


def _common_length(columns: Mapping[str, Any]) -> int:
    lengths = {path: len(samples) for path, samples in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{path}: {n}" for path, n in lengths.items())
        raise InvalidError(f"columns of different lengths make no rows: {listed}")
    return next(iter(lengths.values()), 0)


def _append_rows(
    session: Session, batch: dict[str, Any], first: int, ignore_errors: bool
) -> list[tuple[int, SampleError]]:
    """Append one batch of rows; returns those left out."""
    prepared: dict[str, Any] = {}
    skipped: list[tuple[int, SampleError]] = []
    while True:
        try:
            for path, samples in batch.items():
                prepared[path] = _prepared(session, path, samples)
            break
        except SampleError as error:
            index = error.fields.get("index")
            if not ignore_errors or index is None:
                raise
            gone = {number - first for number, _ in skipped}
            left = [i for i in range(len(next(iter(batch.values()))) + len(gone)) if i not in gone]
            skipped.append((first + left[index], error))
            batch = {p: [*s[:index], *s[index + 1 :]] for p, s in batch.items()}
    for path, values in prepared.items():
        add(session, path, _entry(session, path), values)
    return sorted(skipped, key=itemgetter(0))


def _prepared(session: Session, path: str, samples: Any) -> Any:
    """Samples as they are stored; settles what the tensor left open until its first sample."""
    entry = _entry(session, path)
    if not len(samples):
        return []
    if type(samples[0]) is Prepared:
        return samples  # a transform's workers did this
    if entry.spec.dtype is None:
        spec = settled_by(entry.spec, map(_telling, samples))
        if spec != entry.spec:
            return _settled_now(session, path, entry.with_spec(**vars_of(spec)), samples)
    return _converted(session, path, entry, samples)


def _settled_now(session: Session, path: str, entry: TensorEntry, samples: Any) -> Any:
    """Samples, the first of which say what those of the tensor are."""
    column = column_of(session, path, entry)
    write_entry(session, path, entry)
    prepared = _converted(session, path, entry, samples)
    if column is None:
        return prepared
    # All samples so far are empty, and took on a form that was but a guess.
    count, axes = len(column), max(1, *(len(each.shape) for each in prepared))
    none = empty(entry.spec)
    if entry.spec.stores == "array":
        none = Prepared(np.zeros((0,) * axes, entry.spec.numpy_dtype), (0,) * axes)
    make_empty(session, path, _info(session, path))
    add(session, path, entry, [none] * count)
    return prepared


def _converted(session: Session, path: str, entry: TensorEntry, samples: Any) -> Any:
    info = _info(session, path)
    try:
        if not isinstance(samples, np.ndarray) and any(is_large(x) for x in samples):
            return [large_or_prepared(entry.spec, x, info) for x in samples]
        new = new_class_names(entry.spec, samples, info)
        if new:
            Info(session, path)["class_names"] = [*info.get("class_names", []), *new]
            info = _info(session, path)
        return prepare_many(entry.spec, samples, info)
    except SampleError as error:
        fields = error.fields
        if "index" not in fields:
            fields = {**fields, "index": _first_unfit(entry, samples, info)}
        raise SampleError(f"tensor {path!r}: {error}", **fields) from error


def _first_unfit(entry: TensorEntry, samples: Any, info: Mapping[str, Any]) -> int | None:
    """Which sample it is that does not fit, where a look at all of them together did not tell."""
    for index, sample in enumerate(samples):
        try:
            prepare(entry.spec, sample, info)
        except SampleError:
            return index
    return None


def vars_of(spec: Any) -> dict[str, Any]:
    """Fields of a specification."""
    return {name: getattr(spec, name) for name in type(spec).__dataclass_fields__}


def _telling(value: Any) -> Any:
    """What tells a tensor's dtype: of a sample that is read box by box, nothing is read."""
    if is_large(value) and not isinstance(value, np.ndarray):
        return np.empty(0, value.dtype)
    return value


def large_or_prepared(spec: TensorSpec, value: Any, info: Mapping[str, Any]) -> Prepared:
    """One sample as it is stored; one that is stored tile by tile stays as it is."""
    if not is_large(value) or (isinstance(value, np.ndarray) and spec.stores != "file"):
        return prepare(spec, value, info)
    if spec.is_sequence or spec.stores not in ("array", "file"):
        raise SampleError(
            f"a sample of type {type(value).__name__} and shape {tuple(value.shape)}; samples of "
            f"htype {spec.htype!r} are no arrays"
        )
    shape = tuple(value.shape)
    spec.kind.fit(shape)  # raises where the htype has no such shapes
    dtype = spec.numpy_dtype
    if dtype is not None and not np.can_cast(value.dtype, dtype, "safe"):
        raise SampleError(
            f"a sample of {value.dtype} in a tensor of {dtype}; create the tensor with "
            f"dtype={value.dtype.name!r}"
        )
    return Prepared(value, shape)


def _info(session: Session, path: str) -> dict[str, Any]:
    document = session.document(path) or {}
    attributes: dict[str, Any] = document.get("attributes", {})
    return attributes


def update(session: Session, path: str, row: int, value: Any, subs: tuple[Any, ...] = ()) -> None:
    """Set one sample, or a part of it."""
    with session.lock:
        session.check_writable()
        entry = _entry(session, path)
        column = column_of(session, path, entry)
        if column is None:
            raise InvalidError(f"tensor {path!r} has no samples to change")
        check_rows(range(row, row + 1), len(column), f"tensor {path!r}")
        if subs:
            _update_part(session, path, entry, column, row, value, subs)
        else:
            prepared = _prepared(session, path, [value])
            first = prepared[0]
            if isinstance(prepared, np.ndarray):
                first = Prepared(np.asarray(first), first.shape)
            replace_sample(session, path, _entry(session, path), row, first)
        session.touch()


def update_row(session: Session, row: int, columns: Mapping[str, Any]) -> None:
    """Set samples of one row: all of them, or none if one does not fit."""
    with session.lock:
        session.check_writable()
        for path, sample in columns.items():
            select_rows(range(length_of(session, path, _entry(session, path))), row, repr(path))
            _prepared(session, path, [sample])
        for path, sample in columns.items():
            update(session, path, row, sample)


def update_rows(session: Session, rows: Rows, columns: Mapping[str, Any]) -> None:
    """Set samples of several rows, one for each: all of them, or none if one does not fit."""
    with session.lock:
        session.check_writable()
        columns = {path: _sized(path, samples) for path, samples in columns.items()}
        for path, samples in columns.items():
            _one_for_each(samples, len(rows))
            check_rows(rows, length_of(session, path, _entry(session, path)), f"tensor {path!r}")
            _prepared(session, path, samples)
        for path, samples in columns.items():
            update_many(session, path, rows, samples)


def _update_part(
    session: Session,
    path: str,
    entry: TensorEntry,
    column: Column,
    row: int,
    value: Any,
    subs: tuple[Any, ...],
) -> None:
    if isinstance(column, UniformColumn) and len(subs) == 1:
        column.write(row, value, subs[0])
        return
    if isinstance(column, RaggedColumn):
        data, _ = column.data(row)
        if isinstance(data, ArrayEngine) and len(subs) == 1:
            t = apply(identity(data.shape), subs[0])
            data.write(t, fitted(value, t.shape, data.cells.dtype, f"tensor {path!r}"))
            return
    whole = np.array(as_array(one_value(column, entry, row)))
    target = whole
    for key in subs[:-1]:
        target = target[key]
        if not np.shares_memory(target, whole):
            raise InvalidError("a part of a copy can't be set; give one index for all axes")
    try:
        target[subs[-1]] = value
    except (ValueError, IndexError, OverflowError, TypeError) as error:
        raise InvalidError(f"sample {row} of tensor {path!r}: {error}") from error
    replace_sample(session, path, entry, row, prepare(entry.spec, whole, _info(session, path)))


def update_many(
    session: Session, path: str, rows: Rows, value: Any, subs: tuple[Any, ...] = ()
) -> None:
    """Set several samples: one value for each, or one for all. All fit, or none is set."""
    samples = value if _one_for_each(value, len(rows)) else [value] * len(rows)
    if not len(rows):
        return
    with session.lock:
        if subs:
            with whole_or_not(session, path):
                for row, sample in zip(rows, samples, strict=True):
                    update(session, path, int(row), sample, subs)
            return
        session.check_writable()
        check_rows(rows, length_of(session, path, _entry(session, path)), f"tensor {path!r}")
        prepared = _prepared(session, path, samples)
        replace_samples(session, path, _entry(session, path), rows, prepared)
        session.touch()


def _one_for_each(value: Any, count: int) -> bool:
    if isinstance(value, str | bytes | Mapping | Sample) or not hasattr(value, "__len__"):
        return False
    if np.ndim(value) == 0 if isinstance(value, np.ndarray) else False:
        return False
    if len(value) != count:
        raise InvalidError(f"{len(value)} samples for {count} rows; expected one for each")
    return True


def remove(session: Session, paths: Iterable[str], key: Any) -> None:
    """Drop rows of tensors; later rows move up."""
    with session.lock:
        session.check_writable()
        found = []
        for path in paths:
            column = column_of(session, path, _entry(session, path))
            chosen = select_rows(
                range(0 if column is None else len(column)), key, f"tensor {path!r}"
            )
            rows = [chosen] if isinstance(chosen, int) else chosen
            found.append((path, column, np.unique(np.asarray(rows, np.int64))))
        with contextlib.ExitStack() as stack:
            for path, column, rows in found:
                if column is not None and len(rows):
                    stack.enter_context(whole_or_not(session, path))
                    column.remove(rows)
        session.touch()


def remove_alone(session: Session, path: str, key: Any) -> None:
    """Drop samples of one tensor; those of others must not come to stand beside wrong ones."""
    with session.lock:
        length = length_of(session, path, _entry(session, path))
        chosen = select_rows(range(length), key, f"tensor {path!r}")
        rows = np.unique([chosen] if isinstance(chosen, int) else as_numbers(chosen))
        shown = [p for p, e in catalog_of(session).tensors.items() if not e.hidden]
        last = np.array_equal(rows, np.arange(length - len(rows), length))
        if len(shown) > 1 and not last:
            raise InvalidError(
                f"samples before the last can't be removed from tensor {path!r} alone: later ones "
                "would stand beside wrong rows of the others; ds.pop(index) removes whole rows"
            )
        remove(session, [path], key)


def clear(session: Session, path: str) -> None:
    """Drop all samples of a tensor."""
    with session.lock:
        session.check_writable()
        column = column_of(session, path, _entry(session, path))
        if column is not None:
            column.clear()
            session.touch()


def headers(column: Column | None, entry: TensorEntry, rows: Rows, single: bool) -> Any:
    """What the headers of samples' files say."""
    out = []
    for row in rows:
        meta: dict[str, Any] = {}
        if isinstance(column, RaggedColumn) and entry.spec.stores == "file":
            data, _ = column.data(int(row))
            if not isinstance(data, ArrayEngine) and len(data):
                sample = Sample(bytes(data), compression=entry.spec.sample_compression)
                meta = {"shape": sample.shape, "dtype": str(sample.dtype), **sample.meta}
        out.append(meta)
    return out[0] if single else out
