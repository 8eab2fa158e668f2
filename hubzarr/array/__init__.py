"""Hub Arrays: numpy-like arrays on a store, lazy views of them, and their statistics."""

from __future__ import annotations

from hubzarr.array.array import Array
from hubzarr.array.view import View

__all__ = ["Array", "View"]
