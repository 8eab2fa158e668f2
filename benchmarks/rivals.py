"""Array libraries behind one small interface: hubzarr and those that it is compared with.

Only what is installed takes part. Libraries are imported when an adapter is made, so that
listing them is free.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util

import numpy as np

import hubzarr as hub
import hubzarr.api  # here, so that its import is part of no measurement
from hubzarr.engine import shared_cache

FUSED = "zarr.core.codec_pipeline.FusedCodecPipeline"


class Rival:
    """One library. `key` is a tuple of slices and integers, `codec` "zstd", "lz4" or "none"."""

    name = ""
    needs = ""
    codecs = ("zstd", "lz4", "none")
    shards = True

    def active(self):
        """A context in which the library's settings are in force."""
        return contextlib.nullcontext()

    def create(self, path, shape, dtype, chunks, codec="zstd", shards=None):
        """Create an array at a path and return a handle on it."""
        raise AttributeError(f"{self.name} creates no arrays")

    def open(self, path, write=False):
        """Open an array as a process that never saw it would."""
        raise AttributeError(f"{self.name} opens no arrays")

    def write(self, a, key, data):
        """Assign to a selection."""
        a[key] = data

    def read(self, a, key):
        """A selection as a NumPy array."""
        return a[key]

    def finish(self, a):
        """Store what is not stored yet."""

    def append(self, a, rows):
        """Rows at the end; returns the handle to go on with."""
        a.append(rows)
        return a

    def commit(self, a):
        """Store, and name the state if the library can; returns the handle to go on with."""
        self.finish(a)
        return a

    def close(self, a):
        """Let go of a handle."""


class Hubzarr(Rival):
    """Defaults: checksums on every chunk, statistics on every write, automatic syncs."""

    name = needs = "hubzarr"

    def create(self, path, shape, dtype, chunks, codec="zstd", shards=None):
        return hub.array(
            shape, path + "/:v0", dtype=dtype, chunks=chunks, shards=shards, codec=codec
        )

    def open(self, path, write=False):
        shared_cache.clear()  # decoded chunks of this process: others begin without any too
        return hub.load(path + "/:v0", mode="r+" if write else "r")

    def read(self, a, key):
        return np.asarray(a[key])

    def finish(self, a):
        a.flush()

    def commit(self, a):
        a.commit("benchmark")
        return a

    def close(self, a):
        a.close()


class Zarr(Rival):
    """zarr-python as it comes."""

    name = needs = "zarr"
    pipeline = None

    def active(self):
        if self.pipeline is None:
            return contextlib.nullcontext()
        import zarr

        return zarr.config.set({"codec_pipeline.path": self.pipeline})

    def create(self, path, shape, dtype, chunks, codec="zstd", shards=None):
        return self._create(path, None, shape, dtype, chunks, codec, shards)

    def _create(self, store, name, shape, dtype, chunks, codec, shards):
        import zarr

        codecs = zarr.codecs
        compressors = {
            "zstd": lambda: (codecs.ZstdCodec(level=3),),
            "lz4": lambda: (codecs.BloscCodec(cname="lz4", shuffle="noshuffle"),),
            "none": lambda: None,
        }[codec]()
        return zarr.create_array(
            store=store, name=name, shape=shape, dtype=dtype, chunks=chunks, shards=shards,
            compressors=compressors, fill_value=0,
        )  # fmt: skip

    def open(self, path, write=False):
        import zarr

        return zarr.open_array(path, mode="r+" if write else "r")


class ZarrFused(Zarr):
    """zarr-python with the pipeline that 3.4 offers as an option."""

    name = "zarr-fused"
    pipeline = FUSED


class Zarrs(Zarr):
    """zarr-python with the pipeline written in Rust."""

    name = "zarr-zarrs"
    needs = "zarrs"
    pipeline = "zarrs.ZarrsCodecPipeline"

    def active(self):
        import zarrs  # noqa: F401  (registers the pipeline)

        return super().active()


