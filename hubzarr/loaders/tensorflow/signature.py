"""Types of batches, known before there is a batch: TensorFlow compiles its programs for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.options import Options
from hubzarr.loaders.running import Reading
from hubzarr.loaders.source import Field, Source

__all__ = ["specs_of"]

type Shape = tuple[int | None, ...]

#: Samples that are looked at, at most, for one that tells a type.
LOOK: int = 64


def specs_of(source: Source, options: Options, given: Any = None) -> dict[str, Any]:
    """Types of the tensors of a batch, by name.

    Parameters
    ----------
    source : Source
    options : Options
    given : mapping, tuple or tf.TypeSpec, optional
        Those that the user knows better. After a function of whole samples, all of them.

    Raises
    ------
    InvalidError
        There is no sample to tell them from, or TensorFlow has no such type.
    """
    _refuse_lists(options)
    known = _named(given, source, options)
    if callable(options.transform):
        return known or _of_transformed(source, options)
    mapping = options.transform or {}
    by_name = {one.name: one for one in source.fields}
    sample: dict[str, Any] | None = None
    specs: dict[str, Any] = {}
    for name in options.tensors:
        spec = known.get(name)
        if spec is None and name not in mapping:
            spec = _of_field(by_name[name], options)
        if spec is None:
            sample = sample if sample is not None else _first_sample(source, options)
            if sample[name] is None and name not in mapping:
                raise InvalidError(
                    f"the first {LOOK} samples of tensor {name!r} are links to nothing: "
                    f"output_signature={{{name!r}: tf.TensorSpec(...)}} says what others are"
                )
            spec = _of_value(name, sample[name], options, same=name in mapping)
        specs[name] = spec
    if options.return_index:
        specs["index"] = tf.TensorSpec(_batched((), options), tf.int64)
    return specs


def _refuse_lists(options: Options) -> None:
    given = options.ragged
    ways = given.values() if isinstance(given, Mapping) else [given]
    if "list" in ways and options.batch_size is not None:
        raise InvalidError(
            "ragged='list': TensorFlow has no tensor of that kind. ragged='nested' gives "
            "RaggedTensors, 'pad' arrays of one shape"
        )


def _named(given: Any, source: Source, options: Options) -> dict[str, Any]:
    """An ``output_signature`` by name."""
    if given is None:
        return {}
    names = options.names
    if isinstance(given, tf.TypeSpec) and source.single and not options.return_index:
        return {names[0]: given}
    if isinstance(given, tuple) and (callable(options.transform) or len(given) == len(names)):
        if callable(options.transform):
            raise InvalidError(
                "output_signature after a transform of whole samples: expected a dict by name, "
                "in the order of the tuple that batches are to be"
            )
        given = dict(zip(names, given, strict=True))
    if not isinstance(given, Mapping) or not all(
        isinstance(spec, tf.TypeSpec) for spec in given.values()
    ):
        raise InvalidTypeError(
            f"output_signature={given!r}: expected a dict of tf.TensorSpec or "
            "tf.RaggedTensorSpec by name"
        )
    if not callable(options.transform):
        for name in given:
            if name not in names:
                raise InvalidError(
                    f"output_signature names {name!r}; batches have {', '.join(names)}"
                )
    return dict(given)


# -- from what the source says ---------------------------------------------------


def _of_field(one: Field, options: Options) -> Any:
    """The type of a tensor's batches; None if only samples tell it."""
    if one.kind != "array":
        return tf.TensorSpec(_batched(one.shape or () if one.uniform else (), options), tf.string)
    if not one.uniform and not options.decodes(one.name):
        return tf.TensorSpec(_batched((), options), tf.string)
    if one.dtype is None or one.shape is None:
        return None
    return _spec(one.name, one.dtype, one.shape, options)


def _spec(name: str, dtype: np.dtype[Any], shape: Shape, options: Options) -> Any:
    found = _tf_dtype(name, dtype)
    ragged = None in shape and options.batch_size is not None
    if not ragged or options.how(name) != "nested":
        return tf.TensorSpec(_batched(shape, options), found)
    # The last axis that may differ, counted with the one of the batch.
    rank = len(shape) - next(i for i, n in enumerate(reversed(shape)) if n is None)
    return tf.RaggedTensorSpec(_batched(shape, options), found, rank, tf.int64)


def _batched(shape: Iterable[int | None], options: Options) -> list[int | None]:
    """A sample's shape with the axis of the batch, whose length is known if all are full."""
    if options.batch_size is None:
        return list(shape)
    full = (options.drop_last or options.pad) and options.on_error == "raise"
    return [options.batch_size if full else None, *shape]


def _tf_dtype(name: str, dtype: np.dtype[Any]) -> Any:
    try:
        return tf.as_dtype(dtype)
    except TypeError as error:
        raise InvalidTypeError(
            f"tensor {name!r} is of {dtype}, which TensorFlow does not have: leave it out by "
            f"tensors=[...], or change it by transform={{{name!r}: function}}"
        ) from error


# -- from a first sample ---------------------------------------------------------


def _of_transformed(source: Source, options: Options) -> dict[str, Any]:
    sample = _first_sample(source, options)
    return {name: _of_value(name, value, options, same=True) for name, value in sample.items()}


def _first_sample(source: Source, options: Options) -> dict[str, Any]:
    """The first sample that is not broken, transformed, by name; of links, the first to a file."""
    alone = replace(
        options, batch_size=1, shuffle="none", window=LOOK, ragged="list", prefetch=0, rank=0,
        world_size=1, drop_last=False, pad=False, form="dict",
    )  # fmt: skip
    found: dict[str, Any] = {}
    batches = Reading(source, alone, Framework()).batches(0)
    for _, (_, batch) in zip(range(LOOK), batches, strict=False):
        named = batch if isinstance(batch, dict) else {options.tensors[0]: batch}
        found |= {name: column[0] for name, column in named.items() if found.get(name) is None}
        if all(value is not None for value in found.values()):
            break
    if not found:
        raise InvalidError(
            "there is no sample yet to tell the types of batches from: "
            "output_signature={name: tf.TensorSpec(...)} says what they will be"
        )
    return found


def _of_value(name: str, value: Any, options: Options, same: bool) -> Any:
    """The type of a batch of samples like one; `same`: they have its shape, unless ragged."""
    if isinstance(value, tf.Tensor):
        value = value.numpy()
    if not isinstance(value, np.ndarray | np.generic | int | float):
        return tf.TensorSpec(_batched((), options), tf.string)
    array = np.asarray(value)
    same = same and options.how(name) == "stack"
    shape: Shape = array.shape if same else (None,) * array.ndim
    return _spec(name, array.dtype, shape, options)
