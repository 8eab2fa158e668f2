"""The functions of the package: arrays by name."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hubzarr.arrays import Array
from hubzarr.codecs import array_document, auto_chunks
from hubzarr.config import configure, get_config
from hubzarr.errors import (
    ExistsError,
    InvalidError,
    InvalidNameError,
    InvalidTypeError,
    NotFoundError,
)
from hubzarr.history.manifest import Node
from hubzarr.names import DEFAULT_VERSION, Name, parse_name
from hubzarr.progress import dask_progress, progress
from hubzarr.session import Session, branching, create_version, open_session
from hubzarr.session.autosync import sync_place
from hubzarr.session.copying import copy_version
from hubzarr.session.opening import existing_versions
from hubzarr.session.store import VersionedStore
from hubzarr.storage import Storage, open_storage

if TYPE_CHECKING:
    import dask.array

    from hubzarr.session.branching import VersionInfo

__all__ = [
    "array",
    "configure",
    "copy",
    "delete",
    "exists",
    "from_dask",
    "from_numpy",
    "from_zarr",
    "list",
    "load",
    "rename",
    "store",
    "versions",
]

type Options = Mapping[str, Any] | None


def _storage(name: Name, options: Options = None) -> Storage:
    """The storage of a name's repository, with everything that this process wrote there."""
    config = get_config()
    given = dict(options or {})
    if config.fsync:
        given.setdefault("fsync", True)
    storage = open_storage(name.address(config.root), given)
    sync_place(storage.url)
    return storage


def _parsed(name: Any, what: str) -> Name:
    """A name without a point, for what writes."""
    parsed = parse_name(name)
    if parsed.point is not None:
        raise InvalidNameError(
            f"{name!r} names a point of the history, which only reads; to {what}, leave out "
            f"@{parsed.point}"
        )
    return parsed


def _session(
    name: Name, storage: Storage, mode: str, version: str, sync_interval: float | None = None
) -> Session:
    config = get_config()
    return open_session(
        storage,
        version,
        name.point,
        mode=mode,
        author=config.author,
        sync_interval=config.sync_interval if sync_interval is None else sync_interval,
        name=name.repository,
    )


def array(
    shape: int | Sequence[int],
    name: str,
    dtype: Any = "float64",
    chunks: Any = "auto",
    shards: Any = "auto",
    codec: Any = "zstd",
    fill_value: Any = 0,
    attributes: Mapping[str, Any] | None = None,
    exist_ok: bool = False,
    overwrite: bool = False,
    *,
    dimension_names: Sequence[str | None] | None = None,
    storage_options: Options = None,
) -> Array:
    """Create a named array. It takes no space until elements are written.

    Parameters
    ----------
    shape : int or sequence of int
        Length of each axis; axis 0 may be 0, to be appended to.
    name : str
        ``[namespace/]base[:version]``, or a URL or path in place of ``namespace/base``. The
        version is "main" by default. A version that is new in an existing repository starts
        there independently of the others.
    dtype : dtype-like
        Any NumPy dtype that Zarr can store.
    chunks : "auto", int or sequence of int
        Shape of what is compressed as one piece.
    shards : "auto", None or sequence of int
        Shape of what is stored as one object, a multiple of `chunks`; None: each chunk is
        one object.
    codec : str, codec or list of codecs
        "zstd", "zstd:9", "lz4", "blosc", "gzip", "none", or codecs of Zarr.
    fill_value : scalar
        Value of elements never written.
    attributes : mapping, optional
        JSON values by name.
    exist_ok : bool
        Load the array if it exists; its shape and dtype must be the same.
    overwrite : bool
        Replace the array if it exists. The former state stays in the history.
    dimension_names : sequence of str, optional
        A name for each axis, as xarray uses them.
    storage_options : mapping, optional
        For the store.

    Returns
    -------
    Array

    Raises
    ------
    ExistsError
        The array exists; the message names the two ways on.
    InvalidNameError, InvalidError, InvalidTypeError
        An argument can't be used.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.array((1000, 512, 512, 3), "examples/big:v0", dtype="uint8")
    >>> a.shape, a.nbytes_stored
    ((1000, 512, 512, 3), 0)
    """
    if exist_ok and overwrite:
        raise InvalidError("exist_ok and overwrite exclude each other: choose one")
    parsed = _parsed(name, "create an array")
    version = parsed.version or DEFAULT_VERSION
    lengths = _shape(shape)
    data_type = np.dtype(str) if dtype is str else dtype
    chunk_shape, shard_shape = auto_chunks(lengths, data_type, chunks, shards)
    document = array_document(
        lengths, data_type, chunk_shape, shard_shape, codec=codec,
        fill_value=_fill(fill_value, data_type), attributes=attributes,
        dimension_names=dimension_names,
    )  # fmt: skip
    storage = _storage(parsed, storage_options)
    try:
        create_version(
            storage, version, None, author=get_config().author, message="created",
            name=parsed.repository, nodes={"": Node(document, "")},
        )  # fmt: skip
    except ExistsError as error:
        if not (exist_ok or overwrite):
            raise ExistsError(
                f"{parsed.repository}:{version} exists already. To use it: "
                f"hub.load({str(name)!r}), or exist_ok=True here. To start afresh: another "
                "version or name, or overwrite=True (the old state stays in the history)",
                name=parsed.repository,
                version=version,
            ) from error
        session = _session(parsed, storage, "r+", version)
        if overwrite:
            session.check_writable()
            session.create_array("", document)
            session.commit("overwritten")
        elif _differs(session, document):
            raise ExistsError(
                f"{parsed.repository}:{version} exists with shape "
                f"{session.array().shape} and dtype {session.array().engine.cells.dtype}, not "
                f"{lengths} and {data_type}; choose another version, or overwrite=True",
                name=parsed.repository,
                version=version,
            ) from error
        return Array(session, parsed.repository)
    return Array(_session(parsed, storage, "r+", version), parsed.repository)


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    try:
        lengths = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        lengths = tuple(int(n) if int(n) == n else n for n in lengths)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(
            f"shape must be an integer or a sequence of integers, not {shape!r}"
        ) from error
    if any(not isinstance(n, int) for n in lengths):
        raise InvalidTypeError(f"shape must hold integers, not {shape!r}")
    if any(n < 0 for n in lengths):
        raise InvalidError(f"shape can't hold negative lengths: {shape!r}")
    return lengths


