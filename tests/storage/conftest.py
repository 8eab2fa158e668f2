"""Every kind of storage, fresh for each test.

To run the suite against one more store, add a function here; a server that speaks S3 is
used if HUBZARR_TEST_S3 names its endpoint.
"""

from __future__ import annotations

import os
import uuid

import pytest

from hubzarr.storage import FsspecStorage, LocalStorage, MemoryStorage, open_storage

# Read on import: each test runs without HUBZARR_ variables.
S3_ENDPOINT = os.environ.get("HUBZARR_TEST_S3")


def _local(tmp_path):
    return LocalStorage(str(tmp_path / "root"))


def _local_fsync(tmp_path):
    return LocalStorage(str(tmp_path / "root"), fsync=True)


def _memory(tmp_path):
    return MemoryStorage(f"test-{uuid.uuid4().hex}")


def _fsspec_memory(tmp_path):
    return FsspecStorage(f"memory://test-{uuid.uuid4().hex}")


def _fsspec_local(tmp_path):
    return FsspecStorage(f"file://{tmp_path.as_posix()}/root", single_writer=True)


def _s3(tmp_path):
    pytest.importorskip("s3fs")
    options = {"endpoint_url": S3_ENDPOINT, "key": "testing", "secret": "testing"}
    bucket = f"test-{uuid.uuid4().hex}"
    storage = open_storage(f"s3://{bucket}/root", options)
    storage._filesystem().call_s3("create_bucket", Bucket=bucket)
    return storage


KINDS = {
    "local": _local,
    "local-fsync": _local_fsync,
    "memory": _memory,
    "fsspec-memory": _fsspec_memory,
    "fsspec-local": _fsspec_local,
}
if S3_ENDPOINT:
    KINDS["s3"] = _s3


@pytest.fixture(params=list(KINDS))
def storage(request, tmp_path):
    made = KINDS[request.param](tmp_path)
    yield made
    if request.param == "memory":
        made.delete_dir("")
