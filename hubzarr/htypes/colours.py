"""Colour images to grey ones and back, with the weights that Pillow uses (ITU-R 601-2 luma)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.errors import SampleError

__all__ = ["opaque", "to_gray", "to_rgb"]

type Array = np.ndarray[Any, Any]

# 0.299, 0.587 and 0.114 in units of 2⁻¹⁶, as Pillow rounds them
_WEIGHTS = (19595, 38470, 7471)
_HALF = 0x8000


def to_rgb(image: Array) -> Array:
    """Give an image three channels: grey is repeated, alpha is dropped.

    Parameters
    ----------
    image : numpy.ndarray
        (height, width) or (height, width, 1, 3 or 4).

    Returns
    -------
    numpy.ndarray
        (height, width, 3), of the same dtype.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    channels = _channels(image)
    return np.repeat(image, 3, axis=2) if channels == 1 else image[:, :, :3]


def to_gray(image: Array) -> Array:
    """Give the brightness of an image; alpha is dropped.

    Parameters
    ----------
    image : numpy.ndarray
        (height, width) or (height, width, 1, 3 or 4).

    Returns
    -------
    numpy.ndarray
        (height, width), of the same dtype.
    """
    if image.ndim == 2:
        return image
    if _channels(image) == 1:
        return image[:, :, 0]
    if image.dtype.kind == "f":
        return np.asarray(image[:, :, :3] @ np.array([0.299, 0.587, 0.114], image.dtype))
    wide = np.uint32 if image.dtype == np.uint8 else np.int64
    mixed = np.full(image.shape[:2], _HALF, wide)
    for channel, weight in enumerate(_WEIGHTS):
        mixed += image[:, :, channel].astype(wide) * weight
    return (mixed >> 16).astype(image.dtype)


def opaque(image: Array) -> bool:
    """Tell whether an image with alpha is opaque everywhere."""
    most = np.iinfo(image.dtype).max if image.dtype.kind in "iu" else 1
    return bool((image[:, :, 3] == most).all())


def _channels(image: Array) -> int:
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise SampleError(
            f"sample of shape {image.shape}; expected an image: (height, width), or with 1, 3 or "
            "4 channels last",
        )
    return int(image.shape[2])
