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
    nbytes = len(values) * first.numel() * first.element_size()
    if not nbytes or len({one.dtype for one in values}) > 1:
        return torch.stack(list(values))
    try:
        memory = torch.from_numpy(empty((nbytes,), np.dtype(np.uint8)))
        out = memory.view(first.dtype).reshape(len(values), *first.shape)
        return torch.stack(list(values), out=out)
    except RuntimeError:  # they need gradients, or are sparse, or on a device
        return torch.stack(list(values))
