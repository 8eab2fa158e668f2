"""What every repository that commits were brought to must be: whole, and the same."""

from __future__ import annotations

import secrets

from hubzarr.history.heads import head
from hubzarr.history.log import ancestors
from hubzarr.history.versions import list_versions, manifest_path, read_manifest
from hubzarr.session.copying import all_goals
from hubzarr.session.transferring import Contents, transfer
from hubzarr.storage import open_storage


def fresh_url(name="x"):
    return f"memory://transfer-{secrets.token_hex(6)}/{name}"


def fresh():
    return open_storage(fresh_url())


class Remote:
    """A storage as slow ones are treated, whose objects must not change under their names."""

    is_local = False
    concurrency = 4

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def put_atomic(self, path, data):
        if not path.endswith("/latest"):
            old = self.inner.get(path)
            assert old in (None, data), f"{path} was changed"
        self.inner.put_atomic(path, data)


def push(source, target, *versions, **options):
    goals = {v: head(source, v).commit.number for v in versions} or all_goals(source, target)
    return transfer(source, target, goals, **options)


def check_same(source, target, versions=None):
    """All commits that the target has are the source's."""
    for version in versions or list_versions(target):
        newest = head(target, version)
        if newest is None:
            continue
        for number in range(newest.commit.number + 1):
            path = manifest_path(version, number)
            assert target.get(path) == source.get(path) is not None, path


def check_whole(storage):
    """All that any commit refers to is there, and sound."""
    for version in list_versions(storage):
        newest = head(storage, version)
        if newest is None:
            continue
        for number in range(newest.commit.number + 1):
            manifest = read_manifest(storage, version, number)
            contents = Contents(storage, thorough=True)
            for item in [*contents.state(manifest), *contents.pages(manifest, ())]:
                data = storage.get(item.path)
                assert data is not None, (manifest.commit, item.path)
                item.check(data)
            for commit in ancestors(manifest, contents.reader):
                for address in (commit.parent, commit.merged):
                    if address is not None:
                        of, _, at = address.rpartition("@")
                        assert read_manifest(storage, of, int(at)) is not None


def heads(storage):
    return {
        version: found.commit.id
        for version in list_versions(storage)
        if (found := head(storage, version)) is not None
    }
