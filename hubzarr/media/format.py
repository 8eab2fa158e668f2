"""What hubzarr knows about one file format of samples: its name, header, decoder, encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import SampleError

__all__ = ["Format", "Header", "as_target"]

type Array = np.ndarray[Any, Any]


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
        From the bytes of a file to the array; raises `SampleError`.  Where `fills`, it takes
        an array as well, which it decodes into if that is one that `as_target` lets through.
    encode : callable or None
        From an array and options to the bytes of a file; None where hubzarr only reads.
    extra : str or None
        Extra of hubzarr that installs the decoder.
    fills : bool
        Whether `decode` can write into an array that is there.
    """

    name: str
    kind: str
    extensions: tuple[str, ...]
    lossless: bool
    header: Callable[[bytes], Header]
    decode: Callable[..., Array]
    encode: Callable[..., bytes] | None
    extra: str | None
    fills: bool = False

    def decode_into(self, data: bytes, out: Array, casting: Any = "safe") -> Array:
        """Decode a file into an array that is there, without a copy if the decoder can.

        Parameters
        ----------
        data : bytes
            The file.
        out : numpy.ndarray
            C-contiguous, to be filled; axes of length 1 may be added or left out.  After an
            error it holds anything.
        casting : str
            Changes of dtype that are allowed, as in `numpy.copyto`.

        Returns
        -------
        numpy.ndarray
            `out`.

        Raises
        ------
        SampleError
            The file is broken, or holds an array of another shape or dtype.

        Examples
        --------
        >>> import numpy as np
        >>> from hubzarr.media import get_format
        >>> png, image = get_format("png"), np.arange(6, dtype="u1").reshape(2, 3)
        >>> batch = np.empty((4, 2, 3), "u1")
        >>> png.decode_into(png.encode(image), batch[1]).tolist()
        [[0, 1, 2], [3, 4, 5]]
        """
        if self.fills:
            # Grey images have no axis of channels, samples of htype image always have one.
            target = out[..., 0] if out.ndim == 3 and out.shape[2] == 1 else out
            found = self.decode(data, target)
            if found is target:
                return out
        else:
            found = self.decode(data)
        same = _without_ones(found.shape) == _without_ones(out.shape)
        if not (same and np.can_cast(found.dtype, out.dtype, casting)):
            raise SampleError(
                f"a {self.name} file of {found.dtype} {found.shape}; "
                f"expected {out.dtype} {out.shape}"
            )
        np.copyto(out, found.reshape(out.shape), casting=casting)
        return out


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def as_target(out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    """Give an array if pixels of a shape and dtype can be decoded right into it, else None."""
    if out is None or out.shape != shape or out.dtype != dtype:
        return None
    return out if out.flags.carray else None
