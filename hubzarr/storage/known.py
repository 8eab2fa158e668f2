"""What is known of a repository without asking: the manifests that were seen.

A manifest is found by its path and by its commit id. An id never means anything else,
but a path may: a repository can be deleted and made anew under its old URL, with the
same numbers. So online a path is only a guess; see `KnownManifests.check`.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from typing import Final

from hubzarr.storage.diskcache import DiskCache
from hubzarr.storage.entries import BrokenEntry, read_head

__all__ = ["KnownManifests", "manifest_parts"]

_PATH: Final = re.compile(r"versions/([^/]+)/([0-9]{12})\.json")
_ID: Final = re.compile(rb'\{"hubzarr":[0-9]+,"id":"([0-9a-f]{16})"')
_TAIL: Final = re.compile(rb',"digest":"([0-9a-f]{32})"\}')
_TAIL_SIZE: Final = 45


def manifest_parts(path: str) -> tuple[str, int] | None:
    """Version and number of a manifest's path; None for other paths.

    Examples
    --------
    >>> manifest_parts("versions/main/000000000007.json"), manifest_parts("versions/main/latest")
    (('main', 7), None)
    """
    found = _PATH.fullmatch(path)
    return None if found is None else (found[1], int(found[2]))


def _is_whole(data: bytes) -> bool:
    """Whether a manifest arrived as it was written: its digest says so (docs/format.md)."""
    tail = _TAIL.fullmatch(data[-_TAIL_SIZE:])
    if tail is None:
        return False
    digest = hashlib.blake2b(data[:-_TAIL_SIZE] + b"}", digest_size=16)
    return digest.hexdigest().encode() == tail[1]


class KnownManifests:
    """Manifests of one repository in a disk cache.

    Parameters
    ----------
    cache : DiskCache
    place : str
        Which repository: its URL, and the server if that is not in the URL.
    """

    def __init__(self, cache: DiskCache, place: str) -> None:
        self._cache = cache
        self._place = place
        self._folder = f"{cache.objects}/manifests/{_short(place)}"

    # -- where things are --------------------------------------------------------

    def _version_folder(self, version: str) -> str:
        return f"{self._folder}/{_short(version)}"

    def _file(self, path: str) -> str | None:
        parts = manifest_parts(path)
        if parts is None:
            return None
        return f"{self._version_folder(parts[0])}/{parts[1]:012d}"

    def _commit_file(self, commit: str) -> str:
        return f"{self._folder}/commits/{commit}"

    def _key(self, name: str) -> str:
        return f"{self._place}\n{name}"

    # -- manifests ---------------------------------------------------------------

    def keep(self, path: str, data: bytes) -> None:
        """Keep a manifest that the store holds, if it is whole."""
        file, commit = self._file(path), _ID.match(data)
        if file is None or commit is None or not _is_whole(data):
            return
        self._cache.write(self._key(path), data, file)
        name = commit[1].decode()
        self._cache.write(self._key(f"commit {name}"), path.encode(), self._commit_file(name))

    def get(self, path: str) -> bytes | None:
        """The manifest last seen under a path."""
        file = self._file(path)
        return None if file is None else self._cache.read(self._key(path), path=file)

    def by_commit(self, commit: str) -> bytes | None:
        """The manifest of a commit."""
        if not re.fullmatch(r"[0-9a-f]{16}", commit):
            return None
        path = self._cache.read(self._key(f"commit {commit}"), path=self._commit_file(commit))
        data = None if path is None else self.get(path.decode())
        found = None if data is None else _ID.match(data)
        return data if found is not None and found[1].decode() == commit else None

    def newest(self, version: str) -> int | None:
        """The highest number seen of a version."""
        return max(self._numbers(version), default=None)

    def names(self, directory: str) -> list[str]:
        """What is known to lie in ``versions`` or ``versions/<version>``."""
        if directory == "versions":
            return sorted(f"{version}/" for version in self._versions())
        return [f"{number:012d}.json" for number in self._numbers(directory.partition("/")[2])]

    def _numbers(self, version: str) -> list[int]:
        names = _listed(self._version_folder(version))
        return sorted(int(name) for name in names if len(name) == 12 and name.isdecimal())

    def _versions(self) -> list[str]:
        found = set()
        for folder in _listed(self._folder):
            for number in _listed(f"{self._folder}/{folder}"):
                version = _version_in(f"{self._folder}/{folder}/{number}", self._place)
                if version is not None:
                    found.add(version)
                    break
        return list(found)

    # -- what the store says -----------------------------------------------------

    def check(self, path: str, data: bytes | None) -> None:
        """Compare with what the store holds now: if it differs, nothing here counts any more."""
        known = self.get(path)
        if known is not None and known != data:
            self.forget()

    def check_absent(self, path: str) -> None:
        """The store has no such manifest."""
        file = self._file(path)
        if file is not None and os.path.exists(file):
            self.forget()

    def check_listing(self, directory: str, after: str, names: list[str]) -> None:
        """The store lists these names, of those that sort after `after`."""
        if directory != "versions" and not directory.startswith("versions/"):
            return
        if not {name for name in self.names(directory) if name > after} <= set(names):
            self.forget()

    def forget(self) -> None:
        """Forget the whole repository's manifests."""
        for folder in _listed(self._folder):
            for name in _listed(f"{self._folder}/{folder}"):
                with suppress(OSError):
                    os.unlink(f"{self._folder}/{folder}/{name}")


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _version_in(file: str, place: str) -> str | None:
    """The version of the manifest in a file of the cache."""
    try:
        fd = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        key = read_head(fd).key
    except (BrokenEntry, OSError):
        return None
    finally:
        os.close(fd)
    where, _, path = key.rpartition("\n")
    parts = manifest_parts(path)
    return parts[0] if where == place and parts is not None else None
