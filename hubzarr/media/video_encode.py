"""Writing video clips, by PyAV (FFmpeg)."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError, SampleError, UnsupportedError
from hubzarr.media.extras import need
from hubzarr.media.guard import broken_unless_read

__all__ = ["encode_video"]

# FFmpeg's name of the container; encoders in order of choice, the first one there is taken.
_CONTAINERS = {
    "mp4": ("mp4", ("libx264", "libopenh264", "mpeg4")),
    "mov": ("mov", ("libx264", "libopenh264", "mpeg4")),
    "mkv": ("matroska", ("libx264", "libopenh264", "mpeg4")),
    "webm": ("webm", ("libvpx-vp9", "libvpx", "libsvtav1")),
    "avi": ("avi", ("mpeg4",)),
}
# Encoder, pixel format and options that keep every bit.
_LOSSLESS = {
    "mp4": ("libx264rgb", "rgb24", {"qp": "0"}),
    "mov": ("libx264rgb", "rgb24", {"qp": "0"}),
    "mkv": ("ffv1", "bgr0", {}),
    "webm": ("libvpx-vp9", "gbrp", {"lossless": "1"}),
    "avi": ("ffv1", "bgr0", {}),
}
_CHANNELS = 3


def encode_video(
    container: str,
    array: Any,
    *,
    fps: float = 25,
    lossless: bool = False,
    codec: str | None = None,
    quality: int | None = None,
) -> bytes:
    """Write frames as a video clip.

    Parameters
    ----------
    container : str
        ``"mp4"``, ``"mov"``, ``"mkv"``, ``"webm"`` or ``"avi"``.
    array : array_like
        uint8 of shape (frames, height, width, 3).
    fps : float, default 25
        Frames a second.
    lossless : bool, default False
        Keep every bit, in a file several times as large that fewer players show.
    codec : str, optional
        FFmpeg's name of an encoder in place of the usual one: H.264 (VP9 in WebM,
        MPEG-4 part 2 in AVI).
    quality : int, optional
        Constant rate factor of x264 and VP9, where less is better: 0 to 51 or 63.

    Returns
    -------
    bytes
        The file.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.video import decode
    >>> from hubzarr.media.video_encode import encode_video
    >>> clip = np.zeros((5, 16, 24, 3), "u1")
    >>> decode(encode_video("mkv", clip, fps=10, lossless=True)).shape
    (5, 16, 24, 3)
    """
    frames = _frames(array)
    if not fps > 0:
        raise InvalidError(f"fps={fps!r}; expected frames a second, more than 0")
    options = {} if quality is None else {"crf": str(int(quality))}
    if lossless:
        name, pixels, options = _LOSSLESS[container]
        chosen = _encoder((codec or name,))
    else:
        chosen = _encoder((codec,) if codec else _CONTAINERS[container][1])
        pixels = _pixel_format(chosen, frames.shape)
    if quality is not None and chosen.startswith("libvpx"):
        options["b"] = "0"  # a limit on bits a second would count for more than the quality
    with broken_unless_read("video, or no encoder for it"):
        return _written(container, frames, (chosen, pixels, options), fps)


def _frames(array: Any) -> np.ndarray[Any, Any]:
    frames = np.asarray(array)
    if frames.ndim != 4 or frames.shape[3] != _CHANNELS or frames.dtype != np.uint8:
        raise SampleError(
            f"no video: {frames.dtype} of shape {frames.shape}; "
            f"expected uint8 of shape (frames, height, width, 3)"
        )
    if not frames.size:
        raise SampleError(f"no video: nothing in shape {frames.shape}; expected at least a frame")
    return np.ascontiguousarray(frames)


def _encoder(names: tuple[str, ...]) -> str:
    av = need("av", extra="video", what="writing video")
    for name in names:
        try:
            av.Codec(name, "w")
        except ValueError:  # what PyAV's errors for unknown codecs derive from
            continue
        return name
    raise UnsupportedError(
        f"this installation's FFmpeg has no encoder {' or '.join(names)}; "
        f"name another by codec=..., or install PyAV from PyPI"
    )


def _pixel_format(encoder: str, shape: tuple[int, ...]) -> str:
    """Colour at half resolution, as players expect; H.264 can't halve odd sizes."""
    odd = shape[1] % 2 or shape[2] % 2
    return "yuv444p" if odd and encoder == "libx264" else "yuv420p"


def _written(
    container: str, frames: np.ndarray[Any, Any], how: tuple[str, str, dict[str, str]], fps: float
) -> bytes:
    av = need("av", extra="video", what="writing video")
    encoder, pixels, options = how
    file = io.BytesIO()
    # bitexact: the same frames give the same bytes, without dates and random identifiers
    exact = {"fflags": "+bitexact"}
    with av.open(file, "w", format=_CONTAINERS[container][0], options=exact) as out:
        rate = Fraction(fps).limit_denominator(100_000)
        stream = out.add_stream(encoder, rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    return file.getvalue()
