"""PyTorch's tensors as one, in memory that a framework gives; without importing PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["stacked"]


def stacked(
    torch: Any, values: Sequence[Any],
    empty: Callable[[tuple[int, ...], np.dtype[Any]], npt.NDArray[Any]],
) -> Any:  # fmt: skip
    """Tensors of one shape as one.

    Parameters
    ----------
    torch : module
    values : sequence of torch.Tensor
    empty : callable
        Gives memory for it, of a shape and dtype.
    """
    first = values[0]
    plain = all(
        one.dtype == first.dtype and one.device.type == "cpu" and one.layout is torch.strided
        and not one.requires_grad and not one.is_quantized
        for one in values
    )  # fmt: skip
    nbytes = len(values) * first.numel() * first.element_size()
    if not plain or not nbytes:
        return torch.stack(list(values))
    memory = torch.from_numpy(empty((nbytes,), np.dtype(np.uint8)))
    out = memory.view(first.dtype).reshape(len(values), *first.shape)
    return torch.stack(list(values), out=out)
