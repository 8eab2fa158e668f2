"""Arrays to image files, by Pillow, where what comes back is what went in (or nearly, if lossy)."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError, SampleError
from hubzarr.media.extras import need

__all__ = ["check", "encoder", "kind_of"]

type Array = np.ndarray[Any, Any]

_KINDS = {
    "grey": "uint8 (H, W)",
    "grey16": "uint16 (H, W)",
    "rgb": "uint8 (H, W, 3)",
    "rgba": "uint8 (H, W, 4)",
    "rgb16": "uint16 (H, W, 3)",
    "rgba16": "uint16 (H, W, 4)",
    "bool": "bool (H, W)",
}
_DTYPES = {"u1": "", "u2": "16"}
_COLOURS = {1: "grey", 3: "rgb", 4: "rgba"}


def kind_of(array: Array) -> str | None:
    """Tell the kind of image that an array is, such as ``"rgb16"``, or None."""
    if array.size == 0 or array.ndim not in (2, 3):
        return None
    count = 1 if array.ndim == 2 else array.shape[2]
    if array.dtype.kind == "b":
        return "bool" if count == 1 else None
    bits = _DTYPES.get(array.dtype.str[1:])
    colours = _COLOURS.get(count)
    return None if bits is None or colours is None else colours + bits


def check(array: Array, name: str, allowed: tuple[str, ...]) -> tuple[Array, str]:
    """Give an array without an axis of one channel, and its kind, if a format can hold it."""
    array = np.asarray(array)
    kind = kind_of(array)
    if kind is None or kind not in allowed:
        raise SampleError(
            f"an array of {array.dtype} {array.shape} can't be a {name} file; expected "
            f"{', '.join(_KINDS[each] for each in allowed)}"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return array, kind


def encoder(
    name: str, pillow_format: str, allowed: tuple[str, ...], **defaults: Any
) -> Callable[..., bytes]:
    """Make an encoder of a format of Pillow.

    Parameters
    ----------
    name : str
        Of the format, for messages.
    pillow_format : str
        What Pillow calls it.
    allowed : tuple of str
        Kinds of images that come back as they were.
    **defaults
        Options of Pillow's writer, unless the caller gives others.

    Returns
    -------
    callable
        From an array and options of Pillow's writer to the bytes of a file.
    """

    def encode(array: Array, **options: Any) -> bytes:
        pillow = need("PIL.Image", extra="images", what=f"writing {name} files")
        array, _ = check(array, name, allowed)
        if array.dtype == np.uint16:  # Pillow knows the native order alone
            array = array.astype(np.uint16, copy=False)
        file = io.BytesIO()
        try:
            image = pillow.fromarray(np.ascontiguousarray(array))
            image.save(file, pillow_format, **{**defaults, **options})
        except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
            if options:
                raise InvalidError(
                    f"{name} file with {options} can't be written: {error}"
                ) from error
            raise SampleError(f"{name} file can't be written: {error}") from error
        return file.getvalue()

    return encode
