"""Some frames of a video clip, without decoding the others.

Frames refer to frames before them, back to the last key frame, of which there is one
every few seconds.  So a frame costs the decoding of half that time on average.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.guard import broken_unless_read
from hubzarr.media.video import Clip, decode, open_clip, picture, scan

__all__ = ["read_frames", "timestamps"]

type Array = np.ndarray[Any, Any]


@broken_unless_read("video")
def read_frames(
    data: bytes, start: int | None = None, stop: int | None = None, step: int | None = None
) -> Array:
    """Decode the frames of a slice.

    Parameters
    ----------
    data : bytes
        A video file.
    start, stop, step : int, optional
        As in a slice: from the end where negative, cut at the ends of the clip.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (frames, height, width, 3): ``decode(data)[start:stop:step]``.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media import get_format
    >>> from hubzarr.media.video_frames import read_frames
    >>> clip = np.repeat(np.arange(60, dtype="u1"), 8 * 8 * 3).reshape(60, 8, 8, 3)
    >>> file = get_format("mkv").encode(clip, lossless=True)
    >>> read_frames(file, 50, 56, 2)[:, 0, 0, 0]
    array([50, 52, 54], dtype=uint8)
    """
    clip = scan(data)
    wanted = range(clip.count)[start:stop:step]
    if not wanted:
        return np.empty((0, clip.height, clip.width, 3), "u1")
    ordered = wanted if wanted.step > 0 else wanted[::-1]
    found = _seek(data, clip, ordered) if clip.times and clip.keys else None
    if found is None:
        found = decode(data)[ordered.start : ordered.stop : ordered.step]
    return found if wanted.step > 0 else found[::-1]


@broken_unless_read("video")
def timestamps(data: bytes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give the time of each frame of a clip, in seconds.

    Parameters
    ----------
    data : bytes
        A video file.

    Returns
    -------
    numpy.ndarray
        float64, one for each frame, in the order of showing.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media import get_format
    >>> from hubzarr.media.video_frames import timestamps
    >>> timestamps(get_format("mp4").encode(np.zeros((3, 16, 16, 3), "u1"), fps=10))
    array([0. , 0.1, 0.2])
    """
    clip = scan(data)
    if clip.times:
        return np.array(clip.times, "f8") * clip.unit
    if not clip.rate:
        raise SampleError("this video has neither times of frames nor a rate of frames")
    return np.arange(clip.count, dtype="f8") / clip.rate


def _seek(data: bytes, clip: Clip, wanted: range) -> Array | None:
    """Decode frames from the key frames before them; None if seeking can't find them."""
    out = np.empty((len(wanted), clip.height, clip.width, 3), "u1")
    with open_clip(data) as container:
        stream = container.streams.best("video")
        stream.thread_type = "AUTO"
        frames: Iterator[Any] = iter(())
        reached: int | None = None
        for place, number in enumerate(wanted):
            time = clip.times[number]
            key = _key_before(clip, time)
            if reached is None or key > reached:
                container.seek(key, stream=stream, backward=True)
                frames = container.decode(stream)
            frame = next((frame for frame in frames if frame.pts >= time), None)
            if frame is None or frame.pts != time:
                return None
            out[place] = picture(frame, clip)
            reached = time
    return out


def _key_before(clip: Clip, time: int) -> int:
    return clip.keys[max(bisect_right(clip.keys, time) - 1, 0)]
