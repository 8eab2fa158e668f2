"""Several sessions and versions of one repository do what dense arrays in memory do."""

from __future__ import annotations

import secrets

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hubzarr.codecs import array_document
from hubzarr.errors import ConflictError, InvalidError, NotFoundError, ReadOnlyError, SealedError
from hubzarr.history.compare import merge_base
from hubzarr.history.manifest import Node as StoredNode
from hubzarr.history.nodes import nodes_of
from hubzarr.history.versions import read_manifest
from hubzarr.session import Session, create_repository, open_session
from hubzarr.session.blame import blame
from hubzarr.session.branching import (
    branch,
    checkout,
    delete_version,
    log,
    merge,
    revert,
    seal,
    versions,
)
from hubzarr.session.diff import diff
from hubzarr.storage import open_storage
from tests.session.model import (
    FILL,
    Clash,
    Node,
    State,
    appended_rows,
    copied,
    growth,
    merge_node,
    settled,
)
from tests.session.support import GROUP, WriteOnce, append, ids_of, read, write

SHAPES = {"a": (6, 4), "b": (3,)}
CHUNKS = {"a": (4, 3), "b": (2,)}
NAMES = ("main", "dev", "v0")
POLICIES = st.sampled_from(["raise", "raise", "ours", "theirs"])
WHICH = st.integers(0, 3)
PATHS = st.sampled_from(["a", "a", "a", "b"])


def document(path):
    return array_document(SHAPES[path], "i2", CHUNKS[path], fill_value=FILL)


def empty(path):
    return Node(np.full(SHAPES[path], FILL, "i2"), {})


class Handle:
    """A session, and what it should hold."""

    def __init__(self, session, base):
        self.session = session
        self.settle(base)

    def settle(self, base):
        self.base = base
        self.nodes = settled(base.nodes)

    @property
    def version(self):
        return self.base.version

    @property
    def writable(self):
        return self.base.kind == "open" and self.session.may_write


