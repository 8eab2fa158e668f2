"""Handles and versions of a dataset do with rows what lists do, one list for each tensor."""

from __future__ import annotations

import contextlib
import copy

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import hubzarr as hub
from hubzarr.errors import ConflictError
from tests.datasets.support import by_hand, fresh_url

#: Tensors by the first letter of their names: how a row's number is told in them.
KINDS = {
    "u": {"dtype": "int32"},
    "g": {"dtype": "int64"},
    "r": {"dtype": "int16", "ragged": True},
    "t": {"htype": "text"},
    "j": {"htype": "json"},
    "c": {"htype": "class_label", "dtype": "uint32"},
    "s": {"htype": "sequence[generic]", "dtype": "int32"},
}
EXTRA = ("u2", "t2", "boxes/r2", "boxes/j2")
LENGTHS = st.sampled_from([2, 2, 2, 2, 1, 3, 0])
WHICH = st.integers(0, 1)


def kind_of(name):
    return name.rpartition("/")[2][0]


def value(name, number, length):
    """What a row holds; generic samples are of one shape until a length differs."""
    return {
        "u": lambda: [number, -number],
        "g": lambda: [number] + [number] * max(length, 1),
        "r": lambda: [[number]] + [[number]] * length,
        "t": lambda: f"{number}" + " é" * length,
        "j": lambda: {"number": number, "length": length},
        "c": lambda: number,
        "s": lambda: [[number], [length] * length],
    }[kind_of(name)]()


def number_in(name, sample):
    return {
        "t": lambda: int(sample.split()[0]),
        "j": lambda: sample["number"],
        "c": lambda: sample,
        "r": lambda: sample[0][0],
        "s": lambda: sample[0][0],
    }.get(kind_of(name), lambda: sample[0])()


def content(ds):
    """Samples of all tensors as lists."""
    found = {}
    for name, tensor in ds.tensors.items():
        samples = tensor.values()
        if kind_of(name) == "s":
            samples = [[np.asarray(part).tolist() for part in sample] for sample in samples]
        elif kind_of(name) not in "tj":
            samples = [np.asarray(sample).tolist() for sample in samples]
        found[name] = list(samples)
    return found


def aligned(tensors):
    """The rows' numbers, which all tensors must agree about."""
    columns = [[number_in(n, s) for s in samples] for n, samples in tensors.items()]
    assert all(column == columns[0] for column in columns), tensors
    return columns[0]


class Handle:
    """A dataset, what it should hold, and what was done since its last commit."""

    def __init__(self, ds, version, number, tensors):
        self.ds = by_hand(ds)
        self.settle(version, number, tensors)

    def settle(self, version, number, tensors):
        self.version, self.number = version, number
        self.tensors = copy.deepcopy(tensors)
        self.changes = set()

    def __len__(self):
        return len(next(iter(self.tensors.values())))


