"""Batches out of loaded windows: gathered, decoded, transformed, collated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from hubzarr.errors import DamagedError, HubzarrError, SampleError, TransformError
from hubzarr.loaders.collating import collate
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.loaded import Loaded
from hubzarr.loaders.memory import Memory
from hubzarr.loaders.options import Options
from hubzarr.loaders.sharing import Sharing
from hubzarr.loaders.source import Field, Source, Stored

__all__ = ["Assembler", "Part", "Skipped"]

type Numbers = npt.NDArray[np.int64]
#: Number of a row in the dataset, the tensor (None: the transform), and what went wrong.
type Skipped = tuple[int, str | None, Exception]

#: What may be wrong with one sample while others are fine.
_BROKEN = (SampleError, DamagedError)


class Part(NamedTuple):
    """Samples of a batch that come from one window.

    Attributes
    ----------
    loaded : Loaded
    places : ndarray of int64
        Where they are in its columns.
    at : ndarray of int64 or slice
        Where they go in the batch.
    """

    loaded: Loaded
    places: Numbers
    at: Any


@dataclass
class _Batch:
    """A batch that is being made: samples by their place in it."""

    parts: Sequence[Part]
    numbers: Numbers
    #: Tensor (None: the transform) and what went wrong.
    errors: dict[int, tuple[str | None, Exception]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.numbers)


class Assembler:
    """Makes batches for one reader.

    Parameters
    ----------
    source : Source
    options : Options
    to : Framework
    skipped : list
        Samples that were left out or replaced are added to it, once each.
    """

    def __init__(
        self, source: Source, options: Options, to: Framework, skipped: list[Skipped]
    ) -> None:
        self._source = source
        self._options = options
        self._to = to
        self._skipped = skipped
        self._sharing = Sharing()
        self._between = Memory()
        self._known = {(row, name) for row, name, _ in skipped}
        by_name = {one.name: one for one in source.fields}
        self.fields = [by_name[name] for name in options.tensors]

    def batch(self, parts: Sequence[Part], count: int) -> Any:
        """One batch; None if no sample of it is left.

        For ``batch_size=None``: samples apart, each with its place among the `count`.
        """
        rows = np.empty(count, np.int64)
        for part in parts:
            rows[part.at] = part.loaded.rows[part.places]
        batch = _Batch(parts, self._source.numbers(rows))
        columns = self._columns(batch)
        numbers, chosen = batch.numbers, self._chosen(batch)
        if chosen is not None:
            if not len(chosen):
                return None
            columns = {name: _some(column, chosen) for name, column in columns.items()}
            numbers = numbers[chosen]
        if self._options.batch_size is None:
            skips = chosen is not None and self._options.on_error == "skip"
            places = chosen.tolist() if chosen is not None and skips else range(len(numbers))
            return list(zip(places, self._apart(columns, len(numbers)), strict=True))
        if self._options.collate is not None:
            return self._to.finish(self._to.convert(self._collated(columns, numbers)))
        listed = numbers.tolist()
        found = {name: self._value(name, c, listed) for name, c in columns.items()}
        return self._to.finish(self._formed(found))

    # -- columns -----------------------------------------------------------------

    def _columns(self, batch: _Batch) -> dict[str, Any]:
        """Samples by name, transformed; what stands for broken ones is anything."""
        for one in self.fields:
            for part in batch.parts:
                if part.loaded.broken:
                    _note_broken(one.name, part, batch)
        columns = {one.name: self._column(one, batch) for one in self.fields}
        index = {"index": batch.numbers} if self._options.return_index else {}
        if not callable(self._options.transform):
            return columns | index
        if self._source.single:
            return self._transformed(columns, batch) | index
        return index | self._transformed(columns | index, batch)

    def _column(self, one: Field, batch: _Batch) -> Any:
        options, name = self._options, one.name
        transform = options.transform
        own = transform.get(name) if isinstance(transform, Mapping) else None
        if one.uniform:
            found = self._gathered(one, batch)
            if own is not None:
                return self._each(_applied(own, found), batch, name, "cpu")
            return found.tolist() if one.kind == "text" else found
        stored: list[Any] = [None] * batch.count
        for part in batch.parts:
            column, at = part.loaded.columns[name], np.arange(batch.count)[part.at]
            for i, place in zip(at.tolist(), part.places.tolist(), strict=True):
                stored[i] = column[place]
        return self._decoded(one, stored, batch, own)

    def _gathered(self, one: Field, batch: _Batch) -> npt.NDArray[Any]:
        """Rows of an array out of the windows."""
        shape = (batch.count, *(n or 0 for n in one.shape or ()))
        dtype, transform = one.dtype or np.dtype("u1"), self._options.transform
        # Not the framework's memory where a transform or Python comes between.
        between = callable(transform) or (isinstance(transform, Mapping) and one.name in transform)
        between = between or self._options.collate is not None
        memory = self._between if between or one.kind == "text" else self._to
        out = memory.empty(shape, dtype)
        for loaded, places, at in batch.parts:
            column: Any = loaded.columns[one.name]
            if isinstance(at, slice):
                np.take(column, places, axis=0, out=out[at], mode="clip")
            else:
                out[at] = column[places]
        return out

    def _decoded(
        self, one: Field, stored: list[Stored], batch: _Batch, own: Callable[[Any], Any] | None
    ) -> Any:
        """Samples out of what is stored: one array if they have one shape, else a list."""
        name, options = one.name, self._options
        decode: Callable[..., Any] = self._source.decode
        cost = one.cost
        # Whatever keeps us from reading a link belongs to its sample.
        broken: tuple[type[Exception], ...] = (HubzarrError,) if cost == "store" else _BROKEN
        if not options.decodes(name):
            cost, decode = "none", self._source.to_bytes
        if own is not None:
            cost = "cpu" if cost == "none" else cost
            return self._each(
                lambda i: _applied(own, [decode(name, stored[i])])(0), batch, name, cost, broken
            )
        out = self._target(one, stored, batch) if options.decodes(name) else None
        if out is None:
            return self._each(lambda i: decode(name, stored[i]), batch, name, cost, broken)
        # A slice of an array of no axes would be a scalar.
        slots = [out[i : i + 1].reshape(out.shape[1:]) for i in range(batch.count)]
        self._each(lambda i: decode(name, stored[i], slots[i]), batch, name, cost, broken)
        return out

    def _target(
        self, one: Field, stored: Sequence[Stored], batch: _Batch
    ) -> npt.NDArray[Any] | None:
        """An array for a whole batch, where samples can be decoded right into it."""
        options = self._options
        if (
            one.kind != "array" or one.dtype is None or one.cost == "store" or batch.errors
            or options.transform is not None or options.collate is not None
            or options.batch_size is None
            or options.how(one.name) not in ("stack", "pad")
        ):  # fmt: skip
            return None
        shapes = {sample.shape for sample in stored}
        if len(shapes) > 1:
            return None
        return self._to.empty((batch.count, *shapes.pop()), one.dtype)

    def _each(
        self, work: Callable[[int], Any], batch: _Batch, name: str | None, cost: str,
        broken: tuple[type[Exception], ...] = (),
    ) -> list[Any]:  # fmt: skip
        """Results for each sample; those that fail as broken ones do are noted."""
        strict = self._options.on_error == "raise"
        errors, numbers = batch.errors, batch.numbers
        caught: tuple[type[Exception], ...] = (TransformError, *broken)

        def one(i: int) -> Any:
            if i in errors:
                return None
            try:
                return work(i)
            except caught as error:
                found = _told(error, name, int(numbers[i]))
                if strict:
                    raise found from error
                errors[i] = name, found
                return None

        if cost == "none":
            return [one(i) for i in range(batch.count)]
        concurrency = self._source.concurrency if cost == "store" else 1
        return self._sharing.each(name, one, batch.count, concurrency)

    # -- samples -----------------------------------------------------------------

    def _transformed(self, columns: dict[str, Any], batch: _Batch) -> dict[str, Any]:
        """What the user's function makes of each sample."""
        function: Any = self._options.transform
        (first, *_) = columns

        def work(i: int) -> Any:
            if self._source.single:
                return {first: _applied(function, columns[first])(i)}
            made = _applied(function, [{name: c[i] for name, c in columns.items()}])(0)
            if not isinstance(made, Mapping):
                raise TransformError(f"transform gave {type(made).__name__}, {_EXPECTED}")
            return made

        made = self._each(work, batch, None, "cpu")
        names = next((list(sample) for sample in made if sample is not None), [])
        for i, sample in enumerate(made):
            if sample is not None and set(sample) != set(names):
                raise TransformError(
                    f"transform gave {_listed(sample)} for row {int(batch.numbers[i])} and "
                    f"{_listed(names)} for another: all samples need the same names"
                )
        return {name: [None if s is None else s[name] for s in made] for name in names}

    def _chosen(self, batch: _Batch) -> Numbers | None:
        """Which samples make the batch, where some are broken; None: all."""
        if not batch.errors:
            return None
        for i in sorted(batch.errors):
            name, error = batch.errors[i]
            number = int(batch.numbers[i])
            told = _told(error, name, number)
            if self._options.on_error == "raise":
                raise told from error
            if (number, name) not in self._known:
                self._known.add((number, name))
                self._skipped.append((number, name, _bare(told)))
        good = np.array([i for i in range(batch.count) if i not in batch.errors], np.int64)
        if self._options.on_error == "skip" or not len(good):
            return good
        # The next good one of the batch; behind the last, the first.
        return good[np.searchsorted(good, np.arange(batch.count)) % len(good)]

    # -- the batch ---------------------------------------------------------------

    def _value(self, name: str, column: Any, rows: list[int]) -> Any:
        if isinstance(column, np.ndarray):
            return self._to.convert(column)
        options = self._options
        return collate(name, column, options.how(name), options.filling(name), rows, self._to)

    def _formed(self, batch: dict[str, Any]) -> Any:
        if self._source.single and not self._options.return_index and len(batch) == 1:
            return next(iter(batch.values()))
        return tuple(batch.values()) if self._options.form == "tuple" else batch

    def _collated(self, columns: Mapping[str, Any], numbers: Numbers) -> Any:
        """What the user's function makes of the samples."""
        collate: Any = self._options.collate
        samples = [
            self._formed({name: column[i] for name, column in columns.items()})
            for i in range(len(numbers))
        ]
        try:
            return collate(samples)
        except Exception as error:
            raise TransformError(
                f"collate failed for a batch of {len(samples)} samples, rows {numbers[0]} to "
                f"{numbers[-1]}: {type(error).__name__}: {error}"
            ) from error

    def _apart(self, columns: Mapping[str, Any], count: int) -> list[Any]:
        """Samples one by one."""
        convert = self._to.convert
        return [
            self._to.finish(
                self._formed({name: convert(column[i]) for name, column in columns.items()})
            )
            for i in range(count)
        ]