def _fill(fill_value: Any, dtype: Any) -> Any:
    """0 means the zero of the dtype: empty text, NaT, False."""
    if isinstance(fill_value, int) and fill_value == 0:
        try:
            kind = np.dtype(dtype).kind
        except TypeError:
            kind = "T"
        if kind not in "biufc":
            return None
    return fill_value


def _differs(session: Session, document: dict[str, Any]) -> bool:
    mine = session.array().document
    return any(mine[k] != document[k] for k in ("shape", "data_type"))


def load(
    name: str,
    mode: Literal["r", "r+"] = "r+",
    *,
    storage_options: Options = None,
) -> Array:
    """Open a named array.

    Parameters
    ----------
    name : str
        ``[namespace/]base[:version][@point]``; a point is a commit's number, its id or an
        ISO time, and only reads.
    mode : {"r+", "r"}
        For reading and writing, or for reading only.

    Returns
    -------
    Array

    Raises
    ------
    NotFoundError
        No such array, version or point; the message says what there is.

    Examples
    --------
    >>> import hubzarr as hub
    >>> _ = hub.from_numpy(np.arange(6), "examples/load")
    >>> hub.load("examples/load")[2:4].compute()
    array([2, 3])
    """
    if mode not in ("r", "r+"):
        raise InvalidError(f"mode={mode!r} is unknown; expected 'r' (read) or 'r+' (read, write)")
    parsed = parse_name(name)
    storage = _storage(parsed, storage_options)
    session = _session(parsed, storage, mode, parsed.version or DEFAULT_VERSION)
    return Array(session, parsed.repository)


def from_numpy(x: Any, name: str, **options: Any) -> Array:
    """Create an array with the shape, dtype and values of `x`, and commit it.

    Parameters
    ----------
    x : array_like
    name : str
    **options
        As for `array`.

    Examples
    --------
    >>> import hubzarr as hub
    >>> hub.from_numpy([[1, 2], [3, 4]], "examples/numpy").sum()
    np.int64(10)
    """
    values = np.asarray(x)
    dtype: Any = values.dtype
    if dtype.kind == "O":
        if not all(isinstance(v, str) for v in values.flat):
            raise InvalidTypeError(
                "arrays of Python objects can't be stored; give numbers, strings, dates or a "
                "structured dtype"
            )
        dtype = str
    out = array(values.shape, name, dtype=options.pop("dtype", dtype), **options)
    return _filled(out, values, "values from NumPy")


#: Bytes that go over at a time, so that memory stays bounded and progress shows.
_BLOCK = 64 << 20