class HistoryMachine(RuleBasedStateMachine):
    """Writes, commits, races, branches, merges, seals, reverts and crashes."""

    @initialize(local=st.booleans())
    def start(self, local):
        self.storage = self.new_storage(local)
        stored = {"": StoredNode(GROUP, ""), "a": StoredNode(document("a"), "a")}
        create_repository(self.storage, "main", GROUP, author="me", nodes=stored)
        nodes = {"": Node(None, {}), "a": empty("a")}
        first = State("main", 0, None, None, None, "open", nodes)
        self.states = {first.address: first}
        self.heads = {"main": first}
        self.handles = [self.opened("main")]
        write(self.handles[0].session, ..., np.arange(24).reshape(6, 4), "a")
        self.handles[0].nodes["a"].data[:] = np.arange(24).reshape(6, 4)
        self.commit(0, "filled", "raise")
        self.branch(0, "dev", False)
        self.handles += [self.opened("main"), self.opened("dev")]

    def new_storage(self, local):
        return WriteOnce(open_storage("memory://" + secrets.token_hex(6)), is_local=local)

    def opened(self, version):
        session = open_session(self.storage, version, author="me")
        return Handle(session, self.heads[version])

    def handle(self, which):
        return self.handles[which % len(self.handles)]

    def manifest(self, state):
        return read_manifest(self.storage, state.version, state.number)

    def stored(self, state, reader):
        return nodes_of(self.manifest(state), reader)

    def record(self, handle, commit, nodes, *, merged=None, kind="open", parent=None):
        """A commit was made: it must say what it did, and the model goes on from it."""
        parent = parent or self.heads[handle.version]
        state = State(
            commit.version, parent.number + 1, parent, merged, commit.message, kind, settled(nodes)
        )
        state.growth = growth(parent.nodes, nodes)
        assert (commit.address, commit.depth) == (state.address, state.depth)
        assert commit.merged == (None if merged is None else merged.address)
        for path, found in state.growth.items():
            if found is not None:
                assert commit.changes.get(path, {}).get("appended", 0) == found[1], path
        self.states[state.address] = self.heads[handle.version] = state
        handle.settle(state)
        return state

    # -- the rules of rebasing and merging -------------------------------------

    def touched(self, handle):
        session = handle.session
        session.flush()
        changed = {path for path, state in session.states.items() if state.changed}
        return session.removed | set(session.groups) | changed

    def rebased(self, handle, policy):
        """What a session's content becomes on the newest state of its version."""
        onto = self.heads[handle.version]
        if onto is handle.base:
            return copied(handle.nodes)
        old, new = (self.stored(s, handle.session.reader) for s in (handle.base, onto))
        out = settled(onto.nodes)
        for path in self.touched(handle):
            mine, theirs = handle.nodes.get(path), onto.nodes.get(path)
            if old.get(path) == new.get(path):
                found = None if mine is None else mine.copy()
                rows = 0 if mine is None else mine.appended or 0
            else:
                rows = 0 if mine is None else mine.appended or 0
                found = merge_node(handle.base.nodes.get(path), mine, theirs, policy, rows)
                rows = rows if found is mine or found is None else found.appended
            self.put(out, path, found, theirs, rows)
        return out

    @staticmethod
    def put(out, path, found, theirs, rows):
        if found is None:
            out.pop(path, None)
            return
        out[path] = node = found.copy()
        grown = (
            theirs is not None
            and node.data is not None
            and theirs.data is not None
            and node.data.shape != theirs.data.shape
        )
        node.appended = rows if grown else 0

    @staticmethod
    def follows(handle, onto):
        """Whether a version goes on from a session's base: not if it was deleted in between."""
        between = list(onto.line())[: onto.number - handle.base.number + 1]
        return between[-1] is handle.base and all(s.version == onto.version for s in between)

    def refused(self, handle):
        """The error that any commit of a session meets; None if it may commit."""
        onto = self.heads[handle.version]
        if not handle.writable:
            return SealedError if handle.base.kind == "sealed" else ReadOnlyError
        if onto is handle.base:
            return None
        if onto.kind == "deleted" or not self.follows(handle, onto):
            return NotFoundError
        return SealedError if onto.kind == "sealed" else None

    def attempt(self, handle, act, policy="raise"):
        """Commit by `act` as the model says; True if that is what happened."""
        error = self.refused(handle)
        nodes = None
        if error is None:
            try:
                nodes = self.rebased(handle, {"ours": "mine"}.get(policy, policy))
            except Clash:
                error = ConflictError
        if error is None:
            return nodes, act()
        with pytest.raises(error):
            act()
        return None, None

    def synced(self, handle):
        """Sync; False if that must fail."""
        session = handle.session
        if not session.dirty:
            return True
        before = session.manifest.commit.id
        nodes, _ = self.attempt(handle, session.sync)
        if nodes is None:
            return False
        if session.manifest.commit.id != before:
            self.record(handle, session.manifest.commit, nodes)
        return True

    # -- writing -----------------------------------------------------------------

    @rule(which=WHICH, path=PATHS, data=st.data())
    def write(self, which, path, data):
        self.edit(self.handle(which), path, data, ("box", "append", "resize"))

    @rule(data=st.data(), policy=POLICIES)
    def race(self, data, policy):
        """Several sessions write, then all of them commit."""
        for handle in self.handles:
            self.edit(handle, "a", data, ("box", "box", "append", "append", "resize"))
        for which in data.draw(st.permutations(range(len(self.handles)))):
            self.commit(which, "race", policy)

    @rule(data=st.data(), name=st.sampled_from(NAMES), which=WHICH, policy=POLICIES)
    def diverge_and_merge(self, data, name, which, policy):
        for handle in self.handles:
            if handle.version in (name, self.handle(which).version):
                self.edit(handle, "a", data, ("box", "box", "append", "append", "resize"))
                self.synced(handle)
        self.merge(which, name, policy)

    def edit(self, handle, path, data, kinds):
        if path not in handle.nodes or not handle.writable:
            return
        node, session = handle.nodes[path], handle.session
        old = node.data
        kind = data.draw(st.sampled_from(kinds))
        value = data.draw(st.integers(0, 99))
        if kind == "box":
            bounds = [
                sorted((data.draw(st.integers(0, n)), data.draw(st.integers(0, n))))
                for n in old.shape
            ]
            key = tuple(slice(a, b) for a, b in bounds)
            old[key] = value
            write(session, key, value, path)
        elif kind == "append" and len(old) < 24:
            new = np.full((1 + value % 4, *old.shape[1:]), value, "i2")
            node.data = np.concatenate([old, new])
            if node.appended is not None:
                node.appended += len(new)
            append(session, new, path)
        elif kind == "resize":
            shape = tuple(max(0, n + data.draw(st.integers(-2, 2))) for n in old.shape)
            node.data = np.full(shape, FILL, "i2")
            inside = tuple(slice(min(a, b)) for a, b in zip(shape, old.shape, strict=True))
            node.data[inside] = old[inside]
            if shape[0] != old.shape[0]:
                node.appended = None
            session.array(path).resize(shape)

    @rule(which=WHICH, key=st.sampled_from("xy"), value=st.integers(0, 2), group=st.booleans())
    def set_attribute(self, which, key, value, group):
        handle = self.handle(which)
        if not handle.writable:
            return
        path = "" if group else "a"
        handle.nodes[path].attributes[key] = value
        attributes = dict(handle.nodes[path].attributes)
        if group:
            handle.session.set_group("", {**GROUP, "attributes": attributes})
        else:
            handle.session.array("a").document["attributes"] = attributes

    @rule(which=WHICH)
    def create_or_remove(self, which):
        handle = self.handle(which)
        if not handle.writable:
            return
        if "b" in handle.nodes:
            del handle.nodes["b"]
            handle.session.remove("b")
        else:
            handle.nodes["b"] = empty("b")
            handle.session.create_array("b", document("b"))

    @rule(which=WHICH)
    def sealed_and_read_only_sessions_refuse_writes(self, which):
        handle = self.handle(which)
        if not handle.writable:
            with pytest.raises(ReadOnlyError):
                handle.session.check_writable()

    # -- committing --------------------------------------------------------------

    @rule(which=WHICH)
    def sync(self, which):
        self.synced(self.handle(which))

    @rule(which=WHICH, message=st.none() | st.text("abc", max_size=2), policy=POLICIES)
    def commit(self, which, message, policy):
        handle = self.handle(which)
        nodes, commit = self.attempt(
            handle, lambda: handle.session.commit(message, conflict=policy), policy
        )
        if commit is not None:
            self.record(handle, commit, nodes)

    @rule(which=WHICH)
    def discard(self, which):
        handle = self.handle(which)
        handle.session.discard()
        handle.settle(handle.base)

    @rule(which=WHICH)
    def refresh(self, which):
        handle = self.handle(which)
        onto = self.heads[handle.version]
        if onto is handle.base:
            assert not handle.session.refresh()
            return
        error = None
        if onto.kind == "deleted" or not self.follows(handle, onto):
            error = NotFoundError
        elif onto.kind == "sealed" and handle.session.dirty:
            error = SealedError
        else:
            try:
                nodes = self.rebased(handle, "raise")
            except Clash:
                error = ConflictError
        if error is not None:
            with pytest.raises(error):
                handle.session.refresh()
            return
        assert handle.session.refresh()
        handle.base, handle.nodes = onto, nodes

    @rule(which=WHICH, version=st.sampled_from(NAMES))
    def crash_and_open_again(self, which, version):
        if version in self.heads and self.heads[version].kind != "deleted":
            self.handles[which % len(self.handles)] = self.opened(version)

    @precondition(lambda self: len(self.handles) < 4)
    @rule(version=st.sampled_from(NAMES))
    def open_another(self, version):
        if version in self.heads and self.heads[version].kind != "deleted":
            self.handles.append(self.opened(version))

    # -- versions ----------------------------------------------------------------

    @rule(which=WHICH, name=st.sampled_from(NAMES), move=st.booleans())
    def branch(self, which, name, move):
        handle = self.handle(which)
        act = (lambda: checkout(handle.session, name, create=True)) if move else (
            lambda: branch(handle.session, name, "new").commit
        )  # fmt: skip
        old = self.heads.get(name)
        if old is not None and old.kind != "deleted":
            with pytest.raises(Exception) as caught:  # noqa: PT011
                act()
            assert caught.value.kind == "exists"
            return
        if self.homeless(handle):
            return
        if not self.synced(handle):
            return
        act()
        manifest = read_manifest(self.storage, name, 0 if old is None else old.number + 1)
        state = State(
            name, manifest.commit.number, handle.base, None, manifest.commit.message, "open",
            settled(handle.base.nodes),
        )  # fmt: skip
        assert manifest.commit.parent == handle.base.address
        self.states[state.address] = self.heads[name] = state
        if move:
            handle.settle(state)

    def homeless(self, handle):
        """Whether branching takes the session along: not what this rule is about."""
        return handle.session.dirty and self.refused(handle) is not None

    @rule(which=WHICH, name=st.sampled_from(NAMES))
    def branch_from_a_lost_version(self, which, name):
        handle = self.handle(which)
        old = self.heads.get(name)
        if not self.homeless(handle) or (old is not None and old.kind != "deleted"):
            return
        session = handle.session
        branch(session, name, "rescue")
        first = State(
            name, 0 if old is None else old.number + 1, handle.base, None, "rescue", "open",
            settled(handle.base.nodes),
        )  # fmt: skip
        nodes = copied(handle.nodes)
        self.states[first.address] = self.heads[name] = handle.base = first
        self.record(handle, session.manifest.commit, nodes)

    @rule(which=WHICH, name=st.sampled_from(NAMES))
    def checkout(self, which, name):
        handle = self.handle(which)
        if not self.synced(handle):
            return
        if name not in self.heads or self.heads[name].kind == "deleted":
            with pytest.raises(NotFoundError):
                checkout(handle.session, name)
            return
        checkout(handle.session, name)
        handle.settle(self.heads[name])
        assert handle.session.writable == handle.writable

    @rule(which=WHICH, name=st.sampled_from(NAMES), policy=POLICIES)
    def merge(self, which, name, policy):
        handle = self.handle(which)
        error = self.refused(handle)
        if error is not None:
            head = self.heads.get(name)
            missing = head is None or head.kind == "deleted"
            with pytest.raises((error, NotFoundError) if missing else error) as caught:
                merge(handle.session, name, policy)
            sealed = caught.type is error is SealedError
            if sealed and handle.writable and not handle.session.dirty:
                handle.settle(self.heads[handle.version])  # it looked before it was refused
            return
        if not self.synced(handle):
            return
        other = self.heads.get(name)
        if other is None or other.kind == "deleted":
            with pytest.raises(NotFoundError):
                merge(handle.session, name, policy)
            return
        ours = self.heads[handle.version]
        shared = other.ancestors().keys() & ours.ancestors().keys()
        if other.address in shared:
            assert merge(handle.session, name, policy).address == ours.address
            handle.settle(ours)
            return
        nodes = self.merged_nodes(handle, other, ours, shared, policy)
        if nodes is None:
            with pytest.raises(ConflictError):
                merge(handle.session, name, policy)
            handle.settle(ours)
            return
        handle.settle(ours)
        self.record(handle, merge(handle.session, name, policy), nodes, merged=other)

    def merged_nodes(self, handle, other, ours, shared, policy):
        reader = handle.session.reader
        base = merge_base(self.manifest(other), self.manifest(ours), self.storage, reader)
        assert base is not None
        assert base.commit.address in shared
        state = self.states[base.commit.address]
        assert not any(
            state.address in self.states[a].ancestors() for a in shared if a != state.address
        )
        steps = [(self.states[commit.address], second) for commit, second in base.steps]
        old, moving, onto = (self.stored(s, reader) for s in (state, other, ours))
        moves = {"ours": "theirs", "theirs": "mine"}.get(policy, policy)
        out = settled(ours.nodes)
        for path in {*old, *moving}:
            b, m, t = (s.nodes.get(path) for s in (state, other, ours))
            if moving.get(path) in (old.get(path), onto.get(path)):
                continue
            rows = 0
            if b is not None and m is not None and m.data is not None:
                rows = appended_rows(steps, path, b.data.shape, m.data.shape)
            if old.get(path) == onto.get(path):
                self.put(out, path, m, t, rows)
                continue
            try:
                found = merge_node(b, m, t, moves, rows)
            except Clash:
                return None
            rows = rows if found is m or found is None else found.appended
            self.put(out, path, found, t, rows)
        return out

    @rule(which=WHICH, message=st.none() | st.just("sealed"), sure=st.integers(0, 2))
    def seal(self, which, message, sure):
        handle = self.handle(which)
        if handle.version == "main" or sure:
            return
        nodes, commit = self.attempt(handle, lambda: seal(handle.session, message))
        if commit is not None:
            self.record(handle, commit, nodes, kind="sealed")
            assert not handle.session.writable

    @rule(which=WHICH, back=st.integers(0, 5), discard=st.booleans())
    def revert(self, which, back, discard):
        handle = self.handle(which)
        target = list(handle.base.line())[: back + 1][-1]
        error = self.refused(handle)
        if handle.writable and handle.session.dirty and not discard:
            error = InvalidError
        if error is not None:
            with pytest.raises(error):
                revert(handle.session, target.address, discard=discard)
            if discard:
                handle.settle(handle.base)
                handle.session.discard()
            return
        commit = revert(handle.session, target.address, discard=discard)
        nodes = settled(target.nodes)
        self.record(handle, commit, nodes)

    @rule(name=st.sampled_from(NAMES[1:]), force=st.booleans(), sure=st.integers(0, 3))
    def delete(self, name, force, sure):
        if sure:
            return  # versions should live for a while
        old = self.heads.get(name)
        if old is None or old.kind == "deleted":
            with pytest.raises(NotFoundError):
                delete_version(self.storage, name, "me")
            return
        if old.kind == "sealed" and not force:
            with pytest.raises(SealedError):
                delete_version(self.storage, name, "me")
            return
        commit = delete_version(self.storage, name, "me", force=force)
        gone = State(name, old.number + 1, old, None, None, "deleted", {})
        assert commit.address == gone.address
        self.states[gone.address] = self.heads[name] = gone

    # -- looking -----------------------------------------------------------------

    @rule(which=WHICH, one=st.integers(0, 30), two=st.none() | st.integers(0, 30))
    def diff(self, which, one, two):
        handle = self.handle(which)
        alive = [state for state in self.states.values() if state.kind != "deleted"]
        a = alive[one % len(alive)]
        b = None if two is None else alive[two % len(alive)]
        found = diff(handle.session, a.address, None if b is None else b.address, values=True)
        after = handle.nodes if b is None else b.nodes
        different = {
            path
            for path in {*a.nodes, *after}
            if path not in a.nodes or path not in after or not a.nodes[path].same(after[path])
        }
        assert different <= {node.path for node in found}
        for node in found:
            self.check_node(node, a.nodes.get(node.path), after.get(node.path))

    @staticmethod
    def check_node(node, before, after):
        assert (node.kind == "created") == (before is None)
        assert (node.kind == "removed") == (after is None)
        if before is not None and after is not None:
            keys = {*before.attributes, *after.attributes}
            x, y = before.attributes, after.attributes
            assert {c.key for c in node.attributes} == {k for k in keys if x.get(k) != y.get(k)}
        if (before or after).data is None:
            return
        nothing = np.empty((0,) * (before or after).data.ndim, "i2")
        x, y = (nothing if n is None else n.data for n in (before, after))
        union = tuple(map(max, x.shape, y.shape))
        inside, differs = np.zeros(union, bool), np.zeros(union, bool)
        both = tuple(slice(min(m, n)) for m, n in zip(x.shape, y.shape, strict=True))
        differs[both] = x[both] != y[both]
        for box in node.regions:
            key = tuple(slice(a, b) for a, b in box)
            assert not inside[key].any()
            inside[key] = True
        assert not (differs & ~inside).any()
        one_side = np.zeros(union, int)
        for data in (x, y):
            one_side[tuple(map(slice, data.shape))] += 1
        assert node.elements == ((differs | (one_side == 1)) & inside).sum()
        for box, old, new in node.regions_values():
            key = tuple(slice(a, b) for a, b in box)
            np.testing.assert_array_equal(old, x[key])
            np.testing.assert_array_equal(new, y[key])

    @rule(which=WHICH)
    def blame(self, which):
        """Each cell's commit has the cell's write id, and its parents have another."""
        handle = self.handle(which)
        session = handle.session
        for path in handle.nodes.keys() - {""}:
            found = blame(session, path)
            state = session.array(path)
            table = state.engine.table
            ids = table.ids.read_box((0,) * len(table.grid), table.grid)
            seen = np.zeros(state.shape, int)
            for entry in found:
                for box in entry.boxes:
                    seen[tuple(slice(a, b) for a, b in box)] += 1
                    self.check_entry(handle, path, ids, entry, box)
            assert seen.max(initial=0) <= 1
            assert (handle.nodes[path].data[seen == 0] == FILL).all()
            assert sum(entry.cells for entry in found) == np.count_nonzero(ids)

    def check_entry(self, handle, path, ids, entry, box):
        cells = tuple(
            slice(a // c, -(-b // c)) for (a, b), c in zip(box, CHUNKS[path], strict=True)
        )
        if entry.commit is None:
            assert entry.uncommitted
            return
        state = self.states[entry.commit.address]
        assert state.address in handle.base.ancestors()
        there = ids_of(self.manifest(state), handle.session, path)
        assert (there[cells] == ids[cells]).all()
        for parent in (state.parent, state.merged):
            if parent is not None and path in parent.nodes:
                earlier = ids_of(self.manifest(parent), handle.session, path)
                reach = tuple(
                    slice(s.start, min(s.stop, n))
                    for s, n in zip(cells, earlier.shape, strict=True)
                )
                now = tuple(slice(s.start, r.stop) for s, r in zip(cells, reach, strict=True))
                assert (earlier[reach] != ids[now]).all()

    @rule(which=WHICH, limit=st.none() | st.integers(0, 4), syncs=st.booleans())
    def log(self, which, limit, syncs):
        handle = self.handle(which)
        expected = [
            (state.address, state.message)
            for state in handle.base.line()
            if syncs
            or state.message is not None
            or state.kind != "open"
            or state.merged is not None
            or state.parent is None
            or state.parent.version != state.version
        ]
        found = [(c.address, c.message) for c in log(handle.session, limit, syncs)]
        assert found == expected[:limit]

    @rule()
    def list_versions(self):
        found = {(v.name, v.number, v.sealed) for v in versions(self.storage)}
        heads = [state for state in self.heads.values() if state.kind != "deleted"]
        assert found == {(s.version, s.number, s.kind == "sealed") for s in heads}

    @invariant()
    def sessions_hold_what_the_model_holds(self):
        for handle in getattr(self, "handles", ()):
            check_content(handle.session, handle.nodes)

    def teardown(self):
        """Every state that ever was can still be read."""
        for state in getattr(self, "states", {}).values():
            manifest = self.manifest(state)
            if state.parent is not None:
                assert manifest.parent_digest == self.manifest(state.parent).digest
            if state.kind == "deleted":
                continue
            session = Session(self.storage, manifest, writable=False)
            check_content(session, state.nodes)
            check_statistics(session, state.nodes)


def check_content(session, nodes):
    assert session.paths() == sorted(nodes)
    for path, node in nodes.items():
        assert session.document(path)["attributes"] == node.attributes
        if node.data is not None:
            np.testing.assert_array_equal(read(session, path), node.data)


def check_statistics(session, nodes):
    """What the chunk table says of the stored cells is so."""
    for path in nodes.keys() - {""}:
        table = session.array(path).engine.table.base
        ids = table.ids.read_box((0,) * len(table.grid), table.grid)
        stored = ids
        for axis, size in enumerate(CHUNKS[path]):
            stored = np.repeat(stored, size, axis)
        data = nodes[path].data
        stored = data[stored[tuple(map(slice, data.shape))] != 0]
        rows = table.roll()
        if not rows["unknown"].any():
            grown = stored.size - rows["n"].sum()  # what a cell gained since is fill
            assert grown >= 0
            assert rows["sum"].sum() + FILL * grown == stored.sum()


TestHistory = HistoryMachine.TestCase
# Explaining a failure traces every line, which takes minutes.
TestHistory.settings = settings(
    max_examples=2 * settings.default.max_examples,
    stateful_step_count=30,
    phases=set(Phase) - {Phase.explain},
)
