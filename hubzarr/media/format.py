"""What hubzarr knows about one file format of samples: its name, header, decoder, encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Format", "Header"]


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about the array in it, without decoding it.

    Attributes
    ----------
    shape : tuple of int
        Of the array that the format's `decode` gives.
    dtype : numpy.dtype
        Of that array.
    meta : dict
        Further facts that JSON can hold, such as the sampling rate of audio.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    meta: dict[str, Any]


@dataclass(frozen=True)
class Format:
    """A file format that one sample can be kept in.

    Attributes
    ----------
    name : str
        Also the name of the sample compression, such as ``"jpeg"``.
    kind : str
        ``"image"``, ``"video"``, ``"audio"``, ``"dicom"``, ``"nifti"``,
        ``"point_cloud"`` or ``"mesh"``.
    extensions : tuple of str
        Ends of file names, lower case with the dot; the usual one first.
    lossless : bool
        Whether `decode` gives what `encode` took.
    header : callable
        From the bytes of a file to its `Header`; cheap; raises `SampleError`.
    decode : callable
        From the bytes of a file to the array; raises `SampleError`.
    encode : callable or None
        From an array and options to the bytes of a file; None where hubzarr only reads.
    extra : str or None
        Extra of hubzarr that installs the decoder.
    """

    name: str
    kind: str
    extensions: tuple[str, ...]
    lossless: bool
    header: Callable[[bytes], Header]
    decode: Callable[[bytes], np.ndarray[Any, Any]]
    encode: Callable[..., bytes] | None
    extra: str | None
