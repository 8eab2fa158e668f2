"""Files of samples: which are there, and in which format to keep them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, NotFoundError, SampleError, StorageError
from hubzarr.ingesting.place import Place, hidden
from hubzarr.media import Sample, get_format
from hubzarr.media.formats import by_extension

__all__ = [
    "count_formats",
    "find_file",
    "find_files",
    "format_of",
    "image_options",
    "is_kind",
    "prevailing",
    "read_sample",
]

# So many images of a dataset are looked into before.
_EXAMPLES = 16
# How many folders in a folder are looked into to recognise it.
_FOLDERS = 50


def format_of(name: str, kind: str = "image") -> str | None:
    """The format that a file's name tells, if it is one of a kind of media.

    Examples
    --------
    >>> format_of("tom.JPG"), format_of("tom.txt"), format_of("tom.png", "audio")
    ('jpeg', None, None)
    """
    return _format_of_ending(name[name.find(".", 1) :], kind)


@lru_cache(maxsize=4096)
def _format_of_ending(ending: str, kind: str) -> str | None:
    found = by_extension(f"a{ending}")
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


def image_options(
    root: Place,
    paths: Sequence[str],
    formats: Mapping[str, int],
    *,
    sample_compression: str | None = None,
    dtype: str | None = None,
    mixed: bool = True,
) -> dict[str, Any]:
    """Options of a tensor for image files: a format, and a dtype that holds their values.

    Parameters
    ----------
    root : Place
        Folder that the files are in.
    paths : sequence of str
        Their paths. Some are looked into: most images have 8 bits, but some have 16.
    formats : mapping
        How many files have which format.
    sample_compression, dtype : str, optional
        What the user wants.
    mixed : bool, default True
        Whether the dtype is one that holds the values of all; else it is the one that most
        of them have.
    """
    options: dict[str, Any] = {
        "htype": "image",
        "sample_compression": sample_compression or prevailing(formats),
    }
    step = max(len(paths) // _EXAMPLES, 1)
    found = np.dtype(dtype) if dtype else _common_dtype(root, paths[::step], mixed)
    if found != np.uint8:
        options["dtype"] = found.name
    return options


def _common_dtype(root: Place, paths: Sequence[str], mixed: bool) -> np.dtype[Any]:
    dtypes = Counter(found for path in paths if (found := _dtype(root, path)) is not None)
    if not dtypes:
        return np.dtype("u1")
    return np.result_type(*dtypes) if mixed else max(dtypes, key=lambda found: dtypes[found])


def _dtype(root: Place, path: str) -> np.dtype[Any] | None:
    try:
        return lazy_sample(root, path).dtype
    except HubzarrError:  # told when its row is read
        return None


def lazy_sample(folder: Place, path: str) -> Sample:
    """The sample in a file of a folder; a local file is read when it is wanted.

    Raises
    ------
    SampleError
        The file is missing or can't be read.
    """
    if folder.is_local:
        return Sample(path=f"{folder.url}/{path}")
    return read_sample(folder.child(path))


def read_sample(place: Place) -> Sample:
    """The sample in a file, its bytes read.

    Raises
    ------
    SampleError
        The file is missing or can't be read.
    """
    try:
        return Sample(place.read(), path=place.url)
    except (NotFoundError, StorageError) as error:
        raise SampleError(error.message, path=place.url) from error


def find_files(place: Place, test: Callable[[str], bool], *, depth: int) -> Iterator[Place]:
    """Files whose names pass a test, in a folder and not far below, nearest first.

    Meant for recognising: of the folders in a folder, only some are looked into.
    """
    for child in place.children():
        name = child.name
        if test(name) and not hidden(name) and child.is_file():
            yield child
    if depth > 0:
        for child in itertools.islice(place.folders(), _FOLDERS):
            yield from find_files(child, test, depth=depth - 1)


def find_file(place: Place, test: Callable[[str], bool], *, depth: int) -> Place | None:
    """The first file whose name passes a test, in a folder or not far below.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("photos/cats").mkdir(parents=True)
    >>> _ = pathlib.Path("photos/cats/tom.jpg").write_bytes(b"...")
    >>> find_file(Place("photos"), lambda name: name.endswith(".jpg"), depth=1).name
    'tom.jpg'
    """
    return next(find_files(place, test, depth=depth), None)
