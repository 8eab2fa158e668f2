"""Pushes of random histories, interrupted anywhere: the target is always whole, at last equal."""

from __future__ import annotations

import contextlib

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from hubzarr.errors import StorageError
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.session.test_machine import NAMES, HistoryMachine
from tests.transfer.support import Remote, check_same, check_whole, fresh, heads, push

WRITES = ("put_atomic", "create")


class TransferMachine(HistoryMachine):
    """A repository that lives, a second one that gets its commits, and a third one from that."""

    @initialize(local=st.booleans(), slow=st.booleans())
    def start(self, local, slow):
        super().start(local)
        inner = fresh()
        self.faulty = FaultyStorage(inner)
        self.target = Remote(self.faulty) if slow else self.faulty
        self.third = Remote(fresh()) if slow else fresh()

    def alive(self, name):
        return name in self.heads and self.heads[name].kind != "deleted"

    @precondition(lambda self: self.heads)
    @rule(name=st.none() | st.sampled_from(NAMES), dry=st.booleans())
    def push(self, name, dry):
        if name is not None and not self.alive(name):
            return
        wanted = () if name is None else (name,)
        expected = push(self.storage, self.target, *wanted, dry_run=True)
        if dry:
            return
        before = {path for path in self.faulty.inner.list_all("") if not path.endswith("latest")}
        done = push(self.storage, self.target, *wanted)
        after = {path for path in self.faulty.inner.list_all("") if not path.endswith("latest")}
        assert (done.commits, done.versions) == (expected.commits, expected.versions)
        assert len(after - before) == done.commits + len(
            [path for path in after - before if not path.startswith("versions/")]
        )
        again = push(self.storage, self.target, *wanted)
        assert (again.commits, again.objects) == (0, 0)
        if name is not None:
            assert heads(self.target)[name] == heads(self.storage)[name]

    @rule(
        name=st.none() | st.sampled_from(NAMES),
        at=st.integers(1, 40),
        kind=st.sampled_from(["before", "after", "lost"]),
        verb=st.sampled_from([None, "write", "create", "put_atomic"]),
    )
    def interrupted_push(self, name, at, kind, verb):
        if name is not None and not self.alive(name):
            return
        self.faulty.schedule(Fault(at=at, verb=verb, kind=kind, times=10**6, dead=kind != "lost"))
        with contextlib.suppress(StorageError):
            push(self.storage, self.target, *(() if name is None else (name,)))
        self.faulty.schedule()
        self.faulty.revive()
        check_same(self.storage, self.target)
        check_whole(self.target)

    @rule()
    def pass_on(self):
        if heads(self.target):
            push(self.target, self.third)
            check_same(self.target, self.third)

    def teardown(self):
        if not hasattr(self, "heads"):
            return
        push(self.storage, self.target, verify=True)
        push(self.target, self.third)
        alive = [name for name in self.heads if self.alive(name)]
        for target in (self.target, self.third):
            check_same(self.storage, target)
            check_whole(target)
            assert {n: heads(target).get(n) for n in alive} == {
                n: heads(self.storage)[n] for n in alive
            }


TestTransfer = TransferMachine.TestCase
TestTransfer.settings = settings(
    max_examples=max(10, settings.default.max_examples // 4),
    stateful_step_count=25,
    phases=set(Phase) - {Phase.explain},
)
