"""Batches of NumPy arrays and Python objects as TensorFlow takes them from Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hubzarr.errors import InvalidError, InvalidTypeError

__all__ = ["Layout", "Ragged"]

type Array = np.ndarray[Any, Any]


class Ragged(NamedTuple):
    """A `tf.RaggedTensor` in pieces: Python hands over plain arrays only.

    Attributes
    ----------
    values : ndarray
        All samples, one behind the other.
    splits : tuple of ndarray
        For each ragged axis where its rows begin, and where the last one ends.
    """

    values: Any
    splits: tuple[Any, ...]


class Layout:
    """How batches are put together.

    Parameters
    ----------
    specs : mapping
        Types of tensors by name, in the order of a tuple.
    form : {"value", "tuple", "dict"}
        Of a batch.
    documents : set of str
        Tensors whose samples are JSON, strings as well.
    """

    def __init__(self, specs: Mapping[str, Any], form: str, documents: set[str]) -> None:
        self.specs = dict(specs)
        self.form = form
        self.documents = documents

    @property
    def is_ragged(self) -> bool:
        """Whether there are RaggedTensors to put together."""
        return any(isinstance(spec, tf.RaggedTensorSpec) for spec in self.specs.values())

    @property
    def signature(self) -> Any:
        """Types of what `encoded` gives."""
        return self._formed({name: _pieces(spec) for name, spec in self.specs.items()})

    def encoded(self, batch: Any) -> Any:
        """A batch as plain arrays of the types of `signature`.

        Raises
        ------
        InvalidError, InvalidTypeError
            It is of other types.
        """
        named = {next(iter(self.specs)): batch} if self.form == "value" else batch
        if named.keys() != self.specs.keys():
            raise InvalidError(
                f"a batch has {', '.join(named)}, and types are known for {', '.join(self.specs)}: "
                "output_signature needs the names that the transform gives"
            )
        return self._formed(
            {name: self._encoded(name, spec, named[name]) for name, spec in self.specs.items()}
        )

    def joined(self, *pieces: Any) -> Any:
        """What TensorFlow makes of pieces: RaggedTensors where there are some."""
        if self.form == "dict":
            (named,) = pieces
        else:
            named = dict(zip(self.specs, pieces, strict=True))
        return self._formed({name: _joined(named[name]) for name in self.specs})

    def _formed(self, named: dict[str, Any]) -> Any:
        if self.form == "dict":
            return named
        values = tuple(named.values())
        return values[0] if self.form == "value" else values

    def _encoded(self, name: str, spec: Any, value: Any) -> Any:
        if isinstance(spec, tf.RaggedTensorSpec):
            return _ragged(name, spec, value)
        if spec.dtype == tf.string:
            return _strings(name, spec, value, name in self.documents)
        return _array(name, spec, value)


def _pieces(spec: Any) -> Any:
    if not isinstance(spec, tf.RaggedTensorSpec):
        return spec
    rank = spec.ragged_rank
    count, *inner = spec.shape.as_list()
    first = None if count is None else count + 1
    splits = (first, *(None,) * (rank - 1))
    return Ragged(
        tf.TensorSpec([None, *inner[rank:]], spec.dtype),
        tuple(tf.TensorSpec([n], spec.row_splits_dtype) for n in splits),
    )


def _joined(value: Any) -> Any:
    if not isinstance(value, Ragged):
        return value
    return tf.RaggedTensor.from_nested_row_splits(value.values, value.splits, validate=False)


# -- values ----------------------------------------------------------------------


def _array(name: str, spec: Any, value: Any) -> Array:
    if not isinstance(value, np.ndarray | np.generic | int | float):
        raise InvalidTypeError(
            f"tensor {name!r} gives {_described(value)} where {_expected(spec)} was expected{_HINT}"
        )
    array = np.asarray(value)
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.dtype != spec.dtype.as_numpy_dtype or not spec.shape.is_compatible_with(array.shape):
        raise InvalidError(
            f"tensor {name!r} gives {array.dtype} of shape {array.shape} where {_expected(spec)} "
            f"was expected{_HINT}"
        )
    return array


def _strings(name: str, spec: Any, value: Any, document: bool) -> Array:
    """Texts, files and JSON, as an array of bytes."""
    if spec.shape.rank == 0:
        return _objects([_bytes(name, value, document)]).reshape(())
    if isinstance(value, np.ndarray):  # numbers of documents
        value = value.tolist()
    if spec.shape.rank == 1:
        return _objects([_bytes(name, one, document) for one in value])
    texts = np.array(value, object)
    encoded = [_bytes(name, one, document) for one in texts.ravel().tolist()]
    return _objects(encoded).reshape(texts.shape)


def _objects(values: list[bytes]) -> Array:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def _bytes(name: str, value: Any, document: bool) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, str) and not document:
        return value.encode()
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain).encode()
    except TypeError as error:
        raise InvalidTypeError(
            f"tensor {name!r} gives {_described(value)}, which is no string and not JSON "
            f"({error}){_HINT}"
        ) from error


def _plain(value: Any) -> Any:
    """Arrays inside of what becomes JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _ragged(name: str, spec: Any, value: Any) -> Ragged:
    arrays = [np.asarray(one) for one in value]
    rank, inner = spec.ragged_rank, spec.shape[1:]
    for array in arrays:
        if array.dtype != spec.dtype.as_numpy_dtype or not inner.is_compatible_with(array.shape):
            raise InvalidError(
                f"tensor {name!r} gives a sample of {array.dtype} {array.shape} where "
                f"{_expected(spec)} was expected{_HINT}"
            )
    shapes = [array.shape for array in arrays]
    splits = tuple(_splits(shapes, axis, spec.row_splits_dtype) for axis in range(rank))
    rows = [array.reshape(-1, *array.shape[rank:]) if array.size else _no_rows(array, rank)
            for array in arrays]  # fmt: skip
    return Ragged(np.concatenate(rows), splits)


def _no_rows(array: Array, rank: int) -> Array:
    """An array without elements has rows if only the axes within a row are empty."""
    rows = int(np.prod(array.shape[:rank]))
    return array.reshape(rows, *array.shape[rank:])


def _splits(shapes: Sequence[tuple[int, ...]], axis: int, dtype: Any) -> Array:
    """Where rows of an axis begin: each sample has as many as its axes before have cells."""
    lengths = [shape[axis] for shape in shapes]
    times = [int(np.prod(shape[:axis])) for shape in shapes]
    ends = np.cumsum(np.repeat(lengths, times))
    return np.concatenate([[0], ends]).astype(dtype.as_numpy_dtype)


_HINT = ". Types are those of the tensor or of the first sample; output_signature= gives others"


def _expected(spec: Any) -> str:
    return f"{spec.dtype.name} of shape {tuple(spec.shape)}"


def _described(value: Any) -> str:
    if isinstance(value, list) and any(one is None for one in value):
        return "a batch with missing samples (None)"
    return f"a {type(value).__name__}"
