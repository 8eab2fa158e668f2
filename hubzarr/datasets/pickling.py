"""Datasets, views and tensors in other processes: they are opened there at the same commit."""

from __future__ import annotations

from hubzarr.arrays.handle import Source, open_source, source_of
from hubzarr.errors import InvalidError
from hubzarr.session import Session

__all__ = ["opened_again", "source_for"]


def source_for(session: Session) -> Source:
    """What opens a session's state in another process; what was written is committed first.

    Raises
    ------
    InvalidError
        A transaction has written something that only it can see.
    """
    with session.lock:
        session.check()
        if session.in_transaction and session.dirty:
            raise InvalidError(
                f"what this transaction wrote to {session.name} is not committed, so no other "
                "process can see it: end the transaction first"
            )
        session.sync()
        return source_of(session, "")


def opened_again(source: Source) -> Session:
    """A session of its own on the same commit."""
    return open_source(source, writable=source.writable)
