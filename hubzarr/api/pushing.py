"""Commits from one repository to another: push, pull and clone."""

from __future__ import annotations

from collections.abc import Sequence

from hubzarr.errors import InvalidTypeError, NotFoundError
from hubzarr.names import Name
from hubzarr.session.copying import all_goals
from hubzarr.session.log import head_of
from hubzarr.session.place import Options, parsed_name
from hubzarr.session.sides import other_side, storages_of
from hubzarr.session.transferring import Transfer, plan_graft, transfer
from hubzarr.storage import Storage

__all__ = ["Transfer", "clone", "pull", "push"]


def push(
    name: str,
    to: str,
    *,
    verify: bool = False,
    dry_run: bool = False,
    storage_options: Options = None,
    target_options: Options = None,
) -> Transfer:
    """Bring the commits of a repository to another one that lacks them.

    Commits keep their ids, numbers, messages, times, authors and digests. What led to them
    comes along: commits of other versions that they grew from or took in by merging, as far as
    needed. Only what is missing is copied. Each commit appears when all that it needs is
    there, so an interrupted push leaves the target whole, and the next one goes on.

    Parameters
    ----------
    name : str
        ``[namespace/]base[:version]``; without a version all versions that exist.
    to : str
        The name of a configured root, where the repository has the same name; or the name,
        URL or path of a repository. It may end in ``:version``, if the version is to have
        another name there: then the commits after the last one that both sides share become
        a version of that name, in which they keep their ids.
    verify : bool
        Decode every chunk on the way, and compare sizes at the target.
    dry_run : bool
        Only find out what there is to copy.
    storage_options, target_options : mapping, optional
        Options of the store, and of the target's if that is another one. Both are found by
        themselves for places below a configured root.

    Returns
    -------
    Transfer
        What was copied: `commits`, `objects`, `nbytes` and, by version, its newest number at
        the target before and after. Printed, it says so.

    Raises
    ------
    ConflictError
        The target has commits, in a version of the same name, that the source lacks. Nothing
        was copied then.

    Examples
    --------
    >>> import numpy as np
    >>> import hubzarr as hub
    >>> a = hub.from_numpy(np.arange(4), "examples/work")
    >>> there = "memory://examples/shared/work"
    >>> hub.push("examples/work", there).versions
    {'main': (-1, 1)}
    >>> a[0] = 7
    >>> _ = a.commit("seven")
    >>> hub.push("examples/work", there, dry_run=True).objects
    1
    >>> hub.push("examples/work", there).versions
    {'main': (1, 2)}
    >>> hub.load(there).log(1)[0].id == a.commit_id
    True
    """
    here = parsed_name(name, "push it")
    there = other_side(here, to, "push to it")
    source, target = storages_of(here, there, storage_options, target_options)
    return _moved(here, source, there, target, verify, dry_run)


def pull(
    name: str,
    from_: str,
    *,
    verify: bool = False,
    dry_run: bool = False,
    storage_options: Options = None,
    target_options: Options = None,
) -> Transfer:
    """Bring the commits of another repository to one that lacks them: `push` the other way.

    Parameters
    ----------
    name : str
        ``[namespace/]base[:version]``; without a version all versions of the other side. It
        need not exist yet.
    from_ : str
        The name of a configured root, where the repository has the same name; or the name,
        URL or path of a repository. It may end in ``:version``, if the version has another
        name there.
    verify, dry_run
        As for `push`.
    storage_options, target_options : mapping, optional
        Options of the store `from_`, and of this side's if that is another one.

    Returns
    -------
    Transfer
        What was copied.

    Raises
    ------
    ConflictError
        This side has commits, in a version of the same name, that the other side lacks.
    NotFoundError
        The other side has nothing of that name.

    Examples
    --------
    >>> import numpy as np
    >>> import hubzarr as hub
    >>> _ = hub.from_numpy(np.arange(4), "memory://examples/colleague/theirs")
    >>> hub.pull("examples/mine", "memory://examples/colleague/theirs").commits
    2
    >>> hub.load("examples/mine").sum()
    np.int64(6)
    """
    here = parsed_name(name, "pull it")
    there = other_side(here, from_, "pull from it")
    source, target = storages_of(there, here, storage_options, target_options)
    return _moved(there, source, here, target, verify, dry_run)


def clone(
    source: str,
    target: str,
    *,
    versions: Sequence[str] | None = None,
    verify: bool = False,
    dry_run: bool = False,
    storage_options: Options = None,
    target_options: Options = None,
) -> Transfer:
    """Copy a repository with its history: all versions that exist, and all that led to them.

    Cloning again brings the clone up to date.

    Parameters
    ----------
    source, target : str
        Names, URLs or paths of repositories, without a version.
    versions : list of str, optional
        These versions only, and what led to them.
    verify, dry_run
        As for `push`.
    storage_options, target_options : mapping, optional
        Options of the store, and of the target's if that is another one.

    Returns
    -------
    Transfer
        What was copied.

    Examples
    --------
    >>> import numpy as np
    >>> import hubzarr as hub
    >>> a = hub.from_numpy(np.arange(4), "examples/original")
    >>> _ = a.branch("dev")
    >>> hub.clone("examples/original", "examples/twin").versions
    {'dev': (-1, 0), 'main': (-1, 1)}
    >>> [v.name for v in hub.versions("examples/twin")]
    ['dev', 'main']
    """
    old, new = parsed_name(source, "clone it"), parsed_name(target, "clone to it")
    for name in (old, new):
        if name.version is not None:
            raise InvalidTypeError(
                f"a clone has all versions under their names: leave out :{name.version}, choose "
                "with versions=[...], or use copy(..., history=True) for a single one"
            )
    here, there = storages_of(old, new, storage_options, target_options)
    if isinstance(versions, str):
        raise InvalidTypeError(f"versions is a list of names, such as [{versions!r}]")
    if versions is None:
        goals = _all(old, here, there)
    else:
        goals = {v: head_of(here, v, old.repository).commit.number for v in versions}
    return transfer(here, there, goals, verify=verify, dry_run=dry_run)


def _moved(
    old: Name, source: Storage, new: Name, target: Storage, verify: bool, dry_run: bool
) -> Transfer:
    """Bring one version of a repository, or all of them, to another one."""
    version = old.version or new.version
    if version is None:
        goals = _all(old, source, target)
        return transfer(source, target, goals, verify=verify, dry_run=dry_run)
    newest = head_of(source, version, old.repository)
    graft = None
    if new.version not in (None, version):
        graft = plan_graft(source, target, newest, str(new.version))
    goals = {version: newest.commit.number}
    return transfer(source, target, goals, graft=graft, verify=verify, dry_run=dry_run)


def _all(name: Name, source: Storage, target: Storage) -> dict[str, int]:
    goals = all_goals(source, target)
    if not goals:
        raise NotFoundError(
            f"no array or dataset named {name.repository!r} ({source.url})", name=name.repository
        )
    return goals
