"""The owner's side of a forked store: it shares states of its session, and takes in chunks."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from itertools import groupby

from hubzarr.errors import ConflictError, DamagedError, InvalidError, StorageError
from hubzarr.history.manifest import encode
from hubzarr.session.commit import next_manifest
from hubzarr.session.forks.forking import merge_forks
from hubzarr.session.forks.gate import GRACE
from hubzarr.session.forks.notes import Notes, Signature
from hubzarr.session.forks.state import SharedState, StoredChunk, written
from hubzarr.session.session import Session
from hubzarr.storage.base import Storage
from hubzarr.threads import map_all

__all__ = ["Gathering"]


class Gathering:
    """What other processes store for a session, until all of it is in the session.

    Parameters
    ----------
    session : Session
        In a transaction, which ends after this.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._notes = Notes(session.storage, secrets.token_hex(8))
        self._pid = os.getpid()
        self._states: list[SharedState] = []
        #: Paths of objects that were taken in.
        self._known: set[str] = set()
        #: Paths of objects that don't count: others hold all that they do.
        self._obsolete: set[str] = set()
        #: Whether others may have stored something since the last look.
        self._shared = False
        #: Whether the session may differ from the last state that was shared.
        self._changed = True
        #: Whether the owner did anything since it last shared a state.
        self._touched = True
        self._ended = False

    @property
    def token(self) -> str:
        """Tells forks apart."""
        return self._notes.token

    def check(self) -> None:
        """Raise unless this process may write to the fork."""
        if self._ended:
            raise self._notes.ended()
        if os.getpid() != self._pid:
            raise InvalidError(
                "this process was started by os.fork from the one that forked the store, which "
                "must send it the store as an argument; with the start method `spawn` that "
                "happens by itself"
            )

    def share(self) -> int:
        """Let others write on top of what the session holds now; the number of that state.

        A graph of tasks is sent with a copy of the store for each of them: these have the state
        of the first.
        """
        with self._session.lock:
            self.check()
            if self._touched:
                self.catch_up()
                if self._changed:
                    self._publish()
                self._changed = self._touched = False
            self._shared = True
            return len(self._states) - 1

    def reading(self, documents_only: bool) -> None:
        """The owner is about to read."""
        self._touched = True
        if not documents_only:
            self.catch_up()

    def changing(self) -> None:
        """The owner is about to change the session."""
        with self._session.lock:
            self.check()
            self.catch_up()
            self._changed = self._touched = True

    def catch_up(self) -> None:
        """Put into the session what others have stored, if anybody may have."""
        if not self._shared:
            return
        with self._session.lock:
            self._shared = False
            new = self._look()
            for chunks in _one_by_one(new):
                self._merge(chunks)
            self._changed |= bool(new)
            self._known.update(chunk.place for chunk, _ in new)

    def _merge(self, chunks: list[tuple[StoredChunk, int]]) -> None:
        try:
            merge_forks(self._session, written(chunks))
        except ConflictError as error:
            raise ConflictError(
                f"{error.message}. In one fork each element must come from one task only: give "
                "tasks regions that don't overlap",
                **error.fields,
            ) from None

    def end(self) -> None:
        """Take nothing more, once all that was stored until now is in the session."""
        with self._session.lock:
            self.check()
            self._ended = True
            if not self._states:
                return
            self._notes.close()
            if not self._session.storage.is_local:
                time.sleep(GRACE)
            self._shared = True
            self.catch_up()
            with contextlib.suppress(StorageError):
                self._session.storage.delete(self._obsolete)

    def forget(self) -> None:
        """Take nothing more, and leave no note."""
        self._ended = True
        if self._states and os.getpid() == self._pid:
            with contextlib.suppress(StorageError):
                self._notes.remove()

    def _publish(self) -> None:
        """Store the state of the session for workers: as a manifest, but not as a commit."""
        session = self._session
        session.flush()
        manifest, packs, _ = next_manifest(session, None, "open", None)
        new = [item for item in packs.items() if item[0] not in session.stored]
        map_all(lambda item: session.storage.put(*item), new, session.storage.concurrency)
        session.stored.update(packs)  # the commit to come needs many of them
        data, manifest = encode(manifest)
        if not self._states:
            self._notes.open()
        self._notes.put_state(len(self._states), data)
        self._states.append(SharedState(session, manifest))

    # -- looking for chunks ------------------------------------------------------

    def _look(self) -> list[tuple[StoredChunk, int]]:
        """Chunks that count and are new, each with the write id that it was made on top of."""
        storage = self._session.storage
        signatures = self._notes.signatures()
        listed = map_all(lambda one: _places(storage, one), signatures, storage.concurrency)
        found = [
            self._states[signature.state].chunk(signature, place)
            for signature, places in zip(signatures, listed, strict=True)
            for place in places
        ]
        last = list(self._last(found))
        seen = self._known | self._obsolete
        return list(self._distinct([item for item in last if item[0].place not in seen]))

    def _last(self, found: list[StoredChunk]) -> Iterator[tuple[StoredChunk, int]]:
        """Of the objects that a writer stored for a chunk, the last; the write id before them."""
        writers: dict[object, list[StoredChunk]] = {}
        for chunk in found:  # the turns of a writer are in order
            key = chunk.signature.state, chunk.signature.writer, chunk.key
            writers.setdefault(key, []).append(chunk)
        for *earlier, last in writers.values():
            before = last.array.write_id(last.cell)
            for chunk in earlier:
                if chunk.place in self._known:
                    before = chunk.signature.write_id
                else:
                    self._obsolete.add(chunk.place)
            yield last, before

    def _distinct(self, new: list[tuple[StoredChunk, int]]) -> Iterator[tuple[StoredChunk, int]]:
        """Each chunk once for each content that it was given: tasks may have been repeated."""
        rivals: dict[object, list[tuple[StoredChunk, int]]] = {}
        for item in new:
            rivals.setdefault(item[0].key, []).append(item)
        places = [c.place for group in rivals.values() if len(group) > 1 for c, _ in group]
        storage = self._session.storage
        digests = map_all(lambda place: _digest(storage, place), places, storage.concurrency)
        content = dict(zip(places, digests, strict=True))
        for group in rivals.values():
            seen: set[bytes | None] = set()
            for chunk, before in group:
                digest = content.get(chunk.place)
                if digest in seen:
                    self._obsolete.add(chunk.place)
                else:
                    seen.add(digest)
                    yield chunk, before


def _places(storage: Storage, signature: Signature) -> list[str]:
    return sorted(storage.list_all(f"data/{signature.write_id:016x}"))


def _digest(storage: Storage, place: str) -> bytes:
    data = storage.get(place)
    if data is None:
        raise DamagedError(
            f"object {place} in {storage.url} vanished while a fork was merged: write again",
            path=place,
        )
    return hashlib.blake2b(data, digest_size=16).digest()


def _one_by_one(
    chunks: Iterable[tuple[StoredChunk, int]],
) -> Iterator[list[tuple[StoredChunk, int]]]:
    """Groups for one merge each: of one state, and no chunk twice."""

    def state(item: tuple[StoredChunk, int]) -> int:
        return item[0].signature.state

    for _, group in groupby(sorted(chunks, key=state), state):
        rest = list(group)
        while rest:
            turn: dict[object, tuple[StoredChunk, int]] = {}
            rest = [item for item in rest if turn.setdefault(item[0].key, item) is not item]
            yield list(turn.values())