class TensorStore(Rival):
    """Zarr v3 on files, without fsync as all others here; `txn` buffers in a transaction."""

    name = needs = "tensorstore"
    transaction = False

    def __init__(self):
        self._open = {}

    def _context(self):
        import tensorstore as ts

        return ts.Context({"file_io_sync": False})

    def _spec(self, path):
        return {"driver": "zarr3", "kvstore": {"driver": "file", "path": path + "/"}}

    def _codecs(self, dtype, codec):
        endian = {"configuration": {"endian": "little"}} if np.dtype(dtype).itemsize > 1 else {}
        chain = [{"name": "bytes", **endian}]
        if codec == "zstd":
            chain.append({"name": "zstd", "configuration": {"level": 3, "checksum": False}})
        elif codec == "lz4":
            chain.append({"name": "blosc", "configuration": {
                "cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "typesize": 1,
                "blocksize": 0}})  # fmt: skip
        return chain

    def create(self, path, shape, dtype, chunks, codec="zstd", shards=None):
        import tensorstore as ts

        chain = self._codecs(dtype, codec)
        if shards is not None:
            index = [*self._codecs("u8", "none"), {"name": "crc32c"}]
            chain = [{"name": "sharding_indexed", "configuration": {
                "chunk_shape": list(chunks), "codecs": chain, "index_codecs": index}}]  # fmt: skip
        metadata = {
            "shape": list(shape),
            "chunk_grid": {
                "name": "regular", "configuration": {"chunk_shape": list(shards or chunks)},
            },
            "data_type": np.dtype(dtype).name,
            "codecs": chain,
            "fill_value": 0,
        }  # fmt: skip
        spec = {**self._spec(path), "metadata": metadata}
        return self._begun(ts.open(spec, create=True, context=self._context()).result())

    def _begun(self, base):
        """A handle on which writes wait for `finish`, if they shall."""
        import tensorstore as ts

        if not self.transaction:
            return base
        handle = base.with_transaction(ts.Transaction())
        self._open[id(handle)] = base, handle.transaction
        return handle

    def open(self, path, write=False):
        import tensorstore as ts

        base = ts.open(self._spec(path), context=self._context()).result()
        return self._begun(base) if write else base

    def write(self, a, key, data):
        a[key].write(data).result()

    def read(self, a, key):
        return a[key].read().result()

    def finish(self, a):
        _, transaction = self._open.pop(id(a), (None, None))
        if transaction is not None:
            transaction.commit_async().result()

    def append(self, a, rows):
        before = a.shape[0]
        grown = a.resize(
            exclusive_max=[before + len(rows), *a.shape[1:]], expand_only=True
        ).result()
        grown[before:].write(rows).result()
        if id(a) in self._open:
            self._open[id(grown)] = self._open.pop(id(a))
        return grown


class TensorStoreTransaction(TensorStore):
    """TensorStore with everything between two `finish` in one transaction."""

    name = "tensorstore-txn"
    transaction = True

    def commit(self, a):
        base, _ = self._open[id(a)]
        self.finish(a)
        if a.shape != base.shape:  # the old handle keeps its bounds
            base = base.resolve(fix_resizable_bounds=False).result()
        return self._begun(base)


class TensorStoreOcdbt(TensorStoreTransaction):
    """TensorStore's versioned key-value store, tuned for small commits (nodes of 64 KB)."""

    name = "tensorstore-ocdbt"

    def _spec(self, path):
        config = {"max_inline_value_bytes": 100, "max_decoded_node_bytes": 65536}
        base = {"driver": "ocdbt", "base": f"file://{path}/", "config": config}
        return {"driver": "zarr3", "kvstore": base}


