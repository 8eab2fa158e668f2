"""The file formats of samples, by name and by what a file looks like."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from hubzarr.errors import InvalidError, SampleError
from hubzarr.media import audio, images, medical, meshes, points, video
from hubzarr.media.format import Format
from hubzarr.media.signatures import by_signature

__all__ = ["ALIASES", "by_extension", "get_format", "names", "sniff"]

ALIASES = MappingProxyType(
    {"dcm": "dicom", "jp2": "jpeg2000", "jpg": "jpeg", "pgm": "ppm", "tif": "tiff"}
)

_MODULES = (images, video, audio, medical, points, meshes)
_FORMATS: dict[str, Format] = {made.name: made for module in _MODULES for made in module.FORMATS}


def _extensions() -> Iterator[tuple[str, str]]:
    for made in _FORMATS.values():
        for extension in made.extensions:
            yield extension, made.name


# The first format that claims an extension has it.
_BY_EXTENSION: dict[str, str] = dict(reversed(list(_extensions())))


def get_format(name: str) -> Format:
    """Give the format of a name.

    Parameters
    ----------
    name : str
        As in ``sample_compression``; ``"jpg"``, ``"tif"`` and ``"jp2"`` will do, too.

    Returns
    -------
    Format
        With its header parser, decoder and encoder.

    Examples
    --------
    >>> from hubzarr.media import get_format
    >>> get_format("jpg").name, get_format("png").lossless
    ('jpeg', True)
    """
    found = _FORMATS.get(name)
    if found is None:
        lower = name.lower()
        found = _FORMATS.get(ALIASES.get(lower, lower))
    if found is None:
        raise InvalidError(
            f"no sample compression {name!r}; there are {', '.join(sorted(_FORMATS))}"
        )
    return found


def names(kind: str | None = None) -> list[str]:
    """List the names of the formats, of all or of one kind.

    Parameters
    ----------
    kind : str, optional
        Such as ``"image"``.

    Returns
    -------
    list of str
        Sorted.

    Examples
    --------
    >>> from hubzarr.media import names
    >>> "jpeg" in names("image"), "jpeg" in names("audio")
    (True, False)
    """
    return sorted(made.name for made in _FORMATS.values() if kind in (None, made.kind))


def by_extension(path: str) -> str | None:
    """Give the name of the format that a file's name ends like, or None.

    Parameters
    ----------
    path : str
        Path or URL; what follows a ``?`` or ``#`` in a URL does not count.

    Returns
    -------
    str or None
        Name of a format.

    Examples
    --------
    >>> from hubzarr.media.formats import by_extension
    >>> by_extension("https://host/cat.JPG?size=2"), by_extension("cat")
    ('jpeg', None)
    """
    if "://" in path:
        path = path.partition("?")[0].partition("#")[0]
    name = path.replace("\\", "/").rpartition("/")[2].lower()
    first = name.find(".")
    while first >= 0:
        found = _BY_EXTENSION.get(name[first:])
        if found is not None:
            return found
        first = name.find(".", first + 1)
    return None


def sniff(data: bytes, path: str | None = None) -> str:
    """Tell the format of a file from its first bytes, or else from its name.

    Parameters
    ----------
    data : bytes
        The file, or at least its first 512 bytes.
    path : str, optional
        Its name decides where the bytes leave a choice.

    Returns
    -------
    str
        Name of a format.

    Raises
    ------
    SampleError
        Neither the bytes nor the name are those of a known format.

    Examples
    --------
    >>> from hubzarr.media import sniff
    >>> sniff(b"GIF89a...")
    'gif'
    """
    name = None if path is None else by_extension(path)
    found = by_signature(data, name)
    if found is not None and found in _FORMATS:
        return found
    where = f"{path}: " if path else ""
    if not data:
        raise SampleError(f"{where}empty file; expected a file with a sample", path=path)
    raise SampleError(
        f"{where}unknown file format, first bytes {bytes(data[:8])!r}; "
        f"expected one of {', '.join(sorted(_FORMATS))}",
        path=path,
    )
