"""`MapDataset`: samples by their number, for loaders and samplers of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch.utils.data

from hubzarr.errors import OutOfBoundsError
from hubzarr.loaders.methods import Loading
from hubzarr.loaders.options import checked
from hubzarr.loaders.running import Reading
from hubzarr.loaders.torch.framework import TorchFramework

__all__ = ["MapDataset"]


class MapDataset(torch.utils.data.Dataset):  # type: ignore[misc]
    """Samples by their number: a map-style ``torch.utils.data.Dataset``.

    A ``DataLoader`` asks for all samples of a batch at once, which reads and decodes them
    together. Pickled and forked datasets open the store anew in each process.

    Parameters
    ----------
    data : Dataset, DatasetView, Tensor, Array or View
        It is read as it is committed at this moment.
    tensors : sequence of str, optional
        What to load; all tensors by default.
    transform : callable or mapping, optional
        A function from a sample to another, or functions of a tensor's samples by name.
    decode : bool or mapping
        False: the stored bytes of samples that are kept one by one, such as images.
    return_index : bool
        Add ``"index"``: numbers of the rows in the dataset.
    form : {"dict", "tuple"}
        Of a sample.
    """

    def __init__(
        self, data: Loading, tensors: Sequence[str] | None = None, *,
        transform: Callable[[Any], Any] | Mapping[str, Callable[[Any], Any]] | None = None,
        decode: bool | Mapping[str, bool] = True, return_index: bool = False, form: str = "dict",
    ) -> None:  # fmt: skip
        source = data._source()
        options = checked(source, {
            "batch_size": None, "tensors": tensors, "transform": transform, "decode": decode,
            "return_index": return_index, "form": form,
        })  # fmt: skip
        self._reading = Reading(source, options, TorchFramework())

    def __len__(self) -> int:
        return len(self._reading.source)

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Samples of several numbers, each of which may come more than once."""
        rows, length = np.array(indices, np.int64).reshape(-1), len(self)
        rows = np.where(rows < 0, rows + length, rows)
        outside = (rows < 0) | (rows >= length)
        if outside.any():
            raise OutOfBoundsError(
                f"sample {int(np.asarray(indices)[outside.argmax()])} of {length}: samples are "
                f"numbered from 0 to {length - 1}"
            )
        return self._reading.samples(rows)

    def __repr__(self) -> str:
        return f"<hubzarr.MapDataset {len(self)} samples of {', '.join(self._names)}>"

    @property
    def _names(self) -> tuple[str, ...]:
        return self._reading.options.names