class Icechunk(Zarr):
    """zarr-python over an Icechunk repository, one commit at the end."""

    name = needs = "icechunk"

    def __init__(self):
        import icechunk

        self._icechunk = icechunk
        icechunk.set_logs_filter("error")
        self._sessions = {}

    def create(self, path, shape, dtype, chunks, codec="zstd", shards=None):
        storage = self._icechunk.local_filesystem_storage(path)
        repository = self._icechunk.Repository.create(storage)
        session = repository.writable_session("main")
        a = self._create(session.store, "a", shape, dtype, chunks, codec, shards)
        self._sessions[id(a)] = repository, session
        return a

    def open(self, path, write=False):
        import zarr

        storage = self._icechunk.local_filesystem_storage(path)
        repository = self._icechunk.Repository.open(storage)
        if not write:
            store = repository.readonly_session("main").store
            return zarr.open_array(store, path="a", mode="r")
        session = repository.writable_session("main")
        a = zarr.open_array(session.store, path="a", mode="r+")
        self._sessions[id(a)] = repository, session
        return a

    def finish(self, a):
        _, session = self._sessions.pop(id(a), (None, None))
        if session is not None and session.has_uncommitted_changes:
            session.commit("benchmark")

    def commit(self, a):
        import zarr

        repository, session = self._sessions.pop(id(a))
        session.commit("benchmark")
        session = repository.writable_session("main")
        a = zarr.open_array(session.store, path="a", mode="r+")
        self._sessions[id(a)] = repository, session
        return a

    def repository(self, a):
        """What branches and compares."""
        return self._sessions[id(a)][0]


class H5py(Rival):
    """One HDF5 file with a chunk cache of 64 MB; zstd and lz4 where hdf5plugin is there."""

    name = needs = "h5py"
    shards = False

    def __init__(self):
        import h5py

        self._h5py = h5py
        self._filters = {"none": {}}
        if importlib.util.find_spec("hdf5plugin"):
            import hdf5plugin

            self._filters |= {"zstd": hdf5plugin.Zstd(clevel=3), "lz4": hdf5plugin.LZ4()}
        self.codecs = tuple(self._filters)

    def _file(self, path, mode):
        return self._h5py.File(path + ".h5", mode, libver="latest", rdcc_nbytes=64 << 20)

    def create(self, path, shape, dtype, chunks, codec="zstd", shards=None):
        grow = (None, *shape[1:])
        return self._file(path, "w").create_dataset(
            "a", shape, dtype, chunks=chunks, maxshape=grow, **self._filters[codec]
        )

    def open(self, path, write=False):
        return self._file(path, "r+" if write else "r")["a"]

    def finish(self, a):
        a.file.flush()

    def append(self, a, rows):
        before = a.shape[0]
        a.resize(before + len(rows), axis=0)
        a[before:] = rows
        return a

    def close(self, a):
        a.file.close()


class TileDB(Rival):
    """A dense TileDB array."""

    name = needs = "tiledb"
    shards = False

    def create(self, path, shape, dtype, chunks, codec="zstd", shards=None):
        import tiledb

        filters = {"zstd": [tiledb.ZstdFilter(3)], "lz4": [tiledb.LZ4Filter()], "none": []}
        axes = [
            tiledb.Dim(domain=(0, n - 1), tile=min(c, n), dtype=np.int64)
            for n, c in zip(shape, chunks, strict=True)
        ]
        attribute = tiledb.Attr(dtype=dtype, filters=tiledb.FilterList(filters[codec]))
        schema = tiledb.ArraySchema(domain=tiledb.Domain(*axes), attrs=[attribute])
        tiledb.DenseArray.create(path, schema)
        return tiledb.open(path, "w")

    def open(self, path, write=False):
        import tiledb

        return tiledb.open(path, "w" if write else "r")

    def close(self, a):
        a.close()


KINDS = (
    Hubzarr, Zarr, ZarrFused, Zarrs, TensorStore, TensorStoreTransaction, TensorStoreOcdbt,
    Icechunk, H5py, TileDB,
)  # fmt: skip


def installed(only=None):
    """The rivals that can be imported here, hubzarr first."""
    kinds = [kind for kind in KINDS if importlib.util.find_spec(kind.needs)]
    return {kind.name: kind() for kind in kinds if only is None or kind.name in only}


def versions():
    """Version of every distribution that takes part."""
    out = {}
    for name in ("hubzarr", "numpy", "zarr", "numcodecs", "dask", *(k.needs for k in KINDS)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            out[name] = importlib.metadata.version(name)
    return out
