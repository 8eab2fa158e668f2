"""Log, points, diff, blame, branches, merges, reverts and seals, case by case."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from hubzarr.codecs import array_document
from hubzarr.errors import (
    ConflictError,
    ExistsError,
    InvalidError,
    InvalidNameError,
    InvalidTypeError,
    NotFoundError,
    ReadOnlyError,
    SealedError,
)
from hubzarr.history.manifest import Node
from hubzarr.session import create_repository, open_session
from hubzarr.session.blame import blame
from hubzarr.session.branching import (
    branch,
    checkout,
    copy_version,
    delete_version,
    log,
    merge,
    rename_version,
    revert,
    seal,
    versions,
)
from hubzarr.session.diff import diff
from hubzarr.session.difference import ABSENT
from hubzarr.session.log import state_at
from tests.session.support import GROUP, append, content, read, repository, write


@pytest.fixture
def storage():
    return repository()


@pytest.fixture
def session(storage):
    return open_session(storage, "main", author="ann")


def rows(session, start, count, value, message="rows"):
    append(session, np.full((count, 6), value, "i4"))
    return session.commit(message)


# -- log and points ----------------------------------------------------------------


def test_log_leaves_out_syncs(session):
    write(session, 0, 1)
    session.sync()
    write(session, 1, 1)
    session.commit("named")
    assert [c.message for c in log(session)] == ["named", "created"]
    assert [c.number for c in log(session, syncs=True)] == [2, 1, 0]
    assert [c.number for c in log(session, 1)] == [2]
    assert log(session, 0) == []


def test_log_shows_seals_and_beginnings_without_a_message(session):
    branch(session, "dev")
    dev = open_session(session.storage, "dev")
    write(dev, 0, 1)
    dev.sync()
    seal(dev)
    assert [c.address for c in log(dev)] == ["dev@2", "dev@0", "main@0"]


def test_log_reads_few_pages_of_a_long_history(session):
    for i in range(200):
        session.commit(str(i))
    fresh = open_session(session.storage, "main")
    before = session.storage.counters.copy()
    assert [c.message for c in log(fresh, 20)] == [str(i) for i in range(199, 179, -1)]
    assert (fresh.storage.counters - before).reads <= 1
    assert len(log(fresh)) == 201


def test_points(session):
    write(session, 0, 1)
    first = session.commit("first")
    branch(session, "dev")
    write(session, 0, 2)
    session.commit("second")
    for point in (1, "1", "@1", "main@1", first.id, f"main@{first.id}", first.time):
        assert state_at(session, point).commit.id == first.id
    assert state_at(session, datetime.fromisoformat(first.time)).commit.id == first.id
    assert state_at(session, datetime.now(UTC)).commit.number == 2
    assert state_at(session, None) is session.manifest
    assert state_at(session, "dev").commit.address == "dev@0"
    assert state_at(session, ":dev").commit.address == "dev@0"
    assert state_at(session, "dev@0").commit.address == "dev@0"


def test_points_that_are_not_there(session):
    with pytest.raises(NotFoundError, match="no commit 7; its newest is 0"):
        state_at(session, 7)
    with pytest.raises(NotFoundError, match="versions there: main"):
        state_at(session, "nope")
    with pytest.raises(NotFoundError, match="has the id"):
        state_at(session, "00c0ffee00c0ffee")
    with pytest.raises(NotFoundError, match="at or before 2001"):
        state_at(session, "2001-01-01")
    with pytest.raises(NotFoundError):
        state_at(session, -1)
    with pytest.raises(InvalidNameError):
        state_at(session, "a/b")
    with pytest.raises(InvalidTypeError):
        state_at(session, 1.5)


def test_ids_of_merged_commits_are_points(session):
    branch(session, "dev")
    dev = open_session(session.storage, "dev")
    write(dev, 0, 1)
    made = dev.commit("there")
    write(session, 10, 1)
    session.commit("here")
    merge(session, "dev")
    assert state_at(session, made.id).commit.address == "dev@1"


# -- diff ---------------------------------------------------------------------------


def test_diff_prints_as_a_table(session):
    write(session, (slice(0, 5), 0), 1)
    session.array().document["attributes"]["units"] = "m"
    session.commit("one")
    append(session, np.ones((2, 6), "i4"))
    session.array().document["attributes"]["units"] = "km"
    found = diff(session, 0, values=True)
    assert repr(found).splitlines() == [
        "diff main@0 -> main@1 + uncommitted",
        "node  change   shape               cells  elements  regions",
        "/     changed  (20, 6) -> (22, 6)  4      17        [0:8, 0:3] [20:22, 0:6]",
        "    attribute 'units': (absent) -> \"km\"",
    ]
    assert "<td>attribute" not in repr(found)
    assert "&quot;km&quot;" in found._repr_html_()
    node = found[""]
    assert node.attributes == (("units", ABSENT, "km"),)
    assert found.to_dict()["nodes"][0]["attributes"] == [{"key": "units", "after": "km"}]
    assert found.to_dict()["nodes"][0]["shape_after"] == [22, 6]
    assert repr(diff(session, 1, 1)) == "diff main@1 -> main@1: nothing changed"
    assert not diff(session, 1, 1)


def test_diff_values(session):
    write(session, ..., 5)
    session.commit("five")
    write(session, (3, slice(2, 4)), 7)
    session.commit("seven")
    found = diff(session, 1, 2, values=True)
    (node,) = found
    assert (node.cells, node.elements, node.regions) == (2, 2, (((0, 4), (0, 6)),))
    ((box, before, after),) = found.regions_values()
    assert box == ((0, 4), (0, 6))
    assert (before == 5).all()
    assert np.argwhere(after == 7).tolist() == [[3, 2], [3, 3]]
    with pytest.raises(InvalidError, match="values=True"):
        next(diff(session, 1, 2).regions_values())
    with pytest.raises(NotFoundError, match="did not change"):
        found["elsewhere"]


def test_diff_reads_only_pages_that_differ(session):
    write(session, ..., 1)
    session.commit("all")
    write(session, 0, 2)
    session.commit("one")
    fresh = open_session(session.storage, "main")
    before = session.storage.counters.copy()
    assert diff(fresh, 1)[""].cells == 2
    assert (fresh.storage.counters - before).reads <= 2


def test_diff_of_an_array_without_axes():
    storage = repository((), "f8", ())
    session = open_session(storage, "main")
    write(session, (), np.nan)
    session.commit("nan")
    (node,) = diff(session, 0, values=True)
    assert (node.regions, node.cells, node.elements) == (((),), 1, 1)
    write(session, (), np.nan)
    session.commit("again")
    assert diff(session, 1, values=True)[""].elements == 0


def test_diff_of_groups_and_nodes(storage):
    nodes = {"": Node(GROUP, ""), "g": Node(GROUP, "g")}
    create_repository(storage, "tree", GROUP, author="me", nodes=nodes)
    session = open_session(storage, "tree")
    session.create_array("g/a", array_document((4,), "i4", (2,)))
    write(session, slice(0, 3), 1, "g/a")
    session.set_group("g", {**GROUP, "attributes": {"k": [1]}})
    session.commit("made")
    found = diff(session, 0)
    assert [(n.path, n.kind, n.cells) for n in found] == [
        ("g", "changed", 0),
        ("g/a", "created", 2),
    ]
    assert [n.path for n in diff(session, 0, path="g/a")] == ["g/a"]
    session.create_array("g/a", array_document((4,), "f4", (3,)))
    assert diff(session, None)["g/a"].kind == "replaced"
    session.remove("g/a")
    assert [(n.kind, n.shape_before) for n in diff(session, 1)] == [("removed", (4,))]


# -- blame ----------------------------------------------------------------------------


def test_blame_follows_merges(session):
    write(session, slice(0, 8), 1)
    session.commit("main")
    branch(session, "dev")
    dev = open_session(session.storage, "dev", author="bob")
    write(dev, slice(4, 8), 2)
    dev.commit("dev")
    write(session, slice(16, 20), 3)
    session.commit("more")
    merge(session, "dev")
    write(session, slice(12, 13), 4)
    found = [
        (e.commit and e.commit.message, e.boxes, e.cells, e.uncommitted) for e in blame(session)
    ]
    assert sorted(found, key=str) == sorted(
        [
            (None, (((12, 16), (0, 6)),), 2, True),
            ("dev", (((4, 8), (0, 6)),), 2, False),
            ("more", (((16, 20), (0, 6)),), 2, False),
            ("main", (((0, 4), (0, 6)),), 2, False),
        ],
        key=str,
    )
    (entry,) = blame(session, "", ((5, 7), (1, 2)))
    assert (entry.commit.author, entry.boxes) == ("bob", (((5, 7), (1, 2)),))


@pytest.mark.parametrize("box", [((0, 1),), ((0, 21), (0, 1)), ((2, 1), (0, 1)), ((0,), (0, 1))])
def test_blame_refuses_bad_boxes(session, box):
    with pytest.raises(InvalidError):
        blame(session, "", box)


def test_blame_of_a_copy_names_the_commit_that_brought_it(session):
    write(session, 0, 1)
    session.commit("one")
    nodes = session.manifest.nodes
    create_repository(session.storage, "copy", {}, author="me", nodes=nodes, message="copied")
    assert [e.commit.message for e in blame(open_session(session.storage, "copy"))] == ["copied"]


# -- branches -------------------------------------------------------------------------


def test_branch_costs_one_small_object(session):
    write(session, 0, 1)
    session.commit("one")
    before = session.storage.counters.copy()
    branch(session, "dev")
    used = session.storage.counters - before
    assert used.writes == 1
    assert used.write_bytes < 4000


def test_branch_commits_first_and_from_a_point(session):
    write(session, 0, 1)
    branch(session, "dev", "start")
    assert not session.dirty
    assert (content(session.storage, "dev")[0] == 1).all()
    old = open_session(session.storage, "main", "0")
    branch(old, "old")
    assert not content(session.storage, "old").any()
    with pytest.raises(ExistsError, match="'dev'"):
        branch(session, "dev")
    with pytest.raises(InvalidNameError):
        branch(session, "a/b")


def test_branch_saves_what_a_sealed_version_refuses(session):
    other = open_session(session.storage, "main")
    write(session, 0, 1)
    seal(other)
    with pytest.raises(SealedError, match="branch"):
        session.sync()
    branch(session, "rescue")
    assert (session.version, session.writable, session.dirty) == ("rescue", True, False)
    assert (content(session.storage, "rescue")[0] == 1).all()


def test_checkout(session):
    write(session, 0, 1)
    checkout(session, "dev", create=True)
    write(session, 0, 2)
    checkout(session, "main")
    assert (read(session)[0] == 1).all()
    checkout(session, "dev@0")
    assert not session.writable
    assert (read(session)[0] == 1).all()
    checkout(session, "dev")
    assert session.writable
    assert (read(session)[0] == 2).all()
    seal(session)
    checkout(session, "main")
    assert session.writable
    with pytest.raises(ExistsError):
        checkout(session, "dev", create=True)
    with pytest.raises(NotFoundError):
        checkout(session, "nope")
    reader = open_session(session.storage, "main", mode="r")
    checkout(reader, "dev")
    checkout(reader, "main")
    with pytest.raises(ReadOnlyError):
        reader.check_writable()


def test_versions_and_deleting_them(session):
    branch(session, "dev")
    dev = open_session(session.storage, "dev")
    write(dev, 0, 1)
    seal(dev, "final")
    assert [(v.name, v.number, v.sealed, v.message) for v in versions(session.storage)] == [
        ("dev", 1, True, "final"),
        ("main", 0, False, "created"),
    ]
    with pytest.raises(SealedError, match="force=True"):
        delete_version(session.storage, "dev", "me")
    delete_version(session.storage, "dev", "me", force=True)
    assert [v.name for v in versions(session.storage)] == ["main"]
    with pytest.raises(NotFoundError, match="was deleted"):
        delete_version(session.storage, "dev", "me")
    with pytest.raises(NotFoundError):
        open_session(session.storage, "dev")
    # Numbers never start over.
    assert branch(session, "dev").commit.number == 3


def test_copying_and_renaming_versions(session):
    write(session, 0, 1)
    seal(session, "final")
    copy_version(session.storage, "main", "copy", "me")
    with pytest.raises(SealedError, match="its name stays"):
        rename_version(session.storage, "main", "best", "me")
    with pytest.raises(ExistsError):
        rename_version(session.storage, "copy", "main", "me")
    rename_version(session.storage, "copy", "best", "me")
    assert [(v.name, v.sealed) for v in versions(session.storage)] == [
        ("best", False),
        ("main", True),
    ]
    for name in ("best", "main"):
        assert (content(session.storage, name)[0] == 1).all()


# -- merge ----------------------------------------------------------------------------


@pytest.fixture
def dev(session):
    write(session, ..., 1)
    session.commit("ones")
    branch(session, "dev")
    return open_session(session.storage, "dev", author="bob")


def test_merging_what_is_there_already_makes_no_commit(session, dev):
    assert merge(session, "main").number == 1
    assert merge(session, "dev").changes == {}  # the branch's own first commit is new here
    assert merge(session, "dev").number == 2
    write(session, 0, 2)
    session.commit("ahead")
    assert merge(session, "dev").number == 3


def test_fast_forward_is_a_merge_commit_of_one_object(session, dev):
    write(dev, 0, 2)
    dev.commit("two")
    before = session.storage.counters.copy()
    commit = merge(session, "dev")
    assert (session.storage.counters - before).writes == 1
    assert (commit.address, commit.merged, commit.message) == (
        "main@2",
        "dev@1",
        "Merge dev@1 into main",
    )
    assert commit.changes == {"": {"cells": 2}}
    assert (read(session)[0] == 2).all()


def test_merge_shares_chunks(session, dev):
    write(dev, slice(0, 4), 2)
    dev.commit("dev")
    write(session, slice(8, 12), 3)
    session.commit("main")
    merge(session, "dev", message="both")
    new = read(session)
    assert (new[:4] == 2).all()
    assert (new[8:12] == 3).all()
    assert (new[4:8] == 1).all()
    assert session.manifest.commit.writes == ()


@pytest.mark.parametrize(("policy", "value"), [("ours", 3), ("theirs", 2)])
def test_merge_conflicts(session, dev, policy, value):
    write(dev, (0, 0), 2)
    write(dev, (0, 1), 4)
    dev.commit("dev")
    write(session, (0, 0), 3)
    write(session, (0, 2), 5)
    session.commit("main")
    before = session.manifest.commit.id
    with pytest.raises(ConflictError, match="Nothing was merged"):
        merge(session, "dev")
    assert (session.manifest.commit.id, session.dirty) == (before, False)
    merge(session, "dev", conflict=policy)
    assert read(session)[0].tolist() == [value, 4, 5, 1, 1, 1]
    with pytest.raises(InvalidError, match="'ours'"):
        merge(session, "dev", conflict="mine")


def test_rows_appended_on_both_sides_are_kept(session, dev):
    rows(dev, 20, 3, 7)
    rows(dev, 23, 2, 8)
    rows(session, 20, 2, 9)
    assert merge(session, "dev").changes[""]["appended"] == 5
    assert read(session)[20:, 0].tolist() == [9, 9, 7, 7, 7, 8, 8]
    # And again from there, the other way round.
    rows(dev, 25, 1, 6)
    rows(session, 27, 1, 5)
    merge(session, "dev")
    assert read(session)[20:, 0].tolist() == [9, 9, 7, 7, 7, 8, 8, 5, 6]
    merge(dev, "main")
    assert (read(dev) == read(session)).all()
    assert merge(session, "dev").merged == "dev@4"


def test_arrays_resized_on_both_sides_reach_as_far_as_both(session, dev):
    dev.array().resize((24, 6))
    write(dev, (23, 0), 2)
    dev.commit("longer")
    session.array().resize((20, 9))
    write(session, (0, 8), 3)
    session.commit("wider")
    merge(session, "dev")
    new = read(session)
    assert new.shape == (24, 9)
    assert (new[23, 0], new[0, 8], new.sum()) == (2, 3, 125)


@pytest.mark.parametrize("shrinks_here", [True, False])
def test_values_that_the_other_side_cut_off_conflict(session, dev, shrinks_here):
    small, large = (session, dev) if shrinks_here else (dev, session)
    small.array().resize((18, 6))
    small.commit("shorter")
    write(large, (19, 0), 2)
    write(large, (17, 0), 3)
    large.commit("the last row")
    with pytest.raises(ConflictError, match="cut off"):
        merge(session, "dev")
    merge(session, "dev", conflict="ours")
    assert read(session).shape == (18, 6)
    assert read(session)[17, 0] == 3
    session.array().resize((20, 6))
    assert not read(session)[18:].any()


def test_merge_takes_over_nodes(storage):
    create_repository(storage, "tree", GROUP, author="me")
    main = open_session(storage, "tree")
    main.create_array("old", array_document((4,), "i4", (2,)))
    main.commit("old")
    branch(main, "dev")
    dev = open_session(storage, "dev")
    dev.create_array("new", array_document((4,), "i4", (2,)))
    write(dev, ..., 1, "new")
    dev.remove("old")
    dev.commit("new for old")
    main.create_array("mine", array_document((4,), "i4", (2,)))
    main.commit("mine")
    merge(main, "dev")
    assert main.paths() == ["", "mine", "new"]
    assert read(main, "new").tolist() == [1, 1, 1, 1]
    assert open_session(storage, "tree").paths() == ["", "mine", "new"]


def test_merge_of_versions_without_a_common_state(storage, session):
    document = array_document((20, 6), "i4", (4, 3))
    create_repository(storage, "alien", document, author="me")
    alien = open_session(storage, "alien")
    write(alien, 0, 4)
    alien.commit("four")
    with pytest.raises(ConflictError, match="created or replaced on both sides"):
        merge(session, "alien")
    merge(session, "alien", conflict="theirs")
    assert (read(session)[0] == 4).all()
    assert (content(storage, "main")[0] == 4).all()


def test_a_merge_that_loses_a_race_is_rebased(session, dev, monkeypatch):
    rows(dev, 20, 2, 7)
    rows(session, 20, 1, 8)
    rival = open_session(session.storage, "main")
    commit = type(session).commit

    def late(self, *args, **options):
        monkeypatch.undo()
        rows(rival, 21, 1, 9)
        return commit(self, *args, **options)

    monkeypatch.setattr(type(session), "commit", late)
    made = merge(session, "dev")
    assert (made.address, made.merged) == ("main@4", "dev@1")
    assert read(session)[20:, 0].tolist() == [8, 9, 7, 7]


def test_no_merge_branch_or_revert_in_a_transaction(session, dev):
    with session.transaction("all at once"):
        for act in (
            lambda: merge(session, "dev"),
            lambda: branch(session, "x"),
            lambda: revert(session, 0),
            lambda: seal(session),
            lambda: checkout(session, "dev"),
        ):
            with pytest.raises(InvalidError, match="transaction"):
                act()


# -- revert and seal --------------------------------------------------------------------


def test_revert(session):
    write(session, 0, 1)
    session.commit("one")
    append(session, np.ones((2, 6), "i4"))
    session.commit("longer")
    write(session, 1, 1)
    with pytest.raises(InvalidError, match="commit"):
        revert(session, 1)
    assert (read(session)[1] == 1).all()
    commit = revert(session, 1, "back", discard=True)
    assert (commit.number, commit.message) == (3, "back")
    assert commit.changes == {"": {"shape": [[22, 6], [20, 6]], "cells": 2}}
    assert read(session).shape == (20, 6)
    assert (content(session.storage, "main") == content(session.storage, "main", 1)).all()
    assert (content(session.storage, "main", 2)[20:] == 1).all()
    branch(session, "dev")
    revert(session, "dev@0")
    with pytest.raises(ReadOnlyError):
        revert(open_session(session.storage, "main", mode="r"), 0)


def test_revert_comes_after_what_others_committed(session):
    other = open_session(session.storage, "main")
    write(other, 0, 1)
    other.commit("other")
    assert revert(session, 0).number == 2
    assert not read(session).any()


def test_seal_commits_what_was_written(session):
    other = open_session(session.storage, "main")
    write(other, 1, 1)
    write(session, 0, 1)
    commit = seal(session, "v1")
    assert (commit.number, commit.state) == (1, "sealed")
    assert (content(session.storage, "main")[0] == 1).all()
    for act in (lambda: seal(session), lambda: session.array().resize((1, 1)) or session.sync()):
        with pytest.raises(SealedError):
            act()
    with pytest.raises(SealedError):
        other.commit("late")
    assert (read(other)[1] == 1).all()
