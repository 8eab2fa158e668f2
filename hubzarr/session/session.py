"""A session: a pinned manifest plus uncommitted changes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Protocol

from hubzarr.engine import ArrayEngine, CellStore, WriteIds, shared_cache
from hubzarr.errors import (
    ClosedError,
    InvalidError,
    NotFoundError,
    ReadOnlyError,
    SealedError,
)
from hubzarr.history.documents import copied
from hubzarr.history.manifest import Commit, Manifest, Node
from hubzarr.history.nodes import nodes_of
from hubzarr.history.versions import newer_exists
from hubzarr.session import autosync
from hubzarr.session.merge import Conflicting, policy_of
from hubzarr.session.rebase import ask_place, catch_up, publish
from hubzarr.session.recovery import Doubt, watch_forks
from hubzarr.session.state import ArrayState, Document, Side, is_array, shape_of
from hubzarr.storage.base import Storage
from hubzarr.table.reader import PageReader
from hubzarr.table.table import TableDraft

__all__ = ["Session"]


class Waiting(Protocol):
    """Rows that were taken, and are not in the arrays yet."""

    def settle(self) -> None:
        """Put them there. If that fails, they go on waiting."""

    def forget(self) -> None:
        """Drop them."""


class Session:
    """Reads and writes of one version of one repository.

    Parameters
    ----------
    storage : Storage
        The repository's.
    manifest : Manifest
        The state to start from.
    writable : bool
        False pins the session to `manifest` for good.
    author : str
        For the commits.
    sync_interval : float or None
        Seconds after a write at which it is committed by itself; None: never.
    """

    def __init__(
        self,
        storage: Storage,
        manifest: Manifest,
        *,
        writable: bool = True,
        author: str = "",
        sync_interval: float | None = None,
        name: str = "",
    ) -> None:
        self.storage = storage
        self.manifest = manifest
        self.writable = writable
        self.author = author
        self.sync_interval = sync_interval
        #: The interval that sessions opened from this one get, though this one may only read.
        self.interval = sync_interval
        #: Whether it may write to open versions: not with mode "r".
        self.may_write = writable
        self.name = name or storage.url
        self.reader = PageReader(storage)
        self.lock = threading.RLock()
        self.writes = WriteIds()
        self._states: dict[str, ArrayState] = {}
        #: What has to be put into the arrays before anybody looks at them.
        self.waiting: Waiting | None = None
        #: Whether somebody holds an array on its own, so that nothing may wait any more.
        self.watched = False
        self._nodes: tuple[Manifest | None, dict[str, Node]] = None, {}
        #: Groups created or changed here, by path.
        self.groups: dict[str, Document] = {}
        self.removed: set[str] = set()
        #: Store keys outside all nodes: (write id, size), or None when deleted here.
        self.objects: dict[str, tuple[str, int] | None] = {}
        #: What a writer is told, if not that the handle was opened for reading.
        self.refusal = ""
        #: Counts changes of what nodes there are, for those who remember them.
        self.layout = 0
        self.closed = False
        #: What the last background sync met, until the next call raises it.
        self.failure: Exception | None = None
        #: Attempts at the next commit of which it is not known whether they made it.
        self.doubts: list[Doubt] = []
        self.in_transaction = False
        self.sync_due = False
        #: Whether the scheduler holds this session.
        self.queued = False
        #: Packs that attempts to commit have stored.
        self.stored: set[str] = set()
        watch_forks(self)

    # -- nodes ---------------------------------------------------------------

    @property
    def states(self) -> dict[str, ArrayState]:
        """Arrays that were opened, by path, with all that was written to them."""
        if self.waiting is not None:
            self.let_in()
        return self._states

    def let_in(self) -> None:
        """Put what waits into the arrays."""
        with self.lock:
            waiting, self.waiting = self.waiting, None
            if waiting is None:
                return
            try:
                waiting.settle()
            except BaseException:
                self.waiting = waiting
                raise

    def turn_away(self) -> None:
        """Forget what waits."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.forget()

    @property
    def version(self) -> str:
        """Name of the version."""
        return self.manifest.commit.version

    def committed_nodes(self) -> dict[str, Node]:
        """The nodes of the pinned manifest, by path."""
        manifest, nodes = self._nodes
        if manifest is not self.manifest:
            nodes = nodes_of(self.manifest, self.reader)
            self._nodes = self.manifest, nodes
        return nodes

    def paths(self) -> list[str]:
        """Paths of all nodes, sorted."""
        with self.lock:
            found = {*self.committed_nodes(), *self.groups, *self.states} - self.removed
            return sorted(found)

    def document(self, path: str) -> Document | None:
        """The ``zarr.json`` of a node; None when there is no such node."""
        with self.lock:
            if path in self.removed:
                return None
            if path in self.states:
                return self.states[path].document
            if path in self.groups:
                return self.groups[path]
            node = self.committed_nodes().get(path)
            return None if node is None else node.document

    def array(self, path: str = "") -> ArrayState:
        """The array at a path.

        Raises
        ------
        NotFoundError
            There is no array there.
        """
        with self.lock:
            self.check()
            state = self.states.get(path)
            if state is None:
                node = None if path in self.removed else self.committed_nodes().get(path)
                if node is None or not is_array(node.document) or path in self.groups:
                    arrays = [p for p in self.paths() if is_array(self.document(p) or {})]
                    raise NotFoundError(
                        f"no array at {path or '/'!r} in {self.name}:{self.version}; arrays there: "
                        f"{', '.join(p or '/' for p in arrays) or 'none'}",
                        path=path,
                    )
                state = ArrayState(self.storage, self.reader, self.writes, self.lock, node)
                self.states[path] = state
            return state

    def create_array(self, path: str, document: Document) -> ArrayState:
        """Make an array, replacing whatever node is at the path."""
        with self.lock:
            self.check_writable()
            node = Node(document, path)
            state = self.states.get(path)
            if state is None:
                state = ArrayState(self.storage, self.reader, self.writes, self.lock, node)
                self.states[path] = state
            state.replace(copied(document), path)
            self.groups.pop(path, None)
            self.removed.discard(path)
            self.writes.rotate()
            self.layout += 1
            self.touch()
            return state

    def set_group(self, path: str, document: Document) -> None:
        """Make or change a group."""
        with self.lock:
            self.check_writable()
            self.forget_state(path)
            self.groups[path] = copied(document)
            self.removed.discard(path)
            self.layout += 1
            self.touch()

    def move_array(self, path: str, target: str) -> None:
        """Put an array at another path too; its chunks stay where they are."""
        with self.lock:
            self.check_writable()
            source = self.array(path)
            source.engine.flush()
            side = source.side()
            state = self.create_array(target, source.document)
            state.stage(None, side, source.engine.table.copy())
            state.appended = None

    def remove(self, path: str) -> None:
        """Remove one node."""
        with self.lock:
            self.check_writable()
            self.forget_state(path)
            self.groups.pop(path, None)
            self.removed.add(path)
            self.layout += 1
            self.writes.rotate()
            self.touch()

    def forget_state(self, path: str) -> None:
        """Let go of an array: it is gone, or no array any more."""
        state = self.states.pop(path, None)
        if state is not None:
            state.engine.discard()

    # -- state ---------------------------------------------------------------

    def check(self) -> None:
        """Raise what a background sync could not do, or that the session is closed."""
        if self.closed:
            raise ClosedError(
                f"this handle of {self.name}:{self.version} was closed; load it again"
            )
        if self.failure is not None:
            failure, self.failure = self.failure, None
            self.touch()
            raise failure

    def check_writable(self) -> None:
        """Raise unless the session takes writes."""
        if self.writable and not self.closed and self.failure is None:
            return
        self.check()
        if self.manifest.sealed:
            raise SealedError(
                f"{self.name}:{self.version} is sealed and can't change; start a new version "
                f"from it, such as branch({self.version + '-next'!r})",
                version=self.version,
            )
        raise ReadOnlyError(
            self.refusal
            or f"this handle of {self.name}:{self.version} only reads (it was opened with mode 'r' "
            "or at a point of the history); load it without @ and with mode='r+'"
        )

    def touch(self) -> None:
        """Something was written: a sync is due some time later."""
        if not self.sync_due and self.sync_interval is not None and not self.in_transaction:
            self.sync_due = True
            if not self.queued:
                self.queued = True
                autosync.schedule(self, self.sync_interval)

    @property
    def dirty(self) -> bool:
        """Whether there is anything that no commit holds."""
        with self.lock:
            if self.waiting is not None or self.groups or self.removed or self.objects:
                return True
            return any(state.engine.pending or state.changed for state in self._states.values())

    def flush(self) -> None:
        """Store all chunks that were written, without a commit."""
        states = list(self.states.values())
        if not self.storage.is_local:  # there it pays to wait for all arrays at once
            for state in states:
                state.engine.begin_flush()
        for state in states:
            state.engine.flush()

    # -- commits -------------------------------------------------------------

    def sync(self) -> None:
        """Commit what was written, without a message; nothing to do is fine.

        In a transaction it is stored only: nobody sees it before the end.
        """
        with self.lock:
            if self.in_transaction:
                self.flush()
            elif self.dirty:
                self.commit(None)

    def commit(
        self,
        message: str | None,
        *,
        conflict: Conflicting = "raise",
        state: str = "open",
        merged: str | None = None,
    ) -> Commit:
        """Commit all changes as one, rebasing as often as others are quicker.

        Raises
        ------
        ConflictError
            Others changed the same elements or keys to other values. The session keeps
            its changes.
        """
        policy = policy_of(conflict)
        with self.lock:
            if self.in_transaction:
                raise InvalidError(
                    "a transaction is one commit, made at its end: end it before the next commit, "
                    "or before the handle is closed"
                )
            self.failure = None  # this is the next attempt at what failed
            self.check_writable()
            try:
                asked = ask_place(self)  # while chunks are stored
                self.flush()
                made = publish(self, message, policy, state, merged, asked)
            except BaseException:
                self.touch()  # a sync tries again, unless one is due anyway
                raise
            self.sync_due = False
            return made

    def settle(self, manifest: Manifest, tables: dict[str, Any]) -> None:
        """The changes are committed: start over on top of them."""
        self.manifest = manifest
        self.doubts.clear()
        self.stored.clear()
        nodes = self.committed_nodes()
        for path, table in tables.items():
            self.states[path].settle(nodes[path], table.stored())
        self.groups.clear()
        self.removed.clear()
        self.objects.clear()
        self.writes.reset()
        if manifest.commit.state != "open":
            self.writable = False

    def pin(self, manifest: Manifest) -> None:
        """Move to another state; what was not committed is forgotten."""
        with self.lock:
            self.turn_away()
            self.manifest = manifest
            self.layout += 1
            nodes = self.committed_nodes()
            for path in list(self.states):
                node = nodes.get(path)
                if node is None or not is_array(node.document):
                    self.forget_state(path)
                else:
                    self.states[path].load(node)
            self.groups.clear()
            self.removed.clear()
            self.objects.clear()
            self.writes.reset()
            self.doubts.clear()
            self.failure = None
            if manifest.commit.state != "open":
                self.writable = False

    def discard(self) -> None:
        """Forget everything since the last commit."""
        with self.lock:
            self.sync_due = False
            self.pin(self.manifest)

    def refresh(self) -> bool:
        """Take in what others committed; own changes stay on top. Says whether there was any."""
        with self.lock:
            self.check()
            if not newer_exists(self.storage, self.version, self.manifest.commit.number):
                return False
            self.flush()
            catch_up(self, "raise", sealed_is_fine=not self.dirty)
            return True

    @contextlib.contextmanager
    def transaction(self, message: str | None) -> Iterator[None]:
        """Group all writes inside into one commit; an exception drops them all."""
        with self.lock:
            self.check_writable()
            if self.in_transaction:
                raise InvalidError(
                    "a transaction is open on this handle already; end it before the next one"
                )
            self.sync()
            self.in_transaction = True
        try:
            yield
        except BaseException:
            with self.lock:
                self.in_transaction = False
                self.discard()
            raise
        with self.lock:
            if self.in_transaction:  # else this is a fork of the process that began it
                self.in_transaction = False
                if message is not None or self.dirty:
                    self.commit(message)

    def background_sync(self) -> bool:
        """Commit what was written; False after an error, which waits for the user's next call."""
        with self.lock:
            self.sync_due = False
            if self.closed or self.in_transaction:
                return True
            self.failure = None
            self.sync_due = True  # the scheduler itself tries again what fails
            try:
                self.sync()
            except Exception as error:
                self.failure = error
                return False
            self.sync_due = False
            return True

    def close(self) -> None:
        """Commit what was written and refuse further use."""
        with self.lock:
            if self.closed:
                return
            if self.writable and self.dirty:
                self.commit(None)
            self.closed = True

    def reader_for(self, side: Side) -> ArrayEngine:
        """An engine that reads an array as one side of a merge has it."""
        if side.table is None:
            raise InvalidError("a group has no elements to read")
        cells = self.cells_for(side.home, side.document)
        draft = TableDraft(side.table)
        return ArrayEngine(cells, shape_of(side.document), draft, self.writes, self.lock)

    def cells_for(self, home: str, document: Document) -> CellStore:
        """Chunk objects of a node of this repository."""
        return CellStore(self.storage, home, document, shared_cache)
