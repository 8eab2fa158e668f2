"""Samples by number, in any order: what the samplers of other libraries ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hubzarr.errors import InvalidTypeError, OutOfBoundsError
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.options import Options, checked
from hubzarr.loaders.running import Reading
from hubzarr.loaders.source import Source

__all__ = ["Loadable", "Samples", "source_of"]


class Loadable(Protocol):
    """A dataset, a view or query result, a tensor or an array."""

    def _source(self) -> Source: ...


class Samples:
    """Samples by number, as they are at the commit of this moment. Picklable.

    Parameters
    ----------
    data : Dataset, DatasetView, Tensor, Array or View
    tensors : sequence of str, optional
        What to load; all tensors by default.
    transform : callable or mapping, optional
        A function of a sample, or functions of a tensor's samples by name.
    decode : bool or mapping
        False: the stored bytes of samples that are kept one by one, such as images.
    return_index : bool
        Add ``"index"``: number of the row in the dataset.
    form : {"dict", "tuple"}
        Of a sample.
    to : Framework, optional
        What samples are made of: NumPy arrays by default.

    Examples
    --------
    >>> import hubzarr as hub
    >>> from hubzarr.loaders.samples import Samples
    >>> ds = hub.empty("examples/samples")
    >>> ds.create_tensor("x").extend([[1, 2], [3, 4], [5, 6]])
    >>> samples = Samples(ds, transform={"x": sum})
    >>> len(samples), samples[1], samples.many([2, 0])
    (3, {'x': np.int64(7)}, [{'x': np.int64(11)}, {'x': np.int64(3)}])
    """

    def __init__(
        self, data: Loadable, *, tensors: Sequence[str] | None = None,
        transform: Callable[[Any], Any] | Mapping[str, Callable[[Any], Any]] | None = None,
        decode: bool | Mapping[str, bool] = True, return_index: bool = False,
        form: str = "dict", to: Framework | None = None,
    ) -> None:  # fmt: skip
        source = source_of(data)
        given = {
            "batch_size": None, "tensors": tensors, "transform": transform, "decode": decode,
            "return_index": return_index, "form": form,
        }  # fmt: skip
        self._reading = Reading(source, checked(source, given), to or Framework())

    @property
    def options(self) -> Options:
        """What was asked for."""
        return self._reading.options

    def __len__(self) -> int:
        return len(self._reading.source)

    def __getitem__(self, number: int) -> Any:
        return self.many([number])[0]

    def many(self, numbers: Sequence[int]) -> list[Any]:
        """Several samples, which are read together.

        Raises
        ------
        OutOfBoundsError
            There is no sample of one of the numbers.
        SampleError, TransformError
            A sample can't be decoded, or the transform fails.
        """
        wanted = self._checked(numbers)
        if not len(wanted):
            return []
        return self._reading.samples(wanted)

    def _checked(self, numbers: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
        found, length = np.asarray(numbers), len(self)
        if found.size and found.dtype.kind not in "iu":
            raise InvalidTypeError(f"{numbers!r}: expected numbers of samples")
        found = found.astype(np.int64)
        wrong = (found < -length) | (found >= length)
        if wrong.any():
            raise OutOfBoundsError(
                f"no sample {int(found[wrong][0])}: there are {length}, numbered from 0"
            )
        return np.where(found < 0, found + length, found)

    def __repr__(self) -> str:
        """The same for the same samples, in any process: checkpoints of grain compare it."""
        options, reading = self.options, self._reading
        index = " and index" if options.return_index else ""
        return (
            f"<hubzarr.{type(self).__name__} {len(self)} samples of {', '.join(options.tensors)}"
            f"{index} commit={reading.source.commit!r} rows={reading.fingerprint}>"
        )


def source_of(data: Any) -> Source:
    """What loaders read of something.

    Raises
    ------
    InvalidTypeError
        It has no samples.
    """
    found = getattr(data, "_source", None)
    if not callable(found):
        raise InvalidTypeError(
            f"{type(data).__name__} has no samples to load: expected a dataset, a view, a query "
            "result, a tensor or an array of hubzarr"
        )
    source: Source = found()
    return source
