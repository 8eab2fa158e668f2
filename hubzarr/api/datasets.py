"""Datasets by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubzarr.api.moving import copy_of
from hubzarr.api.opening import load
from hubzarr.datasets import Dataset, DatasetView, rewriting
from hubzarr.datasets.making import make_empty
from hubzarr.errors import ExistsError, InvalidError, NotFoundError
from hubzarr.names import parse_name
from hubzarr.session.place import Options, parsed_name, storage_of
from hubzarr.session.sides import fitting_options

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
    return Dataset(*make_empty(name, overwrite=overwrite, storage_options=storage_options))


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
    rewriting.copy_structure(source, ds)
    return ds


def deepcopy(
    source: str | DatasetView,
    target: str,
    *,
    overwrite: bool = False,
    storage_options: Options = None,
    target_options: Options = None,
) -> Dataset:
    """Copy a dataset to a new name, chunks as they are stored; or the rows of a view.

    Parameters
    ----------
    source : str or Dataset
        Of a dataset, the state that it shows is copied; of a view, only the selected rows and
        tensors.
    target : str
    storage_options, target_options : mapping, optional
        Options of the store, and of the target's if that is another one. A `source` that is
        open has its own already.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.empty("examples/deepcopy_a")
    >>> a.create_tensor("x").extend([1, 2, 3])
    >>> hub.deepcopy(a[1:], "examples/deepcopy_b").x.numpy()
    array([2, 3])
    """
    new = parsed_name(target, "copy to it")
    if isinstance(source, str):
        options = fitting_options(parse_name(source), storage_options)
        source = _as_dataset(load(source, "r", storage_options=options), source)
    if target_options is None:
        target_options = fitting_options(new, storage_options)
    if not isinstance(source, Dataset):
        return source.materialize(target, overwrite=overwrite, storage_options=target_options)
    source.flush()
    if exists_and(overwrite, target, target_options):
        raise InvalidError("deepcopy of a whole dataset can't overwrite: delete the target first")
    origin = source._session
    address = f"{origin.storage.url}:{source.version}"
    version = new.version or source.version
    there = storage_of(new, target_options)
    return _as_dataset(copy_of(origin, there, new, version, address), target)


def exists_and(overwrite: bool, target: str, storage_options: Options) -> bool:
    """Whether a target is to be overwritten that exists."""
    if not overwrite:
        return False
    try:
        load(target, "r", storage_options=storage_options)
    except NotFoundError:
        return False
    return True
