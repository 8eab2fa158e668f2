"""The history of an array, as methods of its handle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from hubzarr.errors import InvalidError
from hubzarr.history.manifest import Commit
from hubzarr.indexing import apply, identity
from hubzarr.session import Session, branching, open_session
from hubzarr.session.blame import BlameEntry, blame
from hubzarr.session.diff import Diff, diff
from hubzarr.session.merge import Conflicting

if TYPE_CHECKING:
    from datetime import datetime

    from hubzarr.session.branching import VersionInfo

__all__ = ["History", "plain_point"]

type Point = int | str | datetime | Commit


def _text(point: Point) -> str:
    """A point as its name has it."""
    if isinstance(point, Commit):
        return point.id
    return point.isoformat() if hasattr(point, "isoformat") else str(point)


def plain_point(point: Point | None) -> int | str | datetime | None:
    """A point of any version, without the commit's class."""
    return point.address if isinstance(point, Commit) else point


class History:
    """Commits, versions and what changed between them."""

    _session: Session
    _path: str
    name: str

    def commit(
        self,
        message: str | None = None,
        *,
        conflict: Conflicting = "raise",
        attributes: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Commit everything that was written and name the state in the history.

        Parameters
        ----------
        message : str, optional
            Shown by `log`; a commit without one is a mere sync.
        conflict : {"raise", "ours", "theirs"}
            Whose values count where somebody else changed the same elements since this
            handle last looked: nobody's (an error), this handle's, the other's.
        attributes : mapping, optional
            Attributes to set in the same commit.

        Returns
        -------
        Commit
            With its `id`, `number`, `time` and `changes`.

        Raises
        ------
        ConflictError
            The same elements were changed to different values. Nothing is lost: the
            handle keeps what was written.
        SealedError
            The version was sealed.

        Examples
        --------
        >>> import hubzarr as hub
        >>> a = hub.array((4,), "examples/commit")
        >>> a[0] = 7
        >>> a.commit("seven").number
        1
        """
        if attributes:
            self.attributes.update(attributes)  # type: ignore[attr-defined]
        return self._session.commit(message, conflict=conflict)

    def log(self, limit: int | None = None, *, syncs: bool = False) -> list[Commit]:
        """Commits that led to this state, newest first.

        Parameters
        ----------
        limit : int, optional
            How many at most.
        syncs : bool
            Automatic syncs too, which have no message.

        Examples
        --------
        >>> import hubzarr as hub
        >>> a = hub.array((4,), "examples/log")
        >>> a[0] = 7
        >>> _ = a.commit("seven")
        >>> [commit.message for commit in a.log()]
        ['seven', 'created']
        """
        return branching.log(self._session, limit, syncs=syncs)

    def versions(self) -> list[VersionInfo]:
        """All versions of the repository, by name."""
        return branching.versions(self._session.storage)

    def branch(self, name: str, message: str | None = None) -> Self:
        """Start a new version from this state and return a handle on it.

        Nothing is copied: both versions share the chunks that they have in common.

        Examples
        --------
        >>> import hubzarr as hub
        >>> a = hub.array((4,), "examples/branch")
        >>> dev = a.branch("dev")
        >>> dev[0] = 1
        >>> a[0], dev[0], dev.version
        (np.float64(0.0), np.float64(1.0), 'dev')
        """
        branching.branch(self._session, name, message)
        return self._opened(name, None)

    def checkout(self, version: str, *, create: bool = False) -> Self:
        """Move this handle to another version of the repository; writes are committed first.

        Parameters
        ----------
        version : str
        create : bool
            Start the version from the present state first.
        """
        branching.checkout(self._session, version, create=create)
        return self

    def at(self, point: Point) -> Self:
        """A read-only handle on an earlier state of this version.

        Parameters
        ----------
        point : int, str, datetime or Commit
            A commit's number, its id, the commit itself, or a time: the last commit at or before
            it counts.

        Examples
        --------
        >>> import hubzarr as hub
        >>> a = hub.array((4,), "examples/at")
        >>> a[0] = 1
        >>> first = a.commit("one")
        >>> a[0] = 2
        >>> a.at(first.number)[0], a.at(first.id)[0], a[0]
        (np.float64(1.0), np.float64(1.0), np.float64(2.0))
        """
        return self._opened(self._session.version, _text(point))

    def _opened(self, version: str, point: str | None) -> Self:
        old = self._session
        session = open_session(
            old.storage,
            version,
            point,
            author=old.author,
            sync_interval=old.interval,
            name=old.name,
        )
        return type(self)(session, self.name, self._path)  # type: ignore[call-arg]

    def seal(self, message: str | None = None) -> Commit:
        """Freeze the version for ever: nobody can write to it again."""
        return branching.seal(self._session, message)

    def diff(self, a: Point | None = None, b: Point | None = None, *, values: bool = False) -> Diff:
        """What changed between two states.

        Parameters
        ----------
        a, b : int, str, datetime, optional
            Points of this version, or "version" or "version@point" for others. By default
            `a` is the commit before the last named one and `b` is this handle's state,
            uncommitted changes included.
        values : bool
            Compare the elements too, so that counts are exact and values can be had.

        Returns
        -------
        Diff
            Changed regions, shapes and attributes; prints as a table.
        """
        if a is None:
            a = self._before_last()
        return diff(self._session, plain_point(a), plain_point(b), path=self._path, values=values)

    def _before_last(self) -> int:
        number = self._session.manifest.commit.number
        if self._session.dirty:
            return number
        return max(number - 1, 0)

    def merge(
        self, version: str, *, conflict: Conflicting = "raise", message: str | None = None
    ) -> Commit:
        """Take another version's changes since both went separate ways into this one.

        Parameters
        ----------
        version : str
        conflict : {"raise", "ours", "theirs"}
            Whose values count where both changed the same elements: nobody's (an error),
            this version's, the other version's. Rows appended on both sides are all kept.
        """
        return branching.merge(self._session, version, conflict=conflict, message=message)

    def revert(self, point: Point, message: str | None = None, *, discard: bool = False) -> Commit:
        """Commit the content of an earlier point again; the history in between stays.

        Parameters
        ----------
        point : int, str or datetime
            As for `at`.
        message : str, optional
        discard : bool
            Drop what was written and not committed; without it, that is an error.

        Examples
        --------
        >>> import hubzarr as hub
        >>> a = hub.array((4,), "examples/revert")
        >>> a[0] = 7
        >>> _ = a.commit("seven")
        >>> a.revert(0).message, a[0]
        ('Revert to main@0', np.float64(0.0))
        """
        return branching.revert(self._session, _text(point), message, discard)

    def blame(self, key: Any = ...) -> list[BlameEntry]:
        """Which commit last changed each part of a selection, when and by whom.

        Parameters
        ----------
        key : index
            Integers and unit-step slices, as in ``a[key]``; everything by default.
            The answer is by whole cells of the chunk grid.
        """
        shape = self._session.array(self._path).shape
        view = apply(identity(shape), key)
        if view.box is None:
            raise InvalidError("blame takes integers and slices with step 1; ask for the box")
        return blame(self._session, self._path, view.box)
