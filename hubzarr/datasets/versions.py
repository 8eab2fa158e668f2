"""The history of a dataset, as methods of its handle."""

from __future__ import annotations

from typing import Any, Self

from hubzarr.arrays.history import History, plain_point
from hubzarr.datasets.catalog import catalog_of, join, not_found
from hubzarr.datasets.differences import RowDiff, row_diff
from hubzarr.datasets.layout import INDEX
from hubzarr.errors import InvalidError, InvalidNameError, NotFoundError
from hubzarr.history.manifest import Commit
from hubzarr.indexing import apply, identity
from hubzarr.names import parse_point
from hubzarr.session import branching
from hubzarr.session.blame import BlameEntry, blame
from hubzarr.session.log import state_at
from hubzarr.session.merge import Conflicting
from hubzarr.session.state import is_array

__all__ = ["Commits", "Versions"]


class Commits(list[Commit]):
    """Commits as a list that prints as a table."""

    def __repr__(self) -> str:
        rows = [
            (c.address, c.id, c.time[:19].replace("T", " "), c.author, c.message or "")
            for c in self
        ]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
        lines = (
            "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]])
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)


class Versions(History):
    """Commits, branches and what changed between them, for all tensors at once."""

    _group: str

    @property
    def version(self) -> str:
        """Name of the version, in Git's words the branch."""
        return self._session.version

    @property
    def _path(self) -> str:  # type: ignore[override]
        return self._group

    def commit(  # type: ignore[override]
        self,
        message: str | None = None,
        allow_empty: bool = False,
        *,
        conflict: Conflicting = "raise",
    ) -> Commit:
        """Commit everything that was written to any tensor and name the state in the history.

        Inside ``with ds:`` it commits what was written so far, and the rest of the block is
        the next commit.

        Parameters
        ----------
        message : str, optional
            Shown by `log`.
        allow_empty : bool
            Commit though nothing changed since the last commit with a message.
        conflict : {"raise", "ours", "theirs"}
            Whose samples count where somebody else changed the same ones meanwhile.

        Returns
        -------
        Commit
            With its `id`, `number`, `time` and `changes`.

        Raises
        ------
        InvalidError
            Nothing changed and `allow_empty` is not set.
        ConflictError
            The same samples were changed to different values. Nothing is lost.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/commit_dataset")
        >>> _ = ds.create_tensor("x")
        >>> ds.commit("first").message
        'first'
        """
        session = self._session
        with session.lock:
            if not (allow_empty or self.has_head_changes):
                raise InvalidError(
                    f"nothing changed in {self.name}:{self.version} since the last commit; "
                    "allow_empty=True commits all the same"
                )
            inside, session.in_transaction = session.in_transaction, False
            try:
                return session.commit(message or "", conflict=conflict)
            finally:
                session.in_transaction = inside

    def log(self, limit: int | None = None, *, syncs: bool = False) -> Commits:
        """Commits that led to this state, newest first; prints as a table.

        Parameters
        ----------
        limit : int, optional
            How many at most.
        syncs : bool
            Automatic syncs too, which have no message.
        """
        return Commits(super().log(limit, syncs=syncs))

    def checkout(self, address: str | Commit, create: bool = False) -> Self:
        """Move this handle to another version, or to a commit; writes are committed first.

        Parameters
        ----------
        address : str or Commit
            A version, whose newest state it is; a commit, its id or ``version@number``, which
            only reads. To change an earlier state, check it out and then a new version with
            `create`.
        create : bool
            Start the version from the present state first.

        Raises
        ------
        NotFoundError
            There is no such version or commit.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/checkout_dataset")
        >>> ds.create_tensor("x").append(1)
        >>> one = ds.commit("one")
        >>> ds.x.append(2)
        >>> _ = ds.commit("two")
        >>> len(ds.checkout(one.id)), len(ds.checkout("main")), len(ds.checkout(one))
        (1, 2, 1)
        """
        target = address.address if isinstance(address, Commit) else address
        if not create:
            target = self._address(target)
        branching.checkout(self._session, target, create=create)
        return self

    def _address(self, text: str) -> str:
        """The version and point of a commit that is given by its id alone."""
        session = self._session
        if "@" in text or text in self.branches or not _is_id(text):
            return text
        for version in sorted(self.branches, key=lambda name: name != session.version):
            try:
                state_at(session, f"{version}@{text}")
            except NotFoundError:
                continue
            return f"{version}@{text}"
        raise NotFoundError(
            f"no version {text!r}, and no commit of that id; see ds.branches and ds.commits"
        )

    def reset(self) -> None:
        """Go back to the last commit with a message; everything written since is dropped.

        What was stored already, by itself or by `flush`, stays in the history, as do commits
        without a message of other writers: a new commit has the content of the last named one.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/reset")
        >>> ds.create_tensor("x").append(1)
        >>> _ = ds.commit("one")
        >>> ds.x[0] = 5
        >>> ds.flush()
        >>> ds.reset()
        >>> ds.x.numpy(), ds.has_head_changes
        (array([1]), False)
        """
        session = self._session
        with session.lock:
            session.discard()
            if session.manifest.commit.message is None:
                last = next((c for c in self.log() if c.message is not None), None)
                if last is not None:
                    branching.revert(session, last.address, f"Reset to {last.address}")

    @property
    def has_head_changes(self) -> bool:
        """Whether anything changed since the last commit with a message."""
        session = self._session
        return session.dirty or session.manifest.commit.message is None

    @property
    def branches(self) -> list[str]:
        """Names of all versions of the repository."""
        return [info.name for info in self.versions()]

    @property
    def commits(self) -> list[dict[str, Any]]:
        """Commits with a message that led to this state, newest first."""
        return [
            {"commit": c.id, "number": c.number, "message": c.message, "author": c.author,
             "time": c.time}
            for c in self.log()
            if c.message is not None
        ]  # fmt: skip

    def get_commit_details(self, commit_id: str | Commit) -> dict[str, Any]:
        """One of `commits`, by its id."""
        commit_id = commit_id.id if isinstance(commit_id, Commit) else commit_id
        for commit in self.commits:
            if commit["commit"] == commit_id:
                return commit
        raise NotFoundError(f"no commit {commit_id!r} led to this state; see ds.commits")

    def diff(  # type: ignore[override]
        self, a: Any = None, b: Any = None, as_dict: bool = False
    ) -> RowDiff | dict[str, Any]:
        """Which rows of which tensors changed between two states.

        Parameters
        ----------
        a, b : int, str, datetime or Commit, optional
            Points of this version, or "version" or "version@point" for others. By default
            `a` is the commit before the last one and `b` is this handle's state,
            uncommitted changes included.
        as_dict : bool
            Plain values instead of a `RowDiff`, which prints as a table.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/diff_dataset")
        >>> ds.create_tensor("text", htype="text").extend(["a", "b", "c"])
        >>> _ = ds.commit("three")
        >>> ds.text[1] = "B"
        >>> ds.text.append("d")
        >>> ds.diff()
        diff main@1 -> main@1 + uncommitted
        tensor  change   added  updated  removed  info
        text    changed  1 [3]  1 [1]
        """
        if a is None:
            a = self._before_last()
        found = row_diff(self._session, plain_point(a), plain_point(b), self._group)
        return found.as_dict() if as_dict else found

    def blame(  # type: ignore[override]
        self, tensor: Any = None, key: Any = ...
    ) -> list[BlameEntry]:
        """Which commit last changed each part of a tensor, when and by whom.

        Parameters
        ----------
        tensor : str
            Name of the tensor.
        key : index
            Rows (and elements, for a uniform tensor) as integers and unit-step slices. The
            answer is by whole chunks.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/blame_dataset")
        >>> ds.create_tensor("x").extend([1, 2])
        >>> _ = ds.commit("two numbers")
        >>> ds.blame("x")[0].commit.message
        'two numbers'
        """
        names = list(catalog_of(self._session).under(self._group))
        path = join(self._group, tensor) if isinstance(tensor, str) else ""
        if path not in names:
            raise not_found(str(tensor), names)
        document = self._session.document(path)
        if document is None or not is_array(document):
            path = f"{path}/{INDEX}"
        shape = self._session.array(path).shape
        view = apply(identity(shape), key)
        if view.box is None:
            raise InvalidError("blame takes integers and slices with step 1; ask for the box")
        return blame(self._session, path, view.box)

    def delete_branch(self, name: str) -> None:
        """Remove a version; others keep what they share with it."""
        if name == self._session.version:
            raise InvalidError(f"{name!r} is the version of this handle: check out another first")
        branching.delete_version(self._session.storage, name, self._session.author)


def _is_id(text: str) -> bool:
    try:
        return isinstance(parse_point(text), str)
    except InvalidNameError:
        return False
