"""Hub Arrays: numpy-like arrays on a store, lazy views of them, and their statistics."""

from __future__ import annotations

from hubzarr.arrays.array import Array
from hubzarr.arrays.view import View

__all__ = ["Array", "View"]
