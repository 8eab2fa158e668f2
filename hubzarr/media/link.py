"""Samples that stay where they are: a link stores the address of a file."""

from __future__ import annotations

import os

from hubzarr.errors import InvalidError

__all__ = ["Link", "link"]


class Link:
    """The address of a file, kept in place of the file.

    Parameters
    ----------
    path : str or os.PathLike
        Local path, or any URL that fsspec can open.

    Examples
    --------
    >>> from hubzarr.media import Link
    >>> Link("s3://bucket/cat.jpg")
    Link('s3://bucket/cat.jpg')
    """

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: str = os.fspath(path)
        if not self.path:
            raise InvalidError("a link to nothing; expected a path or a URL")

    def __repr__(self) -> str:
        return f"Link({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Link) and other.path == self.path

    def __hash__(self) -> int:
        return hash((Link, self.path))


def link(path: str | os.PathLike[str]) -> Link:
    """Give a sample for a tensor of htype ``link[...]``: the file is read when it is wanted.

    Parameters
    ----------
    path : str or os.PathLike
        Local path, or any URL that fsspec can open.

    Returns
    -------
    Link
        What the tensor stores is its `path`.

    Examples
    --------
    >>> from hubzarr.media import link
    >>> link("https://host/cat.jpg").path
    'https://host/cat.jpg'
    """
    return Link(path)
