"""Files of samples: which are there, and in which format to keep them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from hubzarr.errors import HubzarrError
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Skipped
from hubzarr.media import Sample, get_format
from hubzarr.media.formats import by_extension

__all__ = ["count_formats", "format_of", "is_kind", "prevailing", "read_sample"]


def format_of(name: str, kind: str = "image") -> str | None:
    """The format that a file's name tells, if it is one of a kind of media.

    Examples
    --------
    >>> format_of("tom.JPG"), format_of("tom.txt"), format_of("tom.png", "audio")
    ('jpeg', None, None)
    """
    found = by_extension(name)
    return found if found is not None and get_format(found).kind == kind else None


def is_kind(place: Place, kind: str = "image") -> bool:
    """Whether a place is a file whose name says that it is of a kind of media."""
    return format_of(place.name, kind) is not None and place.is_file()


def count_formats(names: Iterable[str], kind: str = "image") -> Counter[str]:
    """How many files have which format.

    Examples
    --------
    >>> count_formats(["a.jpg", "b.jpeg", "c.png", "d.txt"])
    Counter({'jpeg': 2, 'png': 1})
    """
    return Counter(found for name in names if (found := format_of(name, kind)) is not None)


def prevailing(formats: Mapping[str, int]) -> str | None:
    """The format to keep all files in: the most frequent one, so that most stay untouched.

    Of formats that hubzarr can only read, one is taken only where there is no other.

    Examples
    --------
    >>> prevailing({"png": 3, "jpeg": 97})
    'jpeg'
    """
    if len(formats) < 2:
        return next(iter(formats), None)
    writable = [name for name in formats if get_format(name).encode is not None]
    return max(writable or formats, key=lambda name: (formats[name], name))


def read_sample(place: Place, what: str) -> Sample | Skipped:
    """The sample in a file, its bytes read; or why there is none."""
    try:
        return Sample(place.read(), path=place.url)
    except HubzarrError as error:
        return Skipped(what, error.message)
