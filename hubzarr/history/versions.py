"""Versions on a store: their manifests by number, and creating the next one."""

from __future__ import annotations

from typing import Final

from hubzarr.errors import DamagedError
from hubzarr.history.hints import write_hint
from hubzarr.history.manifest import Commit, Manifest, decode, encode
from hubzarr.storage.base import Storage

__all__ = [
    "create_manifest",
    "first_id",
    "holds",
    "list_versions",
    "manifest_path",
    "newer_exists",
    "read_manifest",
]


#: How often a manifest that came damaged is asked for again.
AGAIN: Final = 3
#: Manifests begin with the id of their commit.
_START: Final = 64


def manifest_path(version: str, number: int) -> str:
    """Path of a manifest below the repository."""
    return f"versions/{version}/{number:012d}.json"


def read_manifest(storage: Storage, version: str, number: int) -> Manifest | None:
    """The manifest with a number; None when there is none."""
    path = manifest_path(version, number)
    data = storage.get(path)
    if data is None:
        return None
    for _ in range(AGAIN):
        try:
            manifest = decode(data, path)
            break
        except DamagedError:
            if not storage.distrust(path):
                raise
            data = storage.get(path) or b""
    else:
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


def holds(storage: Storage, commit: Commit) -> bool:
    """Whether a commit is where it was made, and not another one in its place.

    So it is once the repository was deleted and made anew. One request as a rule.
    """
    start = storage.get_range(manifest_path(commit.version, commit.number), 0, _START)
    if start is None or commit.id.encode() in start:
        return start is not None
    try:
        stored = read_manifest(storage, commit.version, commit.number)
    except DamagedError:
        return True
    return stored is not None and stored.commit.id == commit.id


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
    write_hint(storage, commit, data, lambda: first_id(storage, manifest))
    return complete


def first_id(storage: Storage, manifest: Manifest) -> str | None:
    """Id of the first commit of a manifest's version; None if the store has other commits now.

    So it is once the repository was deleted, and perhaps made anew.
    """
    commit = manifest.commit
    if not commit.number:
        return commit.id
    for entry in manifest.log.get("recent", ()):
        if (entry["version"], entry["number"]) == (commit.version, 0):
            return str(entry["id"])
    first = read_manifest(storage, commit.version, 0)
    # Asked for after the first: if both are there, they are of one life.
    stored = read_manifest(storage, commit.version, commit.number)
    if first is None or stored is None or stored.commit.id != commit.id:
        return None
    return first.commit.id


def list_versions(storage: Storage) -> list[str]:
    """Names of all versions that were ever created, deleted ones too."""
    names = storage.list_dir("versions")
    return sorted(name[:-1] for name in names if name.endswith("/"))