_EXPECTED: Final = (
    "expected a dict of values by name, such as the one that it got (form='tuple' makes tuples "
    "of batches)"
)


def _note_broken(name: str, part: Part, batch: _Batch) -> None:
    """What kept samples from being read."""
    at = np.arange(batch.count)[part.at].tolist()
    for i, place in zip(at, part.places.tolist(), strict=True):
        error = part.loaded.broken.get((place, name))
        if error is not None:
            batch.errors.setdefault(i, (name, error))


def _applied(function: Callable[[Any], Any], values: Any) -> Callable[[int], Any]:
    """A function of the user on one of some values; what it raises comes as a `TransformError`."""

    def work(i: int) -> Any:
        value = values[i]
        try:
            found = function(value)
        except Exception as error:
            if isinstance(error, HubzarrError):
                raise TransformError(str(error)) from error
            raise TransformError(f"{type(error).__name__}: {error}") from error
        if found is None and value is not None:
            raise TransformError("transform gave None, expected a value (is a return missing?)")
        return found

    return work


def _some(column: Any, chosen: Numbers) -> Any:
    if isinstance(column, np.ndarray):
        return column[chosen]
    return [column[i] for i in chosen.tolist()]


def _told(error: Exception, name: str | None, number: int) -> HubzarrError:
    """The error with the tensor and the row, in its message and as attributes."""
    if isinstance(error, HubzarrError) and "row" in error.fields and "tensor" in error.fields:
        return error
    ours = isinstance(error, HubzarrError) and not isinstance(error, TransformError)
    what = "transform" if name is None else f"tensor {name!r}"
    said = str(error) if isinstance(error, HubzarrError) else f"{type(error).__name__}: {error}"
    message = (
        f"row {number} of the dataset, {what}: {said}. on_error='skip' leaves such samples out, "
        "'replace' puts others in their place"
    )
    if ours and name is not None:
        return SampleError(message, path=getattr(error, "path", None), row=number, tensor=name)
    return TransformError(message, row=number, tensor=name)


def _bare(error: HubzarrError) -> HubzarrError:
    """The error without what it was raised in, which would keep whole batches alive."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(repr, names))
