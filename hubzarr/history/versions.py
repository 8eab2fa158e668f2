"""Versions on a store: finding the newest manifest, and creating the next one."""

from __future__ import annotations

import contextlib
from typing import Final

from hubzarr.errors import DamagedError, NotFoundError, StorageError
from hubzarr.history.manifest import Manifest, decode, encode
from hubzarr.storage.base import Storage

__all__ = [
    "create_manifest",
    "head",
    "head_number",
    "list_versions",
    "manifest_path",
    "newer_exists",
    "read_manifest",
]

#: A hint is written at every number that this divides.
HINT_EVERY: Final = 8


def manifest_path(version: str, number: int) -> str:
    """Path of a manifest below the repository."""
    return f"versions/{version}/{number:012d}.json"


def _hint_path(version: str) -> str:
    return f"versions/{version}/latest"


def read_manifest(storage: Storage, version: str, number: int) -> Manifest | None:
    """The manifest with a number; None when there is none."""
    path = manifest_path(version, number)
    data = storage.get(path)
    if data is None:
        return None
    manifest = decode(data, path)
    if manifest.commit.version != version or manifest.commit.number != number:
        raise DamagedError(
            f"manifest {path} says that it is {manifest.commit.address}: files were moved by "
            "hand; put it back",
            path=path,
        )
    return manifest


def newer_exists(storage: Storage, version: str, number: int) -> bool:
    """Whether a commit after `number` was made: one request."""
    return storage.exists(manifest_path(version, number + 1))


def head_number(storage: Storage, version: str, at_least: int = -1) -> int | None:
    """Newest number of a version; None when the version was never created.

    Numbers have no gaps, so the hint (or `at_least`) is a place to start from, and doubling
    steps followed by bisection find the end in O(log distance) requests.
    """
    low = max(at_least, _hint(storage, version))
    if low < 0:
        if not storage.exists(manifest_path(version, 0)):
            return None
        low = 0
    elif low != at_least and not storage.exists(manifest_path(version, low)):
        low = max(at_least, 0)  # a hint without its manifest is worth nothing
        if not storage.exists(manifest_path(version, low)):
            return None
    step = 1
    while storage.exists(manifest_path(version, low + step)):
        low, step = low + step, 2 * step
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        if storage.exists(manifest_path(version, middle)):
            low = middle
        else:
            high = middle
    return low


def _hint(storage: Storage, version: str) -> int:
    data = storage.get(_hint_path(version))
    # Anything else is not what hubzarr wrote, and worth nothing.
    return int(data) if data is not None and len(data) <= 12 and data.isdigit() else -1


def head(storage: Storage, version: str, at_least: int = -1) -> Manifest | None:
    """Newest manifest of a version; None when the version was never created.

    A deleted version has a head too: its state says so.
    """
    number = head_number(storage, version, at_least)
    if number is None:
        return None
    manifest = read_manifest(storage, version, number)
    if manifest is None:
        raise NotFoundError(
            f"manifest {manifest_path(version, number)} disappeared while it was read from "
            f"{storage.url}: was the repository deleted?",
            version=version,
        )
    return manifest


def create_manifest(storage: Storage, manifest: Manifest) -> Manifest | None:
    """Create a manifest under its number: this *is* the commit.

    Returns
    -------
    Manifest or None
        The manifest with its digest; None when another writer holds the number already.
    """
    data, complete = encode(manifest)
    commit = manifest.commit
    if not storage.create(manifest_path(commit.version, commit.number), data):
        return None
    if commit.number and commit.number % HINT_EVERY == 0:
        # The commit is made, and a hint may lag: not being able to write one is no failure.
        with contextlib.suppress(StorageError):
            storage.put_atomic(_hint_path(commit.version), str(commit.number).encode())
    return complete


def list_versions(storage: Storage) -> list[str]:
    """Names of all versions that were ever created, deleted ones too."""
    names = storage.list_dir("versions")
    return sorted(name[:-1] for name in names if name.endswith("/"))
