"""Operators that change samples where they are: ``ds.x[2:5] += 1``."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Self

from hubzarr.errors import InvalidError

__all__ = ["InPlace"]


class InPlace:
    """Operators that read the selected samples, compute, and write the results back."""

    @property
    def is_dynamic(self) -> bool:
        """Whether samples may differ in shape."""
        raise InvalidError("no samples")

    _row: int | None

    def numpy(self, aslist: bool = False) -> Any:
        """The selected samples."""
        raise InvalidError("no samples")

    def _assign(self, values: Any) -> None:
        raise InvalidError("no samples")

    def _changed(self, function: Callable[[Any, Any], Any], other: Any) -> Self:
        found = self.numpy(aslist=self._row is None and self.is_dynamic)
        if isinstance(found, list):
            self._assign([function(sample, other) for sample in found])
        else:
            self._assign(function(found, other))
        return self

    def __iadd__(self, other: Any) -> Self:
        return self._changed(operator.add, other)

    def __isub__(self, other: Any) -> Self:
        return self._changed(operator.sub, other)

    def __imul__(self, other: Any) -> Self:
        return self._changed(operator.mul, other)

    def __itruediv__(self, other: Any) -> Self:
        return self._changed(operator.truediv, other)

    def __ifloordiv__(self, other: Any) -> Self:
        return self._changed(operator.floordiv, other)

    def __imod__(self, other: Any) -> Self:
        return self._changed(operator.mod, other)

    def __ipow__(self, other: Any) -> Self:
        return self._changed(operator.pow, other)

    def __iand__(self, other: Any) -> Self:
        return self._changed(operator.and_, other)

    def __ior__(self, other: Any) -> Self:
        return self._changed(operator.or_, other)

    def __ixor__(self, other: Any) -> Self:
        return self._changed(operator.xor, other)
