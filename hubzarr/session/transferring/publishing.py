"""Making a commit appear in another repository."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hubzarr.errors import StorageError
from hubzarr.history.hints import write_hint
from hubzarr.history.manifest import Manifest
from hubzarr.history.versions import first_id, manifest_path, read_manifest
from hubzarr.storage.base import Storage

__all__ = ["publish", "same_content", "same_id"]


def same_content(a: Manifest, b: Manifest) -> bool:
    """Whether two manifests are the same to the last byte."""
    return a.digest == b.digest


def same_id(a: Manifest, b: Manifest) -> bool:
    """Whether two manifests are of one commit, though its log may lie in other pages."""
    return a.commit.id == b.commit.id


def publish(
    target: Storage,
    manifest: Manifest,
    data: bytes,
    same: Callable[[Manifest, Manifest], bool] = same_content,
) -> bool:
    """Create a manifest under its number.

    Returns
    -------
    bool
        False if another commit has the number. It is fine if the same one has it.
    """
    commit = manifest.commit
    path = manifest_path(commit.version, commit.number)
    try:
        created = target.create(path, data) or _is_there(target, manifest, same)
    except StorageError:
        # The answer may have been lost after the manifest was stored.
        if not _is_there(target, manifest, same):
            raise
        created = True
    if created:
        write_hint(target, commit, data, partial(first_id, target, manifest))
    return created


def _is_there(
    target: Storage, manifest: Manifest, same: Callable[[Manifest, Manifest], bool]
) -> bool:
    found = read_manifest(target, manifest.commit.version, manifest.commit.number)
    return found is not None and same(found, manifest)