class RowsMachine(RuleBasedStateMachine):
    """Rows come, change and go through two handles, in several versions."""

    @initialize()
    def start(self):
        self.url = fresh_url()
        ds = by_hand(hub.empty(self.url))
        for name in ("u", "g", "r", "t", "j", "c", "s"):
            ds.create_tensor(name, **KINDS[name])
        ds.flush()
        self.rows = 0
        tensors = {name: [] for name in ds.tensors}
        number = ds._session.manifest.commit.number
        #: By version and number: tensors, kinds of change since the one before.
        self.states = {("main", number): (copy.deepcopy(tensors), {"start"})}
        self.heads = {"main": number}
        self.handles = [
            Handle(ds, "main", number, tensors),
            Handle(hub.load(self.url), "main", number, tensors),
        ]

    # -- rows ----------------------------------------------------------------------

    def new_row(self, handle, length):
        self.rows += 1
        return {name: value(name, self.rows, length) for name in handle.tensors}

    @rule(which=WHICH, lengths=st.lists(LENGTHS, min_size=1, max_size=4), whole=st.booleans())
    def append(self, which, lengths, whole):
        handle = self.handles[which]
        rows = [self.new_row(handle, length) for length in lengths]
        columns = {name: [row[name] for row in rows] for name in handle.tensors}
        if whole:
            handle.ds.extend(columns)
        else:
            for row in rows:
                handle.ds.append(row)
        for name, samples in columns.items():
            handle.tensors[name] += samples
        handle.changes.add("append")

    @rule(which=WHICH, at=st.integers(0, 99), length=LENGTHS)
    def update(self, which, at, length):
        handle = self.handles[which]
        if not len(handle):
            return
        at %= len(handle)
        row = self.new_row(handle, length)
        handle.ds[at - len(handle) if length else at].update(row)
        for name, sample in row.items():
            handle.tensors[name][at] = sample
        handle.changes.add("update")

    @rule(which=WHICH, at=st.integers(0, 99), number=st.integers(-99, 99))
    def update_part(self, which, at, number):
        handle = self.handles[which]
        for name in handle.tensors:
            if kind_of(name) not in "rg" or not len(handle):
                continue
            at %= len(handle)
            handle.ds[name][at][1:] = number
            sample = handle.tensors[name][at]
            sample[1:] = [[number] if kind_of(name) == "r" else number] * (len(sample) - 1)
            handle.changes.add("update")

    @rule(which=WHICH, at=st.integers(0, 99), many=st.booleans())
    def pop(self, which, at, many):
        handle = self.handles[which]
        if not len(handle):
            return
        at %= len(handle)
        gone = {at, len(handle) - 1} if many else {at}
        handle.ds.pop(sorted(gone) if many else at)
        for samples in handle.tensors.values():
            samples[:] = [s for i, s in enumerate(samples) if i not in gone]
        handle.changes.add("pop")

    @rule(which=WHICH)
    def clear(self, which):
        handle = self.handles[which]
        if not len(handle):
            return
        for name, samples in handle.tensors.items():
            handle.ds[name].clear()
            samples.clear()
        handle.changes.add("pop")

    # -- tensors ---------------------------------------------------------------------

    @rule(which=WHICH, name=st.sampled_from(EXTRA))
    def toggle_tensor(self, which, name):
        handle = self.handles[which]
        if name in handle.tensors:
            handle.ds.delete_tensor(name)
            del handle.tensors[name]
        else:
            numbers = aligned(handle.tensors)
            tensor = handle.ds.create_tensor(name, **KINDS[kind_of(name)])
            handle.tensors[name] = [value(name, number, 1) for number in numbers]
            tensor.extend(handle.tensors[name])
        handle.changes.add("tensors")

    @rule(which=WHICH, name=st.sampled_from(["u", "g", "r", "t"]))
    def rename(self, which, name):
        handle = self.handles[which]
        old, new = (name, f"{name}3") if name in handle.tensors else (f"{name}3", name)
        handle.ds.rename_tensor(old, new)
        handle.tensors[new] = handle.tensors.pop(old)
        handle.changes.add("tensors")

    # -- history ---------------------------------------------------------------------

    def record(self, handle, tensors, changes):
        """A commit was made on top of the newest state."""
        number = handle.ds._session.manifest.commit.number
        assert number > self.heads[handle.version]
        self.heads[handle.version] = number
        self.states[handle.version, number] = copy.deepcopy(tensors), set(changes)
        handle.settle(handle.version, number, tensors)

    def newest(self, handle):
        """Tensors of the newest state, and what others did since the handle's."""
        head = self.heads[handle.version]
        changes = set()
        for (version, number), (_, done) in self.states.items():
            if version == handle.version and number > handle.number:
                changes |= done
        return self.states[handle.version, head][0], changes

    def expected(self, handle, theirs, their_changes):
        """What a handle's changes on top of theirs should be; None: that may clash."""
        if not their_changes:
            return handle.tensors
        if not handle.changes:
            return theirs
        if not {*handle.changes, *their_changes} <= {"append"}:
            return None
        count = len(next(iter(self.states[handle.version, handle.number][0].values())))
        return {name: theirs[name] + handle.tensors[name][count:] for name in theirs}

    def give_up(self, handle):
        """Drop a handle's changes: those of tensors and those of rows needn't fit together."""
        handle.ds.discard()
        handle.ds.refresh()
        head = self.heads[handle.version]
        handle.settle(handle.version, head, self.states[handle.version, head][0])

    @rule(which=WHICH)
    def commit(self, which):
        handle = self.handles[which]
        theirs, their_changes = self.newest(handle)
        expected = self.expected(handle, theirs, their_changes)
        if not handle.changes:
            return
        if expected is None and "tensors" in handle.changes | their_changes:
            self.give_up(handle)
            return
        try:
            handle.ds.commit("changes")
        except ConflictError:
            assert expected is None
            self.give_up(handle)
            return
        found = content(handle.ds)
        if expected is None:
            aligned(found)
        else:
            assert found == expected
        self.record(handle, found, handle.changes)

    @rule(which=WHICH, lengths=st.lists(LENGTHS, min_size=1, max_size=3), fails=st.booleans())
    def block(self, which, lengths, fails):
        self.commit(which)
        self.refresh(which)
        handle = self.handles[which]
        tensors = copy.deepcopy(handle.tensors)
        with contextlib.suppress(ZeroDivisionError), handle.ds:
            for length in lengths:
                row = self.new_row(handle, length)
                handle.ds.append(row)
                for name, sample in row.items():
                    tensors[name].append(sample)
            handle.ds.flush()
            assert content(handle.ds) == tensors
            if fails:
                raise ZeroDivisionError
        if not fails:
            self.record(handle, tensors, {"append"})

    @rule(which=WHICH)
    def refresh(self, which):
        handle = self.handles[which]
        theirs, their_changes = self.newest(handle)
        expected = self.expected(handle, theirs, their_changes)
        if expected is None and "tensors" in handle.changes | their_changes:
            self.give_up(handle)
            return
        try:
            handle.ds.refresh()
        except ConflictError:
            assert expected is None
            assert content(handle.ds) == handle.tensors
            return
        found = content(handle.ds)
        if expected is None:
            aligned(found)
        changes = handle.changes
        handle.settle(
            handle.version, self.heads[handle.version], found if expected is None else expected
        )
        handle.changes = changes
        assert found == handle.tensors

    @rule(which=WHICH)
    def discard(self, which):
        handle = self.handles[which]
        handle.ds.discard()
        handle.settle(handle.version, handle.number, self.states[handle.version, handle.number][0])

    @rule(which=WHICH)
    def reload(self, which):
        handle = self.handles[which]
        handle.ds.discard()
        head = self.heads[handle.version]
        ds = hub.load(f"{self.url}")
        if handle.version != "main":
            ds.checkout(handle.version)
        tensors = self.states[handle.version, head][0]
        self.handles[which] = Handle(ds, handle.version, head, tensors)

    @precondition(lambda self: len(self.heads) < 4)
    @rule(which=WHICH)
    def branch(self, which):
        self.commit(which)
        self.refresh(which)
        handle = self.handles[which]
        name = f"b{len(self.heads)}"
        handle.ds.checkout(name, create=True)
        number = handle.ds._session.manifest.commit.number
        self.heads[name] = number
        self.states[name, number] = copy.deepcopy(handle.tensors), set()
        handle.settle(name, number, handle.tensors)

    @rule(which=WHICH, other=st.integers(0, 3))
    def checkout(self, which, other):
        self.commit(which)
        handle = self.handles[which]
        name = sorted(self.heads)[other % len(self.heads)]
        handle.ds.checkout(name)
        handle.settle(name, self.heads[name], self.states[name, self.heads[name]][0])

    @rule(which=WHICH, other=st.integers(0, 3), policy=st.sampled_from(["raise", "ours", "theirs"]))
    def merge(self, which, other, policy):
        self.commit(which)
        self.refresh(which)
        handle = self.handles[which]
        name = sorted(self.heads)[other % len(self.heads)]
        versions = {name, handle.version}
        done = set().union(*(c for (v, _), (_, c) in self.states.items() if v in versions))
        if name == handle.version or "tensors" in done:
            return
        before = handle.ds._session.manifest.commit.number
        try:
            handle.ds.merge(name, conflict=policy)
        except ConflictError:
            assert policy == "raise"
            assert content(handle.ds) == handle.tensors
            return
        found = content(handle.ds)
        if handle.ds._session.manifest.commit.number == before:
            assert found == handle.tensors
            return
        aligned(found)
        self.record(handle, found, {"merge"})

    @rule(which=WHICH, back=st.integers(1, 5))
    def revert(self, which, back):
        self.commit(which)
        self.refresh(which)
        handle = self.handles[which]
        numbers = sorted(n for v, n in self.states if v == handle.version)
        number = numbers[max(0, len(numbers) - 1 - back)]
        handle.ds.revert(number)
        tensors = self.states[handle.version, number][0]
        if handle.ds._session.manifest.commit.number > self.heads[handle.version]:
            self.record(handle, tensors, {"revert"})
        assert content(handle.ds) == tensors

    @rule(which=WHICH, pick=st.integers(0, 99))
    def look_back(self, which, pick):
        handle = self.handles[which]
        numbers = sorted(n for v, n in self.states if v == handle.version)
        number = numbers[pick % len(numbers)]
        assert content(handle.ds.at(number)) == self.states[handle.version, number][0]

    # -- always ------------------------------------------------------------------------

    @invariant()
    def handles_hold_what_lists_hold(self):
        for handle in getattr(self, "handles", ()):
            assert content(handle.ds) == handle.tensors
            assert len(handle.ds) == len(handle)

    def teardown(self):
        for handle in getattr(self, "handles", ()):
            handle.ds.discard()


TestRows = RowsMachine.TestCase
TestRows.settings = settings(max_examples=25, stateful_step_count=20)
