"""What there is: names under a root, and a catalogue that says what each of them holds."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hubzarr.api.opening import opened
from hubzarr.config import get_config
from hubzarr.datasets import Dataset
from hubzarr.errors import HubzarrError
from hubzarr.history.manifest import Commit
from hubzarr.names import DEFAULT_VERSION, parse_name
from hubzarr.session import Session
from hubzarr.session.autosync import sync_place
from hubzarr.session.opening import existing_versions
from hubzarr.session.place import Options
from hubzarr.storage import Storage, open_storage
from hubzarr.storage.base import is_read_only
from hubzarr.storage.below import StorageBelow
from hubzarr.storage.cache.cached import CachedStorage
from hubzarr.threads import map_all

__all__ = ["Entry", "catalog", "list"]

# Folders with one of these are arrays and groups of plain Zarr, and hold no repositories.
_PLAIN_ZARR: Final = frozenset({"zarr.json", ".zgroup", ".zarray"})


@dataclass(frozen=True, slots=True)
class Entry:
    """What a catalogue says of one array or dataset. See `hubzarr.catalog`.

    Attributes
    ----------
    name : str
    kind : {"array", "dataset"} or None
        None where it can't be read; then `problem` says why.
    shape, dtype
        Of an array.
    rows, tensors
        Of a dataset.
    nbytes : int or None
        Of an array, bytes of all elements in memory.
    versions : list of str
    version : str or None
        The one that is described: ``main``, or the one with the newest commit.
    commit : Commit or None
        The newest one of all versions.
    attributes : dict
        Of an array; the ``info`` of a dataset.
    """

    name: str
    kind: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    rows: int | None = None
    tensors: builtins.list[str] | None = None
    nbytes: int | None = None
    versions: builtins.list[str] = field(default_factory=builtins.list)
    version: str | None = None
    commit: Commit | None = None
    sealed: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    def __repr__(self) -> str:
        what = self.problem or (
            f"{self.shape} {self.dtype}" if self.kind == "array" else f"{self.rows} rows"
        )
        return f"Entry({self.name!r}, {self.kind}, {what})"


def list(prefix: str = "", *, storage_options: Options = None) -> builtins.list[str]:
    """Names of the arrays and datasets under a root.

    Parameters
    ----------
    prefix : str
        A namespace to look into, or the name of a configured root; all of the default
        root if empty. Or a URL or path, to look there.

    Returns
    -------
    list of str
        Sorted names, without versions; see `versions`, and `catalog` for more of each.

    Examples
    --------
    >>> import hubzarr as hub
    >>> _ = hub.array((2,), "listed/one")
    >>> hub.list("listed")
    ['listed/one']
    """
    shelf = _shelf(prefix, storage_options)
    return [shelf.named(path) for path in _repositories(shelf)]


def catalog(
    prefix: str = "", *, search: str = "", storage_options: Options = None
) -> builtins.list[Entry]:
    """What there is under a root, and what it is; damaged repositories are listed too.

    Repositories are read at the same time, each with a few requests.

    Parameters
    ----------
    prefix : str
        As for `list`.
    search : str
        Words that must all occur, in capitals or not: in the name, in versions with the
        message and author of their newest commits, in attributes and info, in names and
        htypes of tensors.

    Returns
    -------
    list of Entry

    Examples
    --------
    >>> import hubzarr as hub
    >>> _ = hub.array((2, 3), "shelf/one", attributes={"unit": "kelvin"})
    >>> _ = hub.array((4,), "shelf/two")
    >>> hub.catalog("shelf")
    [Entry('shelf/one', array, (2, 3) float64), Entry('shelf/two', array, (4,) float64)]
    >>> [entry.name for entry in hub.catalog("shelf", search="Kelvin")]
    ['shelf/one']
    """
    shelf = _shelf(prefix, storage_options)
    words = search.casefold().split()

    def look(path: str) -> Entry | None:
        return _entry(shelf.named(path), path, shelf.storage_of(path), words)

    found = map_all(look, _repositories(shelf), shelf.root.concurrency)
    return [entry for entry in found if entry is not None]


# -- where to look ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shelf:
    """A place with repositories: the storage, the folder in it, how to name what is there."""

    root: Storage
    folder: str
    named: Callable[[str], str]
    may_be_one: bool = False

    def storage_of(self, path: str) -> Storage:
        if not path:
            return self.root
        if isinstance(self.root, CachedStorage):
            return self.root.below(path)
        return StorageBelow(self.root, path)


def _shelf(prefix: str, options: Options) -> _Shelf:
    word = prefix.removeprefix("hub://").strip("/") if prefix.strip("/") else ""
    if not word:
        return _Shelf(open_storage(get_config().root, options), "", str)
    parsed = parse_name(prefix if word == prefix.strip("/") else word)
    if parsed.root is not None:
        place = parsed.root.rstrip("/")
        storage = open_storage(parsed.root, options)
        return _Shelf(storage, "", lambda path: f"{place}/{path}".rstrip("/"), may_be_one=True)
    config = get_config()
    first, _, below = parsed.path.partition("/")
    if first in config.roots:
        storage = open_storage(config.roots[first].url, options)
        return _Shelf(storage, below, lambda path: f"{first}/{path}")
    return _Shelf(open_storage(config.root, options), parsed.path, str)


def _repositories(shelf: _Shelf) -> builtins.list[str]:
    """Folders that are repositories; "" is the whole storage, if it may be one."""
    if shelf.folder and is_read_only(shelf.root):
        shelf.root.list_dir("")  # raises on a web server that lists nothing
    found: builtins.list[str] = []
    level = [shelf.folder]
    while level:
        listings = map_all(shelf.root.list_dir, level, shelf.root.concurrency)
        below: builtins.list[str] = []
        for folder, names in zip(level, listings, strict=True):
            if "versions/" in names and (folder or shelf.may_be_one):
                found.append(folder)
            elif _PLAIN_ZARR.isdisjoint(names):
                start = f"{folder}/" if folder else ""
                below += [start + n[:-1] for n in names if n[-1:] == "/" and n[0] != "."]
        level = below
    return sorted(found)


# -- what it is -----------------------------------------------------------------------


def _entry(name: str, path: str, storage: Storage, words: builtins.list[str]) -> Entry | None:
    """One entry; None when all versions are deleted, or when it lacks a word.

    Of its name, `path` is searched: a bucket or a folder above all entries tells none apart.
    """
    path = path or name.rpartition("/")[2]
    try:
        sync_place(storage.url)
        there = existing_versions(storage)
        if not there:
            return None
        versions = sorted(manifest.commit.version for manifest in there)
        newest = max(there, key=lambda manifest: manifest.commit.time)
        described = next((m for m in there if m.commit.version == DEFAULT_VERSION), newest)
        found: dict[str, Any] = {
            "versions": versions,
            "version": described.commit.version,
            "commit": newest.commit,
            "sealed": newest.sealed,
        }
        session = Session(storage, described, writable=False, name=name)
        found |= _described(session, name)
        entry = Entry(name, **found)
        texts = (path, *_texts(entry, session, [m.commit for m in there])) if words else ()
    except HubzarrError as error:  # one bad repository must not hide the others
        entry, texts = Entry(name, problem=error.message), (path, error.message)
    except (KeyError, ValueError, TypeError, IndexError) as error:  # documents of other programs
        problem = f"it can't be understood: {type(error).__name__}: {error}"
        entry, texts = Entry(name, problem=problem), (path, problem)
    haystack = "\n".join(texts).casefold()
    return entry if all(word in haystack for word in words) else None


def _described(session: Session, name: str) -> dict[str, Any]:
    held = opened(session, name)
    if isinstance(held, Dataset):
        return {
            "kind": "dataset",
            "rows": len(held),
            "tensors": [*held.tensors],
            "attributes": dict(held.info),
        }
    return {
        "kind": "array",
        "shape": held.shape,
        "dtype": str(held.dtype),
        "nbytes": held.nbytes,
        "attributes": dict(held.attributes),
    }


def _texts(entry: Entry, session: Session, commits: Iterable[Commit]) -> Iterable[str]:
    """All texts in which words are looked for; `commits` are the newest of each version."""
    yield from (entry.kind or "", entry.dtype or "", *entry.versions)
    yield from entry.tensors or ()
    for commit in commits:
        yield from (commit.author, commit.message or "")
    for path in session.paths():
        document: Mapping[str, Any] = session.document(path) or {}
        yield json.dumps(document.get("attributes", {}), ensure_ascii=False, default=str)
    yield json.dumps(entry.attributes, ensure_ascii=False, default=str)
