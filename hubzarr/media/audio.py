"""Audio in WAV, FLAC, MP3, Ogg Vorbis and Opus files, read by soundfile (libsndfile).

Audio decodes to float32 of shape (samples, channels), also with one channel.  Integer
samples are divided by their range, so that all lie in [-1, 1): exact for 16 and 24 bits.
A file that is cut is an error, with two exceptions: MP3 files, and Ogg files cut between
two pages, are whole files again wherever they are cut.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError, SampleError
from hubzarr.media.extras import need
from hubzarr.media.format import Format, Header
from hubzarr.media.guard import broken_unless_read

__all__ = ["FORMATS", "decode", "encode_audio", "header", "read_samples"]

type Array = np.ndarray[Any, Any]

# libsndfile's names of the container and of the encoding for floats.
_WRITTEN = {
    "wav": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_24"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}
# Encodings that keep every bit of integers, where a container has them.
_INTEGERS = {("wav", "i2"): "PCM_16", ("wav", "i4"): "PCM_32", ("flac", "i2"): "PCM_16"}
_BLOCK = 1 << 16
_UNKNOWN = 1 << 40  # more samples than this means that the file doesn't say how many
_STREAMED = 0x7FFF_0000  # sizes from here on mean that a WAV file was written to a pipe
_SEEKABLE = frozenset({"WAV", "WAVEX", "RF64", "FLAC"})


@broken_unless_read("audio")
def header(data: bytes) -> Header:
    """Read length and channels of an audio file.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        `meta` has samplerate in Hz, channels, frames (samples of one channel),
        duration in seconds, and subtype, libsndfile's name of the encoding.
    """
    with _open(data) as file:
        count = _count(data, file)
        meta = {
            "samplerate": file.samplerate,
            "channels": file.channels,
            "frames": count,
            "duration": count / file.samplerate,
            "subtype": file.subtype,
        }
        return Header((count, file.channels), np.dtype("f4"), meta)


@broken_unless_read("audio")
def decode(data: bytes) -> Array:
    """Decode an audio file.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    numpy.ndarray
        float32 of shape (samples, channels).
    """
    with _open(data) as file:
        if _says_length(data, file):
            return _exactly(file, file.frames)
        return np.concatenate([np.empty((0, file.channels), "f4"), *_blocks(file)])


@broken_unless_read("audio")
def read_samples(data: bytes, start: int | None = None, stop: int | None = None) -> Array:
    """Decode a part of an audio file: of WAV and FLAC nothing else is decoded.

    Parameters
    ----------
    data : bytes
        The file.
    start, stop : int, optional
        As in a slice.

    Returns
    -------
    numpy.ndarray
        float32 of shape (samples, channels): ``decode(data)[start:stop]``.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media import get_format
    >>> from hubzarr.media.audio import read_samples
    >>> file = get_format("wav").encode(np.arange(8, dtype="f4") / 8, samplerate=8000)
    >>> read_samples(file, 2, 4)
    array([[0.25 ],
           [0.375]], dtype=float32)
    """
    with _open(data) as file:
        if file.format in _SEEKABLE and file.frames <= _UNKNOWN:
            part = range(file.frames)[start:stop]
            file.seek(part.start if part else 0)
            return _exactly(file, len(part))
    return decode(data)[start:stop]


def encode_audio(
    name: str, array: Any, *, samplerate: int = 44100, subtype: str | None = None
) -> bytes:
    """Write an audio file.

    Parameters
    ----------
    name : str
        ``"wav"``, ``"flac"``, ``"mp3"``, ``"ogg"`` or ``"opus"``.
    array : array_like
        Of shape (samples,) or (samples, channels): floats, where what lies outside of
        [-1, 1] is cut off except in WAV, or int16 or int32 over their whole range.
    samplerate : int, default 44100
        In Hz.
    subtype : str, optional
        libsndfile's name of an encoding, such as ``"PCM_16"``.  Without it WAV keeps
        float32, int16 and int32 exactly, FLAC int16 exactly and others in 24 bits.

    Returns
    -------
    bytes
        The file.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.audio import decode, encode_audio
    >>> decode(encode_audio("flac", np.array([0, 16384], "i2"), samplerate=8000))
    array([[0. ],
           [0.5]], dtype=float32)
    """
    samples = _samples(array)
    container, usual = _WRITTEN[name]
    chosen = subtype or _INTEGERS.get((name, samples.dtype.str[1:]), usual)
    soundfile = need("soundfile", extra="audio", what="writing audio")
    file = io.BytesIO()
    try:
        with soundfile.SoundFile(
            file, "w", int(samplerate), samples.shape[1], chosen, format=container
        ) as out:
            # In blocks: libsndfile puts all that it is given at once on the stack for Vorbis.
            for start in range(0, len(samples), _BLOCK):
                out.write(samples[start : start + _BLOCK])
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        reason = getattr(error, "error_string", error)  # without the name of our buffer
        raise InvalidError(
            f"{name} can't hold {samples.shape[1]} channels at {samplerate} Hz as {chosen}: "
            f"{reason}"
        ) from error
    return file.getvalue()


def _samples(array: Any) -> Array:
    samples = np.asarray(array)
    if samples.ndim == 1:
        samples = samples[:, np.newaxis]
    kinds = ("f2", "f4", "f8", "i2", "i4")
    if samples.ndim != 2 or samples.shape[1] == 0 or samples.dtype.str[1:] not in kinds:
        raise SampleError(
            f"no audio: {samples.dtype} of shape {samples.shape}; expected floats, int16 or "
            f"int32 of shape (samples, channels)"
        )
    native = samples.dtype.newbyteorder("=")
    wanted = np.dtype("f4") if samples.dtype.kind == "f" and native.itemsize == 2 else native
    return np.ascontiguousarray(samples, wanted)


def _open(data: bytes) -> Any:
    _check_whole(data)
    soundfile = need("soundfile", extra="audio", what="reading audio")
    try:
        return soundfile.SoundFile(io.BytesIO(data))
    except soundfile.LibsndfileError as error:  # its text names the BytesIO in memory
        raise SampleError(f"broken audio: {error.error_string}") from error


def _exactly(file: Any, count: int) -> Array:
    if file.format == "MP3":
        file.seek(0)
    found: Array = file.read(count, dtype="float32", always_2d=True)
    if len(found) != count:
        raise SampleError(f"broken audio: {len(found)} samples could be decoded of {count}")
    return found


def _blocks(file: Any) -> Iterator[Array]:
    """Read to the end where the file doesn't say reliably how far that is."""
    if file.format == "MP3":
        file.seek(0)  # as soundfile.read does, which changes how the decoder rounds
    # soundfile seeks to where it is after each block, which libsndfile can't in a FLAC file
    # that doesn't say how long it is
    file.seek = lambda *_: 0
    while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
        yield block


