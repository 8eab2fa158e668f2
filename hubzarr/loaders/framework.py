"""What a framework does with batches: memory for them, tensors of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hubzarr.loaders.memory import Memory

__all__ = ["Framework"]


class Framework:
    """NumPy's; others override what they do otherwise. Must be picklable."""

    #: What its tensors are called in messages.
    tensor = "arrays"

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Memory for a batch, of any content."""
        return self._memory.empty(shape, dtype)

    @cached_property
    def _memory(self) -> Memory:
        return Memory()

    def is_tensor(self, value: Any) -> bool:
        """Whether a transform gave a tensor of the framework, which is no NumPy array."""
        return False

    def stack(self, values: Sequence[Any]) -> Any:
        """Tensors of the framework, of one shape, as one."""
        return np.stack(values)

    def wider(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """What may pad samples of a dtype, where they come as a wider one anyway."""
        return dtype

    def nested(self, values: Sequence[Any]) -> Any:
        """Arrays (or tensors) of several shapes as one nested tensor."""
        return list(values)

    def convert(self, value: Any) -> Any:
        """A batch's or sample's value: arrays become tensors; lists are converted one by one."""
        return value

    def finish(self, batch: Any) -> Any:
        """The last step for a batch that is otherwise ready, such as moving it to a device."""
        return batch
