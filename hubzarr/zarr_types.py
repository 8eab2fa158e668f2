"""Zarr's data types of the small floats, as the registry of Zarr extensions defines them.

The entry points of this package name these classes, so that zarr opens such arrays wherever
hubzarr is installed.  Zarr has no public name for the two classes that say of a data type
how long its elements are and that they have a byte order.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, ClassVar, Self, SupportsFloat, TypeGuard

import numpy as np
from zarr.core.dtype.common import HasEndianness, HasItemSize
from zarr.dtype import ZDType, data_type_registry
from zarr.errors import DataTypeValidationError

from hubzarr.dtypes import as_dtype
from hubzarr.errors import UnsupportedError

__all__ = ["BFloat16", "Float8E4M3FN", "Float8E5M2", "register"]

_SPECIAL = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


@dataclass(frozen=True, kw_only=True)
class _SmallFloat(ZDType[Any, Any], HasItemSize):
    """What the data types have in common; ml_dtypes is imported when NumPy's dtype is asked for."""

    # Nobody compares with this: which dtypes match is told by their names.
    dtype_cls: ClassVar[Any] = np.dtype

    @property
    def item_size(self) -> int:
        """Bytes of an element."""
        return 1

    @classmethod
    def _check_native_dtype(cls, dtype: np.dtype[Any]) -> TypeGuard[np.dtype[Any]]:
        return dtype.name == cls._zarr_v3_name

    @classmethod
    def from_native_dtype(cls, dtype: Any) -> Self:
        """Give the data type of a dtype of NumPy."""
        if cls._check_native_dtype(dtype):
            return cls()
        raise DataTypeValidationError(f"dtype {dtype}; expected {cls._zarr_v3_name}")

    def to_native_dtype(self) -> np.dtype[Any]:
        """Give the dtype of NumPy."""
        return as_dtype(self._zarr_v3_name)

    @classmethod
    def _from_json_v2(cls, data: Any) -> Self:
        raise DataTypeValidationError(f"Zarr 2 has no {cls._zarr_v3_name}")

    @classmethod
    def _from_json_v3(cls, data: Any) -> Self:
        if data == cls._zarr_v3_name:
            return cls()
        raise DataTypeValidationError(f"data type {data!r}; expected {cls._zarr_v3_name!r}")

    def to_json(self, zarr_format: Any) -> Any:
        """Give the name in metadata."""
        if zarr_format == 3:
            return self._zarr_v3_name
        raise ValueError(f"Zarr {zarr_format} has no {self._zarr_v3_name}; expected Zarr 3")

    def _check_scalar(self, data: object) -> bool:
        return isinstance(data, SupportsFloat)

    def cast_scalar(self, data: object) -> Any:
        """Give a number as an element; NaN that is one keeps its bits."""
        scalar = self.to_native_dtype().type
        if isinstance(data, scalar):
            return data
        if not isinstance(data, SupportsFloat):
            raise TypeError(f"{data!r} is no number")
        return scalar(float(data))

    def default_scalar(self) -> Any:
        """Give zero."""
        return self.cast_scalar(0)

    def from_json_scalar(self, data: Any, *, zarr_format: Any) -> Any:
        """Read a number, one of the words for special ones, or bits as in ``"0x7fc0"``."""
        if not isinstance(data, str):
            return self.cast_scalar(data)
        if data in _SPECIAL:
            return self.cast_scalar(_SPECIAL[data])
        size = self.item_size
        if not data.startswith("0x") or len(data) != 2 + 2 * size:
            raise TypeError(
                f"fill value {data!r}; expected a number, 'NaN', 'Infinity', '-Infinity' or "
                f"'0x' and {2 * size} digits"
            )
        bits = np.array(int(data, 16), f"u{size}")
        return bits.view(self.to_native_dtype())[()]

    def to_json_scalar(self, data: object, *, zarr_format: Any) -> Any:
        """Write a number, one of the words for special ones, or the bits of a special NaN."""
        scalar = self.cast_scalar(data)
        value = float(scalar)
        if value != value:
            same = scalar.tobytes() == self.cast_scalar(np.nan).tobytes()
            return "NaN" if same else self._hex(scalar)
        if np.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return value

    def _hex(self, scalar: Any) -> str:
        bits = np.asarray(scalar).view(f"u{self.item_size}")[()]
        return f"0x{bits:0{2 * self.item_size}x}"


@dataclass(frozen=True, kw_only=True)
class BFloat16(_SmallFloat, HasEndianness):
    """The upper half of a float32."""

    _zarr_v3_name: ClassVar[str] = "bfloat16"

    @property
    def item_size(self) -> int:
        """Bytes of an element."""
        return 2

    def to_native_dtype(self) -> np.dtype[Any]:
        """Give the dtype of NumPy, which has the byte order of the machine."""
        if self.endianness != sys.byteorder:
            raise UnsupportedError(
                f"bfloat16 stored {self.endianness}-endian, which ml_dtypes doesn't know; copy the "
                f"array with the codec bytes, endian={sys.byteorder!r}"
            )
        return super().to_native_dtype()


@dataclass(frozen=True, kw_only=True)
class Float8E4M3FN(_SmallFloat):
    """Eight bits, of which four are the exponent; finite values and NaN."""

    _zarr_v3_name: ClassVar[str] = "float8_e4m3fn"


@dataclass(frozen=True, kw_only=True)
class Float8E5M2(_SmallFloat):
    """Eight bits, of which five are the exponent."""

    _zarr_v3_name: ClassVar[str] = "float8_e5m2"


def register() -> None:
    """Make the data types known to zarr, unless another package did."""
    for made in (BFloat16, Float8E4M3FN, Float8E5M2):
        if made._zarr_v3_name not in data_type_registry.contents:
            data_type_registry.register(made._zarr_v3_name, made)