def _count(data: bytes, file: Any) -> int:
    """The number of samples; where the header doesn't tell they are decoded and counted."""
    return int(file.frames) if _says_length(data, file) else sum(map(len, _blocks(file)))


def _says_length(data: bytes, file: Any) -> bool:
    return file.frames <= _UNKNOWN and (file.format != "MP3" or _has_true_tag(data))


def _has_true_tag(data: bytes) -> bool:
    """Whether an MP3 file begins with a count of its frames (Xing's tag) that fits the file.

    Without one libsndfile guesses from the bit rate; with that of a file since cut or
    joined with another it is wrong.
    """
    start = 0
    if data.startswith(b"ID3"):
        sizes = data[6:10]
        start = 10 + (sizes[0] << 21 | sizes[1] << 14 | sizes[2] << 7 | sizes[3])
    end = len(data) - (128 if data[-128:-125] == b"TAG" else 0)
    tag = max(data.find(mark, start, start + 64) for mark in (b"Xing", b"Info"))
    if tag < 0:
        return False
    flags, _, size = struct.unpack_from(">3I", data, tag + 4)
    return bool(flags & 3 == 3 and start + size == end)


def _check_whole(data: bytes) -> None:
    """Refuse files cut short that libsndfile would take for shorter ones."""
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        _check_wav(data)
    elif data.startswith(b"OggS"):
        page = data.rfind(b"OggS")
        segments = data[page + 26] if page + 26 < len(data) else 0
        body = page + 27 + segments
        if body + sum(data[page + 27 : body]) > len(data) or page + 27 > len(data):
            raise SampleError("broken audio: the file ends within a page; it has been cut")


def _check_wav(data: bytes) -> None:
    place = 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        if name == b"data":
            # one byte less is common: writers forget the padding of odd sizes
            if size < _STREAMED and place + 8 + size > len(data) + 1:
                raise SampleError(
                    f"broken audio: {size} bytes of samples announced, "
                    f"{len(data) - place - 8} there; the file has been cut"
                )
            return
        place += 8 + size + size % 2
    raise SampleError("broken audio: no samples in this WAV file")


def _format(name: str, *extensions: str, lossless: bool) -> Format:
    return Format(
        name=name,
        kind="audio",
        extensions=extensions,
        lossless=lossless,
        header=header,
        decode=decode,
        encode=partial(encode_audio, name),
        extra="audio",
    )


FORMATS = (
    _format("wav", ".wav", ".wave", lossless=True),
    _format("flac", ".flac", lossless=True),
    _format("mp3", ".mp3", lossless=False),
    _format("ogg", ".ogg", ".oga", lossless=False),
    _format("opus", ".opus", lossless=False),
)
