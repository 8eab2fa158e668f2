"""Every kind of storage, fresh for each test.

To run the suite against one more store, add a function here. To run it against a store of
your own, let HUBZARR_TEST_URL name a folder in it that is yours to fill, and give secrets in
the environment or the config file: each test works below that URL and deletes what it wrote.
"""

from __future__ import annotations

import os
import uuid

import pytest

from hubzarr.storage import FsspecStorage, LocalStorage, MemoryStorage, open_storage
from tests.storage.google_xml import google_xml_server

# Read on import: each test runs without HUBZARR_ variables.
OWN_URL = os.environ.get("HUBZARR_TEST_URL")


def _local(request, tmp_path):
    return LocalStorage(str(tmp_path / "root"))


def _local_fsync(request, tmp_path):
    return LocalStorage(str(tmp_path / "root"), fsync=True)


def _memory(request, tmp_path):
    storage = MemoryStorage(f"test-{uuid.uuid4().hex}")
    request.addfinalizer(lambda: storage.delete_dir(""))
    return storage


def _fsspec_memory(request, tmp_path):
    return FsspecStorage(f"memory://test-{uuid.uuid4().hex}")


def _fsspec_local(request, tmp_path):
    return FsspecStorage(f"file://{tmp_path.as_posix()}/root", single_writer=True)


def _own(request, tmp_path):
    storage = open_storage(f"{OWN_URL.rstrip('/')}/test-{uuid.uuid4().hex}")
    request.addfinalizer(lambda: storage.delete_dir(""))
    return storage


def _served(server, transport):
    """One storage for all tests, as clients take long to open; each test leaves it empty."""

    def make(request, tmp_path):
        # Pickled storages carry no secrets: others find them here.
        environment = request.getfixturevalue("monkeypatch")
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        store = request.getfixturevalue(server)
        opened = request.getfixturevalue("opened")
        if (server, transport) not in opened:
            options = store.options | {"transport": transport}
            opened[server, transport] = open_storage(store.url("root"), options)
        storage = opened[server, transport]
        request.addfinalizer(lambda: storage.delete_dir(""))
        return storage

    return make


def _google_xml(request, tmp_path):
    """Google's store as obstore asks it, which fake-gcs-server does not understand."""
    pytest.importorskip("obstore")
    options = {"endpoint_url": request.getfixturevalue("google_xml"), "token": "anon"}
    storage = open_storage("gs://lab/root", options | {"transport": "obstore"})
    request.addfinalizer(lambda: storage.delete_dir(""))
    return storage


@pytest.fixture(scope="session")
def google_xml():
    with google_xml_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def opened():
    return {}


KINDS = {
    "local": _local,
    "local-fsync": _local_fsync,
    "memory": _memory,
    "fsspec-memory": _fsspec_memory,
    "fsspec-local": _fsspec_local,
    "s3-fsspec": _served("s3", "fsspec"),
    "moto-fsspec": _served("s3_moto", "fsspec"),
    "s3-obstore": _served("s3", "obstore"),
    "moto-obstore": _served("s3_moto", "obstore"),
    # obstore does not speak with this server, only with the real one.
    "gcs-fsspec": _served("gcs", "fsspec"),
    "gcs-obstore": _google_xml,
}
if OWN_URL:
    KINDS["own"] = _own


# Slow, as it closes every connection: what these add is errors as those of AWS.
EXACT_ERRORS = {"moto-fsspec", "moto-obstore"}


def pytest_generate_tests(metafunc):
    if "storage" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        few = "parametrize" in marks or hasattr(metafunc.function, "hypothesis")
        chosen = [kind for kind in KINDS if not (few and kind in EXACT_ERRORS)]
        slow = pytest.mark.slow
        kinds = [pytest.param(k, marks=slow) if k in EXACT_ERRORS else k for k in chosen]
        metafunc.parametrize("storage", kinds, indirect=True)


@pytest.fixture
def storage(request, tmp_path):
    return KINDS[request.param](request, tmp_path)
