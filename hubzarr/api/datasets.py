"""Datasets by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubzarr.api.moving import copy
from hubzarr.api.opening import load
from hubzarr.api.place import Options, parsed_name, session_of, storage_of
from hubzarr.arrays.attributes import checked
from hubzarr.config import get_config
from hubzarr.datasets import Dataset, DatasetView, rewriting
from hubzarr.datasets.layout import MARK, group_document
from hubzarr.errors import ExistsError, InvalidError, NotFoundError
from hubzarr.history.manifest import Node
from hubzarr.names import DEFAULT_VERSION
from hubzarr.session import create_version

__all__ = ["dataset", "deepcopy", "empty", "like"]


def dataset(
    name: Any,
    tensors: Any = None,
    *,
    read_only: bool = False,
    overwrite: bool = False,
    storage_options: Options = None,
) -> Dataset:
    """Open a dataset, or make an empty one if there is none of that name.

    Parameters
    ----------
    name : str
        ``[hub://][namespace/]base[:version][@point]``, a URL or a path.
    tensors : mapping, optional
        Arrays by name, to fill a new dataset with, as in ``hub.dataset("me/xy", {"x": x})``.
    read_only : bool
        Only read; there must be a dataset then.
    overwrite : bool
        Start afresh; the former state stays in the history.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidError
        There is an array of that name.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.dataset("hub://examples/weather")
    >>> ds.create_tensor("labels", htype="class_label").extend([0, 1, 1])
    >>> len(hub.dataset("hub://examples/weather"))
    3
    """
    if isinstance(name, Mapping):
        name, tensors = tensors, name
    if read_only:
        return _as_dataset(load(name, "r", storage_options=storage_options), name)
    if overwrite:
        return _filled(empty(name, overwrite=True, storage_options=storage_options), tensors)
    try:
        made = _filled(empty(name, storage_options=storage_options), tensors)
    except ExistsError:
        found = load(name, storage_options=storage_options)
        if tensors is not None:
            raise
        return _as_dataset(found, name)
    return made


def _filled(ds: Dataset, tensors: Mapping[str, Any] | None) -> Dataset:
    if tensors:
        with ds:
            for key in tensors:
                ds.create_tensor(key)
            ds.extend(tensors)
    return ds


def _as_dataset(handle: Any, name: Any) -> Dataset:
    if not isinstance(handle, Dataset):
        raise InvalidError(f"{name!r} is an array, not a dataset: open it with hub.load({name!r})")
    return handle


def empty(name: str, *, overwrite: bool = False, storage_options: Options = None) -> Dataset:
    """Make an empty dataset.

    Parameters
    ----------
    name : str
    overwrite : bool
        Replace what has that name; the former state stays in the history.

    Raises
    ------
    ExistsError
        The name is taken.

    Examples
    --------
    >>> import hubzarr as hub
    >>> hub.empty("examples/empty").tensors
    {}
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
            raise ExistsError(
                f"{parsed.repository}:{version} exists already. To use it: "
                f"hub.dataset({str(name)!r}). To start afresh: another name, or overwrite=True "
                "(the old state stays in the history)",
                name=parsed.repository,
                version=version,
            ) from error
        session = session_of(parsed, storage, "r+", version)
        with session.lock:
            session.check_writable()
            for path in reversed(session.paths()):
                session.remove(path)
            session.set_group("", root)
            session.commit("overwritten")
        return Dataset(session, parsed.repository)
    return Dataset(session_of(parsed, storage, "r+", version), parsed.repository)


def like(
    name: str,
    source: str | DatasetView,
    *,
    overwrite: bool = False,
    storage_options: Options = None,
) -> Dataset:
    """Make an empty dataset with the tensors, groups and notes of another.

    Parameters
    ----------
    name : str
    source : str or Dataset

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.empty("examples/like_a")
    >>> _ = a.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    >>> hub.like("examples/like_b", a).labels.info.class_names
    ['cat', 'dog']
    """
    if isinstance(source, str):
        source = _as_dataset(load(source, "r", storage_options=storage_options), source)
    ds = empty(name, overwrite=overwrite, storage_options=storage_options)
    with ds:
        notes = checked(dict(source.info))
        if notes:
            ds.info.update(notes)
        for key, tensor in source.tensors.items():
            ds.create_tensor_like(key, tensor)
    return ds


def deepcopy(
    source: str | DatasetView,
    target: str,
    *,
    overwrite: bool = False,
    storage_options: Options = None,
) -> Dataset:
    """Copy a dataset to a new name, chunks as they are stored; or the rows of a view.

    Parameters
    ----------
    source : str or Dataset
        Of a view, only the selected rows and tensors are copied.
    target : str

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.empty("examples/deepcopy_a")
    >>> a.create_tensor("x").extend([1, 2, 3])
    >>> hub.deepcopy(a[1:], "examples/deepcopy_b").x.numpy()
    array([2, 3])
    """
    if isinstance(source, str):
        source = _as_dataset(load(source, "r", storage_options=storage_options), source)
    if isinstance(source, Dataset):
        source.flush()
        if exists_and(overwrite, target, storage_options):
            raise InvalidError(
                "deepcopy of a whole dataset can't overwrite: delete the target first"
            )
        address = f"{source._session.storage.url}:{source.version}"
        return _as_dataset(copy(address, target, storage_options=storage_options), target)
    ds = like(target, source, overwrite=overwrite, storage_options=storage_options)
    rewriting.copy_rows(source, ds)
    return ds


def exists_and(overwrite: bool, target: str, storage_options: Options) -> bool:
    """Whether a target is to be overwritten that exists."""
    if not overwrite:
        return False
    try:
        load(target, "r", storage_options=storage_options)
    except NotFoundError:
        return False
    return True
