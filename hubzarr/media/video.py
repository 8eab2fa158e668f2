"""Video clips in MP4, MOV, Matroska, WebM and AVI files, read by PyAV (FFmpeg).

A clip decodes to uint8 of shape (frames, height, width, 3): RGB, upright (the rotation
that phones note is applied), 8 bits whatever the file has.  Frames that the file marks
as not for showing are left out.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.extras import need
from hubzarr.media.format import Format, Header
from hubzarr.media.guard import broken_unless_read
from hubzarr.media.video_encode import encode_video

__all__ = ["FORMATS", "Clip", "decode", "header", "open_clip", "picture", "scan"]

type Array = np.ndarray[Any, Any]

_MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"uuid")
_SHOWN_VP8 = 0x10  # bit of a VP8 packet's first byte


@dataclass(slots=True)
class Clip:
    """What one pass over a clip's packets tells.

    Attributes
    ----------
    width, height : int
        Of the frames as they are shown.
    rotation : int
        Quarter turns, counterclockwise, from the frames as stored to as shown.
    times : list of int
        Of each frame in the order of showing, in units of `unit`; empty if unknown.
    keys : list of int
        Times of those frames that decode without others before them.
    count : int
        Number of frames.
    unit, rate : float
        Seconds in a unit of time; frames a second.
    meta : dict
        For the header.
    """

    width: int = 0
    height: int = 0
    rotation: int = 0
    times: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    count: int = 0
    unit: float = 0.0
    rate: float = 0.0
    meta: dict[str, Any] = field(default_factory=dict)


def header(data: bytes) -> Header:
    """Read the shape of a clip; of its frames only the first is decoded.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        `meta` has codec, fps, duration in seconds, rotation in degrees, pixel_format
        and whether there is sound.
    """
    clip = scan(data)
    return Header((clip.count, clip.height, clip.width, 3), np.dtype("u1"), clip.meta)


@broken_unless_read("video")
def decode(data: bytes) -> Array:
    """Decode all frames of a clip; `hubzarr.media.video_frames` decodes some.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (frames, height, width, 3).
    """
    clip = scan(data)
    out = np.empty((clip.count, clip.height, clip.width, 3), "u1")
    done = 0
    with open_clip(data) as container:
        for frame in container.decode(_stream(container, threads=True)):
            if done < clip.count:
                out[done] = picture(frame, clip)
            done += 1
    if done != clip.count:
        raise SampleError(
            f"broken video: {done} frames could be decoded, its packets are {clip.count}"
        )
    return out


def open_clip(data: bytes) -> Any:
    """Open a file as a container of PyAV.

    Only containers of video proper are tried: FFmpeg would take a playlist, too, and
    open the files and addresses in it.
    """
    start = bytes(data[:12])
    if start[4:8] in _MOV_BOXES:
        kind = "mov"
    elif start.startswith(b"\x1aE\xdf\xa3"):
        kind = "matroska"
    elif start.startswith(b"RIFF") and start[8:12] == b"AVI ":
        kind = "avi"
    else:
        raise SampleError(
            f"not a video: first bytes {start[:8]!r}; expected MP4, MOV, MKV, WebM or AVI"
        )
    return _av().open(io.BytesIO(data), format=kind)


@broken_unless_read("video")
def scan(data: bytes) -> Clip:
    """Go through the packets of a clip and decode its first frame."""
    with open_clip(data) as container:
        stream = _stream(container)
        clip = Clip(unit=float(stream.time_base), rate=float(stream.average_rate or 0))
        sure = _read_packets(container, stream, clip)
        clip.meta = _meta(container, stream, clip)
    if not sure:
        _count_by_decoding(data, clip)
    if not clip.count:
        raise SampleError("broken video: no frames")
    return clip


def picture(frame: Any, clip: Clip) -> Array:
    """Give one frame as RGB, upright and of the clip's size."""
    width, height = clip.width, clip.height
    if clip.rotation % 2:
        width, height = height, width
    if frame.width == width and frame.height == height:
        array = frame.to_ndarray(format="rgb24")
    else:  # a stream may change its size: all take that of the first frame
        array = frame.to_ndarray(format="rgb24", width=width, height=height)
    return np.rot90(array, clip.rotation) if clip.rotation else array


