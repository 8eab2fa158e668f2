"""``ds.tensorflow(...)``: samples as a ``tf.data.Dataset``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from hubzarr.errors import InvalidError
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.loader import Loader
from hubzarr.loaders.options import Options, checked
from hubzarr.loaders.source import Source
from hubzarr.loaders.state import state_of
from hubzarr.loaders.tensorflow.encoding import Layout
from hubzarr.loaders.tensorflow.signature import specs_of

__all__ = ["TensorflowLoader", "load"]


class TensorflowFramework(Framework):
    """Arrays of types that are known before."""

    tensor = "tensors"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def is_tensor(self, value: Any) -> bool:
        """Whether a transform used TensorFlow."""
        return isinstance(value, tf.Tensor)

    def stack(self, values: Any) -> Any:
        """Tensors of one shape as one array."""
        return np.stack([np.asarray(value) for value in values])

    def nested(self, values: Any) -> Any:
        """Arrays apart, which become a RaggedTensor in the end."""
        return [np.asarray(value) for value in values]

    def convert(self, value: Any) -> Any:
        """Tensors of samples that make no batch as arrays."""
        return np.asarray(value) if isinstance(value, tf.Tensor) else value

    def finish(self, batch: Any) -> Any:
        """The batch as plain arrays."""
        return self._layout.encoded(batch)


class TensorflowLoader(Loader):
    """What gives a ``tf.data.Dataset`` its batches: ``dataset.hub_loader``.

    Parameters
    ----------
    source : Source
    options : Options
    layout : Layout
        Types of batches.
    """

    def __init__(self, source: Source, options: Options, layout: Layout) -> None:
        super().__init__(source, options, TensorflowFramework(layout))
        self._layout = layout
        self._counted = False
        #: Where the epoch that was resumed began.
        self._resumed: tuple[int, int] = (0, 0)
        self._error: Exception | None = None

    @property
    def error(self) -> Exception | None:
        """The last error while batches were made; of it, TensorFlow passes on the text."""
        return self._error

    def dataset(self) -> Any:
        """The batches as a ``tf.data.Dataset``: one epoch each time that it is gone through."""
        made = tf.data.Dataset.from_generator(
            self._batches_until_error, output_signature=self._layout.signature
        )
        if self._layout.is_ragged:
            made = made.map(tf.autograph.experimental.do_not_convert(self._layout.joined))
        # Broken samples may leave a batch empty, and the rest of an epoch is shorter.
        self._counted = self.options.on_error == "raise" and not self._position
        if self._counted:
            made = made.apply(tf.data.experimental.assert_cardinality(len(self)))
        made = made.with_options(_options())
        made.hub_loader = self
        return made

    def _batches_until_error(self) -> Iterator[Any]:
        try:
            yield from self
        except Exception as error:
            self._error = error
            raise

    def state_dict(self, *, epoch: int | None = None, steps: int | None = None) -> dict[str, Any]:
        """How far the training has come.

        Parameters
        ----------
        epoch, steps : int, optional
            So many batches of that epoch were used. By default, as many as TensorFlow took,
            which are more if it reads ahead (``prefetch``, ``Model.fit``).
        """
        if epoch is None and steps is None:
            return super().state_dict()
        epoch = self._epoch if epoch is None else epoch
        resumed, start = self._resumed
        plan = self._reading.steps(start if epoch == resumed else 0)
        if steps is None or not 0 <= steps <= plan.count:
            raise InvalidError(f"steps={steps}: epoch {epoch} has {plan.count}")
        if steps == plan.count:
            return state_of(self._reading, epoch + 1, 0)
        return state_of(self._reading, epoch, plan.consumed(steps))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another loader stood.

        Raises
        ------
        InvalidError
            It is of other data or another order; or this loader's dataset has told TensorFlow
            already how many batches it has, and they would become fewer.
        """
        given: Any = state
        if self._counted and isinstance(given, Mapping) and given.get("position"):
            raise InvalidError(
                "this dataset has told TensorFlow how many batches it has, which would become "
                "fewer: make another one by ds.tensorflow(..., state=state)"
            )
        super().load_state_dict(state)
        self._resumed = self._epoch, self._position


def load(source: Source, given: Mapping[str, Any]) -> Any:
    """What ``ds.tensorflow(...)`` gives.

    Parameters
    ----------
    source : Source
    given : mapping
        Options of `Loading.batches`, and ``output_signature`` and ``state``.
    """
    mine = dict(given)
    signature, state = mine.pop("output_signature", None), mine.pop("state", None)
    options = checked(source, mine, also=["output_signature", "state"])
    if options.collate is not None:
        raise InvalidError(
            "collate may make batches of any kind, and TensorFlow must know theirs: use transform, "
            "or a map() of the tf.data.Dataset"
        )
    layout = _layout(source, options, signature)
    loader = TensorflowLoader(source, _as_dicts(options, layout), layout)
    if state is not None:
        loader.load_state_dict(state)
    return loader.dataset()


def _options() -> Any:
    """TensorFlow takes no batch before it needs it: they are made ahead already, in threads that
    have less time for it if another one asks all the time, and `state_dict` counts them."""
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    return options


def _layout(source: Source, options: Options, signature: Any) -> Layout:
    specs = specs_of(source, options, signature)
    alone = source.single and not options.return_index and len(specs) == 1
    transform = options.transform or {}
    documents = {
        one.name
        for one in source.fields
        if one.name in options.tensors and one.kind == "object" and options.decodes(one.name)
        and not callable(transform) and one.name not in transform
    }  # fmt: skip
    return Layout(specs, "value" if alone else options.form, documents)


def _as_dicts(options: Options, layout: Layout) -> Options:
    """Batches by name, which the layout gives their form; documents are left as they are."""
    ways = {name: options.how(name) for name in layout.specs}
    ways |= dict.fromkeys(layout.documents, "list")  # numbers in them make no array
    return replace(options, form="dict", ragged=ways)
