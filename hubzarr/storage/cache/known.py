"""What is known of a repository without asking: the manifests that were seen.

A commit id never means anything else, but a path may: a repository can be deleted and
made anew under its old URL, with the same numbers. So what is known of paths serves
offline only, and is dropped as soon as the store says something else.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from typing import Final

from hubzarr.storage.cache.diskcache import DiskCache
from hubzarr.storage.cache.entries import BrokenEntry, read_head

__all__ = ["KnownManifests", "known_below", "manifest_parts"]

_PATH: Final = re.compile(r"versions/([^/]+)/([0-9]{12})\.json")
_ID: Final = re.compile(rb'\{"hubzarr":[0-9]+,"id":"([0-9a-f]{16})"')
_TAIL: Final = re.compile(rb',"digest":"([0-9a-f]{32})"\}')
_TAIL_SIZE: Final = 45
_COMMIT: Final = re.compile("[0-9a-f]{16}")
_HINT: Final = re.compile(rb"([0-9]{1,12}) ([0-9a-f]{16})\n")


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

    A manifest lies under its commit id. Paths of manifests hold such ids, and so does the
    last hint that was seen.

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

    # -- what lies where ---------------------------------------------------------

    def _version_folder(self, version: str) -> str:
        return f"{self._folder}/{_short(version)}"

    def _file(self, path: str) -> str:
        """The file for ``versions/<version>/<name>``."""
        _, version, name = path.split("/")
        return f"{self._version_folder(version)}/{name.removesuffix('.json')}"

    def _read(self, name: str, file: str) -> str | None:
        found = self._cache.read(f"{self._place}\n{name}", path=file)
        return None if found is None else found.decode()

    def _write(self, name: str, data: bytes, file: str) -> None:
        self._cache.write(f"{self._place}\n{name}", data, file)

    def _keep_commit(self, data: bytes) -> str | None:
        """Keep a manifest if it is whole; returns its commit's id."""
        found = _ID.match(data)
        if found is None or not _is_whole(data):
            return None
        commit = found[1].decode()
        file = f"{self._folder}/commits/{commit}"
        if not self._cache.touch(file):
            self._write(f"commit {commit}", data, file)
        return commit

    # -- manifests ---------------------------------------------------------------

    def keep(self, path: str, data: bytes | None) -> None:
        """Note what the store holds under the path of a manifest.

        If that was something else before, nothing that is known of the repository counts
        any more.
        """
        known = self._read(path, self._file(path))
        commit = None if data is None else self._keep_commit(data)
        if data is not None and commit is None:
            return  # damaged on its way
        if known not in (None, commit):
            self.forget()
        if commit is not None and commit != known:
            self._write(path, commit.encode(), self._file(path))

    def keep_hint(self, path: str, data: bytes | None) -> None:
        """Note what a version's hint says."""
        found = None if data is None else _HINT.match(data)
        if data is None or found is None:
            return
        commit = self._keep_commit(data[found.end() :])
        if commit is not None:
            hint = found[0] + commit.encode()
            if self._read(path, self._file(path)) != hint.decode():
                self._write(path, hint, self._file(path))

    def by_commit(self, commit: str) -> bytes | None:
        """The manifest of a commit."""
        if not _COMMIT.fullmatch(commit):
            return None
        file = f"{self._folder}/commits/{commit}"
        return self._cache.read(f"{self._place}\ncommit {commit}", path=file)

    def get(self, path: str) -> bytes | None:
        """The manifest or the hint last seen under a path."""
        parts = manifest_parts(path)
        if parts is None:
            number, life, commit = self._hint(path.split("/")[1])
            found = None if commit is None else self.by_commit(commit)
            return None if found is None else f"{number} {life}\n".encode() + found
        known = self._read(path, self._file(path))
        if known is None:
            number, _, commit = self._hint_of_this_life(parts[0])
            known = commit if number == parts[1] else None
        return None if known is None else self.by_commit(known)

    def newest(self, version: str) -> int | None:
        """The highest number seen of a version."""
        return max(self._numbers(version), default=None)

    def names(self, directory: str) -> list[str]:
        """What is known to lie in ``versions`` or ``versions/<version>``."""
        top, _, version = directory.partition("/")
        if top != "versions" or "/" in version:
            return []
        if not version:
            return sorted(f"{version}/" for version in self._versions())
        return [f"{number:012d}.json" for number in self._numbers(version)]

    def _hint(self, version: str) -> tuple[int, str, str | None]:
        """Number, first commit and newest commit that a version's hint names."""
        path = f"versions/{version}/latest"
        found = _HINT.match((self._read(path, self._file(path)) or "").encode())
        if found is None:
            return -1, "", None
        return int(found[1]), found[2].decode(), found.string[found.end() :].decode()

    def _hint_of_this_life(self, version: str) -> tuple[int, str, str | None]:
        """The same, if the version still begins as it did when the hint was written."""
        hint = self._hint(version)
        path = f"versions/{version}/{0:012d}.json"
        return hint if hint[1] == self._read(path, self._file(path)) else (-1, "", None)

    def _numbers(self, version: str) -> list[int]:
        names = _listed(self._version_folder(version))
        numbers = {int(name) for name in names if len(name) == 12 and name.isdecimal()}
        if "latest" in names:
            numbers |= {self._hint_of_this_life(version)[0]} - {-1}
        return sorted(numbers)

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

    def check_absent(self, path: str) -> None:
        """The store has no manifest of this path."""
        if os.path.exists(self._file(path)):
            self.forget()

    def check_listing(self, directory: str, after: str, names: list[str]) -> None:
        """The store lists these names, all that sort after `after`."""
        if {name for name in self.names(directory) if name > after} - set(names):
            self.forget()

    def forget(self) -> None:
        """Forget which commits the versions have; commits themselves stay what they are."""
        for folder in _listed(self._folder):
            if folder == "commits":
                continue
            for name in _listed(f"{self._folder}/{folder}"):
                with suppress(OSError):
                    os.unlink(f"{self._folder}/{folder}/{name}")


def known_below(cache: DiskCache, url: str, server: str, folder: str) -> list[str]:
    """What is known to lie in a folder of a store: names of folders, each with a slash."""
    start = f"{url}/{folder}/" if folder else f"{url}/"
    end = f" {server}" if server else ""
    found = set()
    for place in _places(cache):
        if place.startswith(start) and place.endswith(end):
            below = place[len(start) : len(place) - len(end)]
            found.add(f"{below.partition('/')[0]}/")
        elif place == f"{start[:-1]}{end}":
            found.add("versions/")
    return sorted(found)


def _places(cache: DiskCache) -> set[str]:
    """All repositories of which manifests are known."""
    top = f"{cache.objects}/manifests"
    found = set()
    for name in _listed(top):
        versions = (folder for folder in _listed(f"{top}/{name}") if folder != "commits")
        files = (
            f"{top}/{name}/{v}/{file}" for v in versions for file in _listed(f"{top}/{name}/{v}")
        )
        key = next(filter(None, map(_key_in, files)), None)
        if key is not None:
            found.add(key.partition("\n")[0])
    return found


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _key_in(file: str) -> str | None:
    """The key of a file of the cache."""
    try:
        fd = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        return read_head(fd).key
    except (BrokenEntry, OSError):
        return None
    finally:
        os.close(fd)


def _version_in(file: str, place: str) -> str | None:
    """The version of the manifest in a file of the cache."""
    where, _, path = (_key_in(file) or "").rpartition("\n")
    parts = manifest_parts(path)
    return parts[0] if where == place and parts is not None else None
