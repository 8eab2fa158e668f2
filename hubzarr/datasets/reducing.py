"""Numbers about all selected samples, and what they compare to, as methods of a tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hubzarr.datasets import pixels
from hubzarr.errors import InvalidError

if TYPE_CHECKING:
    from hubzarr.datasets.tensor import Tensor

__all__ = ["Reducing"]


class Reducing:
    """Reductions of samples, without reading them where their statistics are kept."""

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """Mean of all elements, or for each channel with ``axis="channel"``.

        Where some images are in colour, a grey one counts in each of the three colours.
        """
        return self._reduced("mean", axis, dtype, out)

    def std(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """Standard deviation of all elements, or for each channel with ``axis="channel"``."""
        return self._reduced("std", axis, dtype, out)

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """Sum of all elements, or for each channel with ``axis="channel"``."""
        return self._reduced("sum", axis, dtype, out)

    def min(self, axis: Any = None, out: Any = None) -> Any:
        """Smallest element, or of each channel with ``axis="channel"``."""
        return self._reduced("min", axis, None, out)

    def max(self, axis: Any = None, out: Any = None) -> Any:
        """Largest element, or of each channel with ``axis="channel"``."""
        return self._reduced("max", axis, None, out)

    def _reduced(self, name: str, axis: Any, dtype: Any, out: Any) -> Any:
        if dtype is not None or out is not None:  # NumPy's functions pass both on
            raise InvalidError(
                f"{name} of a tensor takes no dtype and no out: np.{name}(t.numpy())"
            )
        return pixels.reduce(cast("Tensor", self), name, axis)

    # -- samples as numbers ------------------------------------------------------------

    def __eq__(self, other: object) -> Any:
        tensor = cast("Tensor", self)
        if isinstance(other, Reducing):
            return tensor.is_same(cast("Tensor", other))
        found: Any = tensor.text() if isinstance(other, str) and _has_names(tensor) else None
        if found is None:
            found = tensor.numpy()
        return found == other if isinstance(found, str) else np.asarray(found) == other

    def __ne__(self, other: object) -> Any:
        found = self == other
        return not found if isinstance(found, bool) else ~np.asarray(found)

    __hash__ = object.__hash__

    def __int__(self) -> int:
        return int(self._one())

    def __float__(self) -> float:
        return float(self._one())

    def _one(self) -> Any:
        value = np.asarray(cast("Tensor", self).numpy())
        if value.size != 1:
            raise InvalidError(f"a sample of shape {value.shape} is not one number")
        return value.reshape(())[()]


def _has_names(tensor: Tensor) -> bool:
    return tensor.base_htype in ("class_label", "text")