def _filled(out: Array, source: Any, message: str) -> Array:
    """Copy all elements in blocks of whole cells, and commit them once."""
    with out.transaction(message):
        if not out.shape:
            out[...] = source[()]
        elif out.size:
            rows = (out.shards or out.chunks)[0]
            step = rows * max(1, _BLOCK // (rows * out[:1].nbytes))
            for start in progress(range(0, len(out), step), f"storing {out.name}"):
                out[start : start + step] = source[start : start + step]
    return out


def from_dask(x: dask.array.Array, name: str, **options: Any) -> Array:
    """Create an array from a dask array, chunk by chunk, and commit it once.

    Parameters
    ----------
    x : dask.array.Array
        Of known shape. Its chunks are kept where they are regular and `chunks` is not given.
    name : str
    **options
        As for `array`.

    Examples
    --------
    >>> import dask.array as da
    >>> import hubzarr as hub
    >>> hub.from_dask(da.arange(10, chunks=5), "examples/dask").chunks
    (5,)
    """
    import dask.array as da

    if any(n != n for n in x.shape):
        raise InvalidError("a dask array of unknown shape can't be stored: compute_chunk_sizes()")
    if "chunks" not in options and x.ndim and all(x.shape):
        options["chunks"] = tuple(max(axis) for axis in x.chunks)
        options.setdefault("shards", None)
    out = array(x.shape, name, dtype=options.pop("dtype", x.dtype), **options)
    with out.transaction("values from dask"), dask_progress(f"storing {out.name}, tasks"):
        # Threads of this process share the handle's session; see the how-to on clusters.
        da.store(x, out, lock=False, scheduler="threads", return_stored=False)
    return out


def from_zarr(source: Any, name: str, **options: Any) -> Array:
    """Create an array from a Zarr array of version 2 or 3, in bounded memory.

    Parameters
    ----------
    source : zarr.Array, str or store
        What `zarr.open_array` takes.
    name : str
    **options
        As for `array`; chunks, shards, fill value and attributes are taken over otherwise.
    """
    import zarr

    z = source if isinstance(source, zarr.Array) else zarr.open_array(source, mode="r")
    options.setdefault("chunks", z.chunks)
    options.setdefault("shards", z.shards)
    options.setdefault("fill_value", 0 if z.fill_value is None else z.fill_value)
    options.setdefault("attributes", dict(z.attrs))
    out = array(z.shape, name, dtype=options.pop("dtype", z.dtype), **options)
    return _filled(out, z, "values from Zarr")


def store(
    name: str,
    mode: Literal["r", "r+", "a"] = "a",
    *,
    storage_options: Options = None,
) -> VersionedStore:
    """Open a repository as a store for zarr and xarray: groups of arrays with one history.

    Parameters
    ----------
    name : str
        ``[namespace/]base[:version][@point]``.
    mode : {"a", "r+", "r"}
        "a" starts the version with an empty group if it doesn't exist.

    Returns
    -------
    VersionedStore
        A zarr store. Writes become visible to others with ``store.session.commit(message)``,
        or by themselves within a second.

    Examples
    --------
    >>> import hubzarr as hub
    >>> import zarr
    >>> store = hub.store("examples/store")
    >>> group = zarr.open_group(store)
    >>> group.create_array("x", data=np.arange(4))
    <Array ...>
    >>> store.session.commit("x").number
    1
    """
    if mode not in ("r", "r+", "a"):
        raise InvalidError(f"mode={mode!r} is unknown; expected 'a', 'r+' or 'r'")
    parsed = parse_name(name)
    storage = _storage(parsed, storage_options)
    version = parsed.version or DEFAULT_VERSION
    if mode == "a" and parsed.point is None:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        with contextlib.suppress(ExistsError):
            create_version(
                storage, version, None, author=get_config().author, message="created",
                name=parsed.repository, nodes={"": Node(group, "")},
            )  # fmt: skip
    return VersionedStore(_session(parsed, storage, "r" if mode == "r" else "r+", version))


def exists(name: str, *, storage_options: Options = None) -> bool:
    """Whether a name can be loaded; without a version, whether the repository has any.

    Examples
    --------
    >>> import hubzarr as hub
    >>> hub.exists("examples/nothing")
    False
    """
    parsed = parse_name(name)
    storage = _storage(parsed, storage_options)
    if parsed.version is None and parsed.point is None:
        return bool(existing_versions(storage))
    try:
        open_session(storage, parsed.version or DEFAULT_VERSION, parsed.point, mode="r")
    except NotFoundError:
        return False
    return True


def list(prefix: str = "", *, storage_options: Options = None) -> builtins.list[str]:
    """Names of the arrays and datasets under the configured root.

    Parameters
    ----------
    prefix : str
        A namespace to look into; everything by default.

    Returns
    -------
    list of str
        Sorted names, without versions; see `versions`.

    Examples
    --------
    >>> import hubzarr as hub
    >>> _ = hub.array((2,), "listed/one")
    >>> hub.list("listed")
    ['listed/one']
    """
    root = open_storage(get_config().root, dict(storage_options or {}))
    start = prefix.strip("/")
    if start:
        parse_name(start)
    found: builtins.list[str] = []
    pending = [start]
    while pending:
        folder = pending.pop()
        children = [c[:-1] for c in root.list_dir(folder) if c.endswith("/")]
        if "versions" in children and folder:
            found.append(folder)
            continue
        pending += [f"{folder}/{c}" if folder else c for c in children if not c.startswith(".")]
    return sorted(found)


def versions(name: str, *, storage_options: Options = None) -> builtins.list[VersionInfo]:
    """All versions of a repository.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.array((2,), "examples/several:v0")
    >>> _ = a.branch("v1")
    >>> [v.name for v in hub.versions("examples/several")]
    ['v0', 'v1']
    """
    return branching.versions(_storage(parse_name(name), storage_options))


def copy(source: str, target: str, *, storage_options: Options = None) -> Array:
    """Copy one version, or one point of it, to a new name: chunks as they are stored.

    Within one repository nothing is copied; the new version shares its chunks.

    Parameters
    ----------
    source : str
        ``[namespace/]base[:version][@point]``.
    target : str
        A name whose version doesn't exist yet; the source's version name by default.

    Raises
    ------
    ExistsError
        The target exists.

    Examples
    --------
    >>> import hubzarr as hub
    >>> _ = hub.from_numpy(np.arange(4), "examples/source")
    >>> hub.copy("examples/source", "examples/target:v1").sum()
    np.int64(6)
    """
    old, new = parse_name(source), _parsed(target, "copy to it")
    config = get_config()
    version = new.version or old.version or DEFAULT_VERSION
    origin = _session(old, _storage(old, storage_options), "r", old.version or DEFAULT_VERSION)
    storage = _storage(new, storage_options)
    if storage.url == origin.storage.url:
        create_version(
            storage, version, origin.manifest, author=config.author,
            message=f"copied from {source}", name=new.repository,
        )  # fmt: skip
    else:
        copy_version(
            origin, storage, version, author=config.author, message=f"copied from {source}",
            name=new.repository,
        )  # fmt: skip
    return Array(_session(new, storage, "r+", version), new.repository)


def rename(source: str, target: str, *, storage_options: Options = None) -> None:
    """Give a repository, or one version of it, another name.

    Parameters
    ----------
    source : str
        Without a version: the whole repository with its history moves. With one: that
        version gets another name in the same repository.
    target : str

    Examples
    --------
    >>> import hubzarr as hub
    >>> _ = hub.array((2,), "examples/old")
    >>> hub.rename("examples/old", "examples/new")
    >>> hub.exists("examples/old"), hub.exists("examples/new")
    (False, True)
    """
    old, new = _parsed(source, "rename it"), _parsed(target, "rename to it")
    storage = _storage(old, storage_options)
    if old.version is not None:
        if new.repository != old.repository or new.version is None:
            raise InvalidNameError(
                f"a version keeps its repository: rename {source!r} to "
                f"'{old.repository}:other', or copy it"
            )
        branching.rename_version(storage, old.version, new.version, get_config().author)
        return
    if new.version is not None:
        raise InvalidNameError(f"name a version on both sides or on none, not {target!r}")
    if not existing_versions(storage):
        raise NotFoundError(f"no array or dataset named {source!r}", name=source)
    destination = _storage(new, storage_options)
    if existing_versions(destination):
        raise ExistsError(f"{target!r} exists already: choose another name", name=target)
    for path in progress(storage.list_all(""), f"moving {source}"):
        data = storage.get(path)
        if data is not None:
            destination.put_atomic(path, data)
    storage.delete_dir("")


def delete(name: str, *, force: bool = False, storage_options: Options = None) -> None:
    """Delete one version, or without a version the repository with all of them.

    Parameters
    ----------
    name : str
    force : bool
        Delete sealed versions too.

    Raises
    ------
    NotFoundError
        There is nothing of that name.
    SealedError
        It is sealed, or a version in the repository is, and `force` is not set.

    Examples
    --------
    >>> import hubzarr as hub
    >>> _ = hub.array((2,), "examples/gone")
    >>> hub.delete("examples/gone")
    >>> hub.exists("examples/gone")
    False
    """
    parsed = _parsed(name, "delete it")
    storage = _storage(parsed, storage_options)
    author = get_config().author
    there = existing_versions(storage)
    if not there:
        raise NotFoundError(f"no array or dataset named {name!r}; see hub.list()", name=name)
    chosen = [m for m in there if parsed.version in (None, m.commit.version)]
    if not chosen:
        names = ", ".join(m.commit.version for m in there)
        raise NotFoundError(
            f"no version {parsed.version!r} of {parsed.repository}; versions there: {names}",
            name=name,
        )
    for manifest in chosen:
        branching.delete_version(storage, manifest.commit.version, author, force=force)
    if parsed.version is None:
        storage.delete_dir("")
