"""Libraries on an S3 server behind one small interface."""

from __future__ import annotations

import importlib.util
import os

import numpy as np

import hubzarr as hub
import hubzarr.api
from hubzarr.engine import shared_cache

BUCKET = "bench"
KEY = SECRET = "testing"
REGION = "us-east-1"
#: Requests that each library may have under way at a time.
IN_FLIGHT = 64


class Rival:
    """One library, and the server's endpoint."""

    name = ""
    needs = ()
    versioned = False

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def active(self):
        import contextlib

        return contextlib.nullcontext()

    def write(self, array, data):
        """Store all elements, and make them durable."""
        array[:] = data

    def write_each(self, array, data):
        """The same, row by row."""
        for i, row in enumerate(data):
            array[i] = row

    def read(self, array):
        return array[:]

    def first(self, where):
        return self.open(where)[7]

    def mean(self, where):
        """The mean by dask, as users do it."""
        import dask.array as da

        array = self.open(where)
        return float(da.from_array(array, chunks=(64, -1)).mean().compute(num_workers=16))

    def forget(self):
        """Drop what the process keeps."""


class Hubzarr(Rival):
    name = "hubzarr"
    versioned = True
    transport = "auto"

    def _options(self):
        return {"endpoint_url": self.endpoint, "key": KEY, "secret": SECRET,
                "transport": self.transport}  # fmt: skip

    def create(self, where, shape, dtype, chunks):
        return hub.array(
            shape, f"s3://{BUCKET}/{self.name}/{where}", dtype=dtype, chunks=chunks,
            shards=None, codec=None, storage_options=self._options(),
        )  # fmt: skip

    def open(self, where):
        url = f"s3://{BUCKET}/{self.name}/{where}"
        return hub.load(url, mode="r", storage_options=self._options())

    def write(self, array, data):
        array[:] = data
        array.commit("written")

    fill = write

    def write_each(self, array, data):
        with array.transaction("written"):
            for i, row in enumerate(data):
                array[i] = row

    def read(self, array):
        shared_cache.clear()
        return array[:].compute()

    def first(self, where):
        return self.open(where)[7].compute()

    def change(self, array, row):
        array[row] = np.random.default_rng().random(4, "f4")
        array.commit("changed")
        return array

    def mean(self, where):
        return float(self.open(where).mean())

    def forget(self):
        shared_cache.clear()


class HubzarrS3fs(Hubzarr):
    name = "hubzarr-s3fs"
    needs = ("s3fs",)
    transport = "fsspec"


class Zarr(Rival):
    """zarr on obstore."""

    name = "zarr-obstore"
    needs = ("obstore",)

    def _store(self, where, read_only=False):
        import zarr
        from obstore.store import S3Store
        from zarr.storage import ObjectStore

        zarr.config.set({"async.concurrency": IN_FLIGHT})
        return ObjectStore(
            S3Store(
                BUCKET, prefix=f"zarr/{where}", endpoint=self.endpoint, access_key_id=KEY,
                secret_access_key=SECRET, region=REGION,
                client_options={"allow_http": True, "pool_max_idle_per_host": "256"},
            ),
            read_only=read_only,
        )  # fmt: skip

    def create(self, where, shape, dtype, chunks):
        import zarr

        return zarr.create_array(
            self._store(where), shape=shape, dtype=dtype, chunks=chunks, compressors=None
        )

    def open(self, where):
        import zarr

        return zarr.open_array(self._store(where, True), mode="r")


class ZarrS3fs(Zarr):
    """zarr on s3fs, as it comes."""

    name = "zarr-s3fs"
    needs = ("s3fs",)

    def _store(self, where, read_only=False):
        import s3fs
        import zarr
        from zarr.storage import FsspecStore

        zarr.config.set({"async.concurrency": IN_FLIGHT})
        files = s3fs.S3FileSystem(
            key=KEY, secret=SECRET, endpoint_url=self.endpoint, asynchronous=True,
            config_kwargs={"max_pool_connections": IN_FLIGHT}, use_listings_cache=False,
        )  # fmt: skip
        return FsspecStore(files, path=f"{BUCKET}/zarr-s3fs/{where}", read_only=read_only)


class Icechunk(Rival):
    name = "icechunk"
    needs = ("icechunk",)
    versioned = True

    def _storage(self, where):
        import icechunk
        import zarr

        zarr.config.set({"async.concurrency": IN_FLIGHT})
        return icechunk.s3_storage(
            bucket=BUCKET, prefix=f"icechunk/{where}", region=REGION, endpoint_url=self.endpoint,
            allow_http=True, force_path_style=True, access_key_id=KEY, secret_access_key=SECRET,
        )  # fmt: skip

    def create(self, where, shape, dtype, chunks):
        import icechunk
        import zarr

        session = icechunk.Repository.create(self._storage(where)).writable_session("main")
        array = zarr.create_array(
            session.store, name="a", shape=shape, dtype=dtype, chunks=chunks, compressors=None
        )
        return where, session, array

    def open(self, where):
        import icechunk
        import zarr

        session = icechunk.Repository.open(self._storage(where)).readonly_session("main")
        return zarr.open_group(session.store, mode="r")["a"]

    def write(self, array, data):
        array[2][:] = data
        array[1].commit("written")

    fill = write

    def write_each(self, array, data):
        for i, row in enumerate(data):
            array[2][i] = row
        array[1].commit("written")

    def change(self, array, row):
        import icechunk
        import zarr

        where, session, _ = array
        if session.read_only:
            session = icechunk.Repository.open(self._storage(where)).writable_session("main")
        changed = zarr.open_group(session.store)["a"]
        changed[row] = np.random.default_rng().random(4, "f4")
        session.commit("changed")
        return where, session, changed


class TensorStore(Rival):
    name = "tensorstore"
    needs = ("tensorstore",)

    def _open(self, where, **more):
        import tensorstore as ts

        os.environ.update(
            AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION=REGION,
            AWS_EC2_METADATA_DISABLED="true",
        )  # fmt: skip
        spec = {
            "driver": "zarr3",
            "kvstore": {
                "driver": "s3", "bucket": BUCKET, "path": f"tensorstore/{where}/",
                "endpoint": self.endpoint, "aws_region": REGION,
            },
            "context": {"s3_request_concurrency": {"limit": IN_FLIGHT}},
        }  # fmt: skip
        return ts.open(spec, **more).result()

    def create(self, where, shape, dtype, chunks):
        import tensorstore as ts

        layout = ts.ChunkLayout(chunk_shape=chunks)
        return self._open(
            where, create=True, dtype=ts.dtype(np.dtype(dtype).name), shape=shape,
            chunk_layout=layout,
        )  # fmt: skip

    def open(self, where):
        return self._open(where, open=True, read=True)

    def write(self, array, data):
        array.write(data).result()

    def write_each(self, array, data):
        import tensorstore as ts

        with ts.Transaction() as transaction:
            for i, row in enumerate(data):
                array.with_transaction(transaction)[i] = row

    def read(self, array):
        return array.read().result()

    def first(self, where):
        return self.open(where)[7].read().result()

    def mean(self, where):
        array = self.open(where)
        return float(np.mean(array.read().result(), dtype="f8"))


def installed(endpoint):
    """The libraries that are installed here."""
    kinds = (Hubzarr, HubzarrS3fs, TensorStore, Icechunk, Zarr, ZarrS3fs)
    return [
        kind(endpoint) for kind in kinds
        if all(importlib.util.find_spec(name) is not None for name in kind.needs)
    ]  # fmt: skip
