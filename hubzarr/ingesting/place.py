"""Places: folders and files to read from, local or on any fsspec store.

Listings are sorted, so that every run sees the same files in the same order.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any, BinaryIO, NamedTuple, Self, cast

from hubzarr.errors import HubzarrError, InvalidTypeError, NotFoundError
from hubzarr.storage.base import storage_error
from hubzarr.storage.network.connect import translated

__all__ = ["Place", "hidden"]

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the data: dot files, system litter.

    Examples
    --------
    >>> hidden(".DS_Store"), hidden("__MACOSX"), hidden("cat.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name in _LITTER


class Place:
    """A folder or a file that a source reads from.

    Parameters
    ----------
    url : str or path
        A local path, or a URL that fsspec knows: ``s3://bucket/photos``,
        ``zip://::photos.zip``.
    storage_options : mapping, optional
        Options for fsspec.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("photos/cats").mkdir(parents=True)
    >>> _ = pathlib.Path("photos/cats/tom.JPG").write_bytes(b"...")
    >>> photos = Place("photos")
    >>> [file.relative(photos) for file in photos.walk()]
    ['cats/tom.JPG']
    >>> tom = photos.child("cats").child("tom.JPG")
    >>> tom.name, tom.suffix, tom.stem, tom.size(), tom.read()
    ('tom.JPG', '.jpg', 'tom', 3, b'...')
    """

    __slots__ = (
        "__weakref__", "_children", "_copy", "_folders", "_fs", "_kind", "_name", "_size",
        "options", "url",
    )  # fmt: skip

    _name: str | None
    _fs: tuple[Any, str] | None
    _kind: str | None
    _size: int | None
    _children: list[Place] | None
    _folders: list[Place] | None
    _copy: str | None

    def __init__(
        self,
        url: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            text = os.fspath(url)
        except TypeError:
            raise InvalidTypeError(
                f"bad place {url!r}: expected a path or a URL such as 's3://bucket/photos'"
            ) from None
        self.url = _normal(text)
        self.options = dict(storage_options or {})
        self._forget()

    @property
    def name(self) -> str:
        """The last part of the path."""
        if self._name is None:
            path = self.url.partition("::")[0]
            self._name = path.rpartition("://")[2].rstrip("/").rpartition("/")[2]
        return self._name

    @property
    def suffix(self) -> str:
        """The extension in lower case, compressed ones whole: ``.jpg``, ``.nii.gz``."""
        name = self.name.lower()
        last = _suffix(name)
        if last not in _COMPRESSED:
            return last
        return _suffix(name.removesuffix(last)) + last

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        suffix = self.suffix
        return self.name[: -len(suffix)] if suffix else self.name

    @property
    def is_local(self) -> bool:
        """Whether it is a plain local path."""
        return "://" not in self.url and "::" not in self.url

    def is_dir(self) -> bool:
        """Whether it is a folder that exists."""
        return self._look() == "directory"

    def is_file(self) -> bool:
        """Whether it is a file that exists."""
        return self._look() == "file"

    def exists(self) -> bool:
        """Whether anything is there."""
        return self._look() != ""

    def children(self) -> list[Place]:
        """Everything in the folder, sorted by name, hidden ones too. Listed once, then kept."""
        if self._children is None:
            self._children = self._listed()
        return self._children

    def folders(self) -> list[Place]:
        """Folders in the folder, hidden ones not. Listed once, then kept."""
        if self._folders is None:
            shown = (child for child in self.children() if not hidden(child.name))
            self._folders = [child for child in shown if child.is_dir()]
        return self._folders

    def child(self, name: str) -> Place:
        """The place of this name, or of this relative path, in the folder. It may not exist."""
        path, mark, rest = self.url.partition("::")
        return self._related(f"{path if path.endswith('/') else path + '/'}{name}{mark}{rest}")

    def resolve(self, path: str) -> Place:
        """A path as written in a file of this folder: relative, absolute, or a URL.

        Examples
        --------
        >>> Place("/data/pets").resolve("../cats/tom.jpg"), Place("/data").resolve("s3://b/c.jpg")
        (Place('/data/cats/tom.jpg'), Place('s3://b/c.jpg'))
        """
        if "://" in path:
            same = path.partition("://")[0] == self.url.partition("://")[0]
            return Place(path, self.options if same else None)
        if path.startswith("/") and self.is_local:
            return Place(path)
        place = self.child(path.replace("\\", "/").lstrip("/"))
        return Place(place.url) if self.is_local else place

    def parent(self) -> Place:
        """The folder that it is in."""
        path, mark, rest = self.url.partition("::")
        head, slashes, tail = path.rpartition("://")
        above = tail.rstrip("/").rpartition("/")[0]
        if self.is_local and not above:
            above = "/"
        return self._related(f"{head}{slashes}{above}{mark}{rest}")

    def walk(self) -> Iterator[Place]:
        """All files below, depth first, each folder in order; no hidden ones.

        A file gives itself. Nothing is kept, so that any number of files will do.
        """
        if self.is_file():
            yield self
        else:
            yield from self._walked(frozenset())

    def files(self) -> Iterator[tuple[str, int]]:
        """Relative path and bytes of each file below, in the order of `walk`: much quicker."""
        if self.is_local and self.is_dir():
            yield from self._local_files("", frozenset())
        else:
            for file in self.walk():
                yield file.relative(self) if file is not self else "", file.size()

    def open(self) -> BinaryIO:
        """The file, open for reading bytes."""
        try:
            if self.is_local:
                return open(self.url, "rb")
            fs, path = self._connected()
            return cast(BinaryIO, fs.open(path, "rb"))
        except Exception as error:
            raise self._error(error, "open") from error

    def read(self) -> bytes:
        """All bytes of the file."""
        try:
            if self.is_local:
                with open(self.url, "rb", buffering=0) as file:
                    return file.readall()
            fs, path = self._connected()
            return cast(bytes, fs.cat_file(path))
        except Exception as error:
            raise self._error(error, "read") from error

    def size(self) -> int:
        """Bytes of the file."""
        if self._size is None:
            self._look(afresh=True)
            if self._size is None:
                raise self._error(FileNotFoundError(), "read")
        return self._size

    def local(self) -> str:
        """The path of a local file with these bytes, for libraries that want one.

        A remote file is downloaded to a temporary one, which lives as long as this object.
        """
        if self.is_local:
            return self.url
        if self._copy is None:
            handle, path = tempfile.mkstemp(suffix=self.suffix, prefix="hubzarr-")
            weakref.finalize(self, _remove, path)
            with os.fdopen(handle, "wb") as file, self.open() as remote:
                shutil.copyfileobj(remote, file, 1 << 20)
            self._copy = path
        return self._copy

    def relative(self, to: Place) -> str:
        """The path from a folder above to here, with slashes."""
        mine, base = self.url.partition("::")[0], to.url.partition("::")[0]
        base = base if base.endswith("/") else base + "/"
        return mine[len(base) :] if mine.startswith(base) else mine

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __repr__(self) -> str:
        return f"Place({self.url!r})"

    def __getstate__(self) -> tuple[str, dict[str, Any], str | None, int | None]:
        return self.url, self.options, self._kind, self._size

    def __setstate__(self, state: tuple[str, dict[str, Any], str | None, int | None]) -> None:
        self._forget()
        self.url, self.options, self._kind, self._size = state

    def _forget(self) -> None:
        self._fs = self._name = self._kind = self._size = self._copy = None
        self._children = self._folders = None

    def _related(self, url: str, kind: str | None = None, size: int | None = None) -> Self:
        other = object.__new__(type(self))
        other._forget()
        other.url, other.options, other._kind, other._size = url, self.options, kind, size
        return other

    def _connected(self) -> tuple[Any, str]:
        """The filesystem, which fsspec keeps for equal options, and the path in it."""
        if self._fs is None:
            from fsspec.core import url_to_fs

            try:
                self._fs = url_to_fs(self.url, **self.options)
            except Exception as error:
                raise translated(error, "open", self.url) from error
        return self._fs

    def _look(self, afresh: bool = False) -> str:
        """What is there: "file", "directory", "other", or nothing."""
        if self._kind is None or afresh:
            try:
                found = _local_entry(self.url) if self.is_local else self._remote_entry()
            except (FileNotFoundError, NotADirectoryError):
                found = _Entry("", "", None)
            except Exception as error:
                raise self._error(error, "look at") from error
            self._kind, self._size = found.kind, found.size
        return self._kind

    def _remote_entry(self) -> _Entry:
        fs, path = self._connected()
        details = fs.info(path)
        return _Entry("", details["type"], details.get("size"))

    def _listed(self) -> list[Place]:
        try:
            found = _local_entries(self.url) if self.is_local else self._remote_entries()
            entries = sorted(found, key=itemgetter(0))
        except Exception as error:
            raise self._error(error, "list") from error
        path, mark, rest = self.url.partition("::")
        base = path if path.endswith("/") else path + "/"
        return [
            self._related(f"{base}{entry.name}{mark}{rest}", entry.kind, entry.size)
            for entry in entries
        ]

    def _remote_entries(self) -> Iterator[_Entry]:
        fs, path = self._connected()
        fs.invalidate_cache()
        for details in fs.ls(path, detail=True):
            name = details["name"].rstrip("/")
            if name != path.rstrip("/"):  # a bucket may hold an object for the folder itself
                yield _Entry(name.rpartition("/")[2], details["type"], details.get("size"))

    def _local_files(
        self, folder: str, above: frozenset[tuple[int, int]]
    ) -> Iterator[tuple[str, int]]:
        path = os.path.join(self.url, folder)
        try:
            mark = _mark(path)
            if mark in above:  # a symbolic link to a folder that we are in
                return
            with os.scandir(path) as found:
                entries = sorted((entry.name, entry) for entry in found if not hidden(entry.name))
        except OSError as error:
            raise self.child(folder)._error(error, "list") from error
        for name, entry in entries:
            if entry.is_dir():
                yield from self._local_files(f"{folder}{name}/", above | {mark})
            elif entry.is_file():
                yield folder + name, entry.stat().st_size
            elif entry.is_symlink():
                yield folder + name, 0

    def _walked(self, above: frozenset[tuple[int, int]]) -> Iterator[Place]:
        if self.is_local:
            try:
                mark = _mark(self.url)
            except OSError as error:
                raise self._error(error, "list") from error
            if mark in above:  # a symbolic link to a folder that we are in
                return
            above |= {mark}
        for place in self._listed() if self._children is None else self._children:
            if hidden(place.name):
                continue
            if place.is_dir():
                yield from place._walked(above)
            else:
                yield place

    def _error(self, error: Exception, verb: str) -> HubzarrError:
        if isinstance(error, HubzarrError):
            return error
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return NotFoundError(
                f"can't {verb} {self.url!r}: nothing is there; check the path", path=self.url
            )
        if self.is_local and isinstance(error, OSError):
            return storage_error(error, verb, self.url)
        return translated(error, verb, self.url)


class _Entry(NamedTuple):
    """One line of a listing."""

    name: str
    kind: str
    size: int | None


def _local_entry(path: str) -> _Entry:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        return _Entry("", "directory", None)
    return _Entry("", "file" if stat.S_ISREG(status.st_mode) else "other", status.st_size)


def _local_entries(path: str) -> Iterator[_Entry]:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir():
                yield _Entry(entry.name, "directory", None)
            # A broken link is listed as a file, so that reading it tells what is missing;
            # a pipe is not, because reading it would wait for ever.
            elif entry.is_file() or entry.is_symlink():
                yield _Entry(entry.name, "file", None)


def _mark(path: str) -> tuple[int, int]:
    """What tells one folder from all others, whatever its path."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _suffix(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return f".{extension}" if stem and dot and extension else ""


def _normal(url: str) -> str:
    """A local path is made absolute; a URL loses slashes at its end."""
    url = url.removeprefix("file://")
    if "://" not in url and "::" not in url:
        return os.path.abspath(os.path.expanduser(url))
    path, mark, rest = url.partition("::")
    shorter = path.rstrip("/")
    return f"{path if shorter.endswith(':') else shorter}{mark}{rest}"


def _remove(path: str) -> None:
    try:
        os.remove(path)
    except OSError:
        pass
