"""New, empty datasets by name."""

from __future__ import annotations

from hubzarr.config import get_config
from hubzarr.datasets.layout import MARK, group_document
from hubzarr.errors import ExistsError
from hubzarr.history.manifest import Node
from hubzarr.names import DEFAULT_VERSION, Name
from hubzarr.session import Session, create_version
from hubzarr.session.place import Options, parsed_name, session_of, storage_of

__all__ = ["make_empty"]


def make_empty(
    name: str, *, overwrite: bool = False, storage_options: Options = None
) -> tuple[Session, str]:
    """Make an empty dataset; returns a session on it and the name of the repository.

    Parameters
    ----------
    name : str
    overwrite : bool
        Replace what has that name; the former state stays in the history.

    Raises
    ------
    ExistsError
        The name is taken.
    """
    parsed = parsed_name(name, "make a dataset")
    version = parsed.version or DEFAULT_VERSION
    storage = storage_of(parsed, storage_options)
    root = group_document({MARK: {"dataset": 1}})
    try:
        create_version(
            storage, version, None, author=get_config().author, message="created",
            name=parsed.repository, nodes={"": Node(root, "")},
        )  # fmt: skip
    except ExistsError as error:
        if not overwrite:
            raise _taken(parsed, version, name) from error
        session = session_of(parsed, storage, "r+", version)
        with session.lock:
            session.check_writable()
            for path in reversed(session.paths()):
                session.remove(path)
            session.set_group("", root)
            session.commit("overwritten")
        return session, parsed.repository
    return session_of(parsed, storage, "r+", version), parsed.repository


def _taken(parsed: Name, version: str, name: str) -> ExistsError:
    return ExistsError(
        f"{parsed.repository}:{version} exists already. To use it: "
        f"hub.dataset({str(name)!r}). To start afresh: another name, or overwrite=True "
        "(the old state stays in the history)",
        name=parsed.repository,
        version=version,
    )
