"""First bytes of files, by which their formats are told apart.

Where several formats begin alike (MPO is JPEG with a second picture), or a format
begins with nothing in particular (TGA), the extension decides.
"""

from __future__ import annotations

import re
import zlib

__all__ = ["by_signature"]

# Offset, bytes, and the formats that have them there: the likeliest first.
_SIGNATURES: tuple[tuple[int, bytes, tuple[str, ...]], ...] = (
    (0, b"\xff\xd8\xff", ("jpeg", "mpo")),
    (0, b"\x89PNG\r\n\x1a\n", ("png",)),
    (0, b"GIF87a", ("gif",)),
    (0, b"GIF89a", ("gif",)),
    (128, b"DICM", ("dicom",)),  # before TIFF: a file may be both, for viewers of either
    (0, b"II*\0", ("tiff",)),
    (0, b"MM\0*", ("tiff",)),
    (0, b"II+\0", ("tiff",)),
    (0, b"MM\0+", ("tiff",)),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", ("jpeg2000",)),
    (0, b"\xff\x4f\xff\x51", ("jpeg2000",)),
    (0, b"BM", ("bmp",)),
    (0, b"\x01\xda", ("sgi",)),
    (0, b"fLaC", ("flac",)),
    (0, b"ID3", ("mp3",)),
    (28, b"OpusHead", ("opus", "ogg")),
    (0, b"OggS", ("ogg", "opus")),
    (344, b"n+1\0", ("nii",)),
    (344, b"ni1\0", ("nii",)),
    (4, b"n+2\0", ("nii",)),
    (0, b"ply\n", ("ply",)),
    (0, b"ply\r\n", ("ply",)),
    (0, b"# .PCD", ("pcd",)),
    (0, b"OFF\n", ("off",)),
)
_PATTERNS: tuple[tuple[re.Pattern[bytes], tuple[str, ...]], ...] = (
    (re.compile(rb"RIFF....WEBP", re.DOTALL), ("webp",)),
    (re.compile(rb"(RIFF|RF64)....WAVE", re.DOTALL), ("wav",)),
    (re.compile(rb"RIFF....AVI ", re.DOTALL), ("avi",)),
    (re.compile(rb"....ftyp(avif|avis|mif1....(....){0,8}?avif)", re.DOTALL), ("avif",)),
    (re.compile(rb"....ftypqt  ", re.DOTALL), ("mov", "mp4")),
    (re.compile(rb"....ftyp(?!heic|heix|hevc|mif1|msf1)", re.DOTALL), ("mp4", "mov")),
    (re.compile(rb"....(moov|mdat|wide)", re.DOTALL), ("mov", "mp4")),
    (re.compile(rb"\x1aE\xdf\xa3.{0,60}?webm", re.DOTALL), ("webm", "mkv")),
    (re.compile(rb"\x1aE\xdf\xa3", re.DOTALL), ("mkv", "webm")),
    (re.compile(rb"LASF.{100}[\x80-\xff]", re.DOTALL), ("laz",)),  # bit 7: compressed
    (re.compile(rb"LASF"), ("las",)),
    (re.compile(rb"P[1-7Ff][\s#]"), ("ppm",)),
    (re.compile(rb"\x00\x00\x01\x00[\x01-\xff]\x00...\x00[\x00\x01]\x00", re.DOTALL), ("ico",)),
    (re.compile(rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]"), ("pcx",)),
    (re.compile(rb"\s*(/\*.*?\*/\s*)?#define\s+\S+_width\s", re.DOTALL), ("xbm",)),
    (re.compile(rb"(#.*\n|\s)*VERSION\s+\.?\d"), ("pcd",)),
    (re.compile(rb"solid\s"), ("stl",)),
    (re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"), ("mp3",)),
)
_GZIP = b"\x1f\x8b"
_NIFTI_BYTES = 352
# Known by their names alone.
_UNSIGNED = frozenset({"dib", "tga", "stl", "obj", "bin", "dicom", "mp3"})


def by_signature(data: bytes, named: str | None = None) -> str | None:
    """Give the name of the format that a file begins like, or None.

    Parameters
    ----------
    data : bytes
        The file, or at least its first 512 bytes.
    named : str, optional
        The format that its name stands for: taken if the bytes allow it.

    Returns
    -------
    str or None
        Name of a format.

    Examples
    --------
    >>> from hubzarr.media.signatures import by_signature
    >>> by_signature(bytes.fromhex("ffd8ffe0")), by_signature(bytes.fromhex("ffd8ffe0"), "mpo")
    ('jpeg', 'mpo')
    """
    if not data:
        return None
    for offset, magic, candidates in _SIGNATURES:
        if data.startswith(magic, offset):
            return named if named in candidates else candidates[0]
    if named in _UNSIGNED:
        return named
    if data.startswith(_GZIP):
        return "nii.gz" if named == "nii.gz" or _zipped_nifti(data) else None
    start = bytes(data[:512])
    for pattern, candidates in _PATTERNS:
        if pattern.match(start):
            return named if named in candidates else candidates[0]
    return None


def _zipped_nifti(data: bytes) -> bool:
    try:
        start = zlib.decompressobj(wbits=31).decompress(data[:4096], _NIFTI_BYTES)
    except zlib.error:
        return False
    return start.startswith((b"n+1\0", b"ni1\0"), 344) or start.startswith(b"n+2\0", 4)