def _read_packets(container: Any, stream: Any, clip: Clip) -> bool:
    """Fill a clip from its packets; True if the number of frames is sure without decoding."""
    vp8 = stream.codec_context.name == "vp8"
    first: Any = None
    seen = 0
    sure = True
    for packet in container.demux(stream):
        if not packet.size:
            continue
        seen += 1
        if first is None:
            first = _first_frame(packet.decode())
        if packet.is_discard or (vp8 and not memoryview(packet)[0] & _SHOWN_VP8):
            continue
        clip.count += 1
        if packet.pts is None:
            sure = sure and not clip.times
            continue
        # Frames before the first key frame can't be decoded, and decoders drop them.
        if packet.is_keyframe:
            clip.keys.append(packet.pts)
        elif not clip.keys or packet.pts < clip.keys[0]:
            sure = False
        clip.times.append(packet.pts)
    if first is None:
        first = _first_frame(packet.decode())
    if stream.frames > seen and container.format.name.startswith("mov"):
        raise SampleError(
            f"broken video: its index lists {stream.frames} frames, {seen} are there; "
            f"the file has been cut"
        )
    _note_size(first, clip)
    clip.times.sort()
    return sure and len(set(clip.times)) == len(clip.times)


def _first_frame(frames: list[Any]) -> Any:
    return frames[0] if frames else None


def _note_size(first: Any, clip: Clip) -> None:
    if first is None:
        raise SampleError("broken video: no frame could be decoded")
    clip.rotation = round(first.rotation / 90) % 4
    clip.width, clip.height = first.width, first.height
    if clip.rotation % 2:
        clip.width, clip.height = first.height, first.width


def _count_by_decoding(data: bytes, clip: Clip) -> None:
    """Count the frames that a decoder gives where the packets leave a doubt."""
    with open_clip(data) as container:
        frames = container.decode(_stream(container, threads=True))
        times = [frame.pts for frame in frames]
    clip.count = len(times)
    known = None not in times and all(a < b for a, b in pairwise(times))
    clip.times = times if known else []


def _meta(container: Any, stream: Any, clip: Clip) -> dict[str, Any]:
    codec = stream.codec_context
    seconds = None
    if stream.duration is not None:
        seconds = stream.duration * clip.unit
    elif container.duration is not None:
        seconds = container.duration / 1e6  # FFmpeg counts it in microseconds
    return {
        "codec": codec.name,
        "fps": clip.rate or None,
        "duration": seconds,
        "rotation": clip.rotation * 90,
        "pixel_format": codec.pix_fmt,
        "sound": bool(container.streams.audio),
    }


def _stream(container: Any, threads: bool = False) -> Any:
    videos = container.streams.video
    # A cover picture of a music file counts as a video stream, too: the real one is better.
    if not videos:
        raise SampleError("no video: the file has no video stream")
    stream = container.streams.best("video") or videos[0]
    if threads:
        stream.thread_type = "AUTO"
    return stream


def _av() -> Any:
    return need("av", extra="video", what="reading video")


def _format(name: str, *extensions: str) -> Format:
    return Format(
        name=name,
        kind="video",
        extensions=extensions,
        lossless=False,
        header=header,
        decode=decode,
        encode=partial(encode_video, name),
        extra="video",
    )


FORMATS = (
    _format("mp4", ".mp4", ".m4v"),
    _format("mkv", ".mkv"),
    _format("mov", ".mov", ".qt"),
    _format("webm", ".webm"),
    _format("avi", ".avi"),
)
