"""What a repository of somebody else says is checked before anything is written here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import DamagedError, InvalidNameError
from hubzarr.history.manifest import encode
from hubzarr.history.versions import manifest_path, read_manifest
from hubzarr.storage import open_storage
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.transfer.support import check_same, check_whole, fresh, fresh_url, push


@pytest.fixture
def source():
    url = fresh_url()
    a = hub.from_numpy(np.arange(12), url)
    a.branch("dev")
    return open_storage(url)


def rewritten(storage, version, number, **changes):
    """Put another manifest in the place of one, with a digest that fits."""
    manifest = read_manifest(storage, version, number)
    nodes = changes.pop("nodes", manifest.nodes)
    objects = changes.pop("objects", manifest.objects)
    commit = replace(manifest.commit, **changes)
    data, _ = encode(replace(manifest, commit=commit, nodes=nodes, objects=objects))
    storage.put_atomic(manifest_path(version, number), data)


@pytest.mark.parametrize("home", ["../../../outside", "a//b", "a/./b"])
def test_homes_outside_of_the_repository(source, tmp_path, home):
    node = read_manifest(source, "main", 1).nodes[""]
    rewritten(source, "main", 1, nodes={"": replace(node, home=home)})
    with pytest.raises(DamagedError, match="outside of its repository"):
        hub.pull(str(tmp_path / "deep" / "down" / "x") + ":main", source.url)
    assert not any("outside" in path.name for path in tmp_path.rglob("*"))


def test_loose_objects_outside_of_the_repository(source, tmp_path):
    rewritten(source, "main", 1, objects={"../../../../outside": ("00000000000000ff", 3)})
    with pytest.raises(DamagedError, match="outside of its repository"):
        hub.clone(source.url, str(tmp_path / "x"))
    assert not (tmp_path / "x").exists() or not list((tmp_path / "x").rglob("outside"))


def test_versions_outside_of_the_repository(source):
    rewritten(source, "dev", 0, parent="../../main@1")
    with pytest.raises(InvalidNameError, match="version"):
        push(source, fresh())


def test_commits_that_never_were(source):
    rewritten(source, "dev", 0, parent="main@999999999999")
    with pytest.raises(DamagedError, match="no whole history"):
        push(source, fresh())


def test_commits_that_were_made_on_one_another(source):
    rewritten(source, "main", 1, parent="dev@0")
    with pytest.raises(DamagedError, match="made on one another"):
        push(source, fresh())


def test_manifests_at_another_place(source):
    source.put_atomic(manifest_path("dev", 0), source.get(manifest_path("main", 1)))
    with pytest.raises(DamagedError, match="says that it is main@1"):
        push(source, fresh(), "main", "dev")


def test_manifests_that_were_changed(source):
    path = manifest_path("main", 0)
    source.put_atomic(path, source.get(path).replace(b'"message"', b'"massage"'))
    with pytest.raises(DamagedError, match="digest"):
        push(source, fresh())


def test_an_interrupt_ends_a_push_and_the_next_one_goes_on(source):
    target = FaultyStorage(fresh())
    target.schedule(Fault(verb="put_atomic", error=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        push(source, target)
    assert not [path for path in target.list_all("") if path.startswith("versions/")]
    target.schedule()
    push(source, target)
    check_same(source, target)
    check_whole(target)
