"""`MapDataset`: samples by their number, for loaders and samplers of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch.utils.data

from hubzarr.loaders.samples import Loadable, Samples
from hubzarr.loaders.torch.framework import TorchFramework

__all__ = ["MapDataset"]


class MapDataset(Samples, torch.utils.data.Dataset):  # type: ignore[misc]
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
        self, data: Loadable, tensors: Sequence[str] | None = None, *,
        transform: Callable[[Any], Any] | Mapping[str, Callable[[Any], Any]] | None = None,
        decode: bool | Mapping[str, bool] = True, return_index: bool = False, form: str = "dict",
    ) -> None:  # fmt: skip
        super().__init__(
            data, tensors=tensors, transform=transform, decode=decode, return_index=return_index,
            form=form, to=TorchFramework(),
        )  # fmt: skip

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Samples of several numbers, each of which may come more than once."""
        return self.many(indices)
