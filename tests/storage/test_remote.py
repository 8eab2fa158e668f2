"""What the fsspec storage does about stores that differ."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import uuid

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from hubzarr.errors import (
    InvalidError,
    InvalidTypeError,
    StorageError,
    UnsupportedError,
)
from hubzarr.storage import FsspecStorage, MemoryStorage, open_storage
from hubzarr.storage.network import creating
from hubzarr.storage.network.connect import without_secrets


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(creating.time, "sleep", lambda seconds: None)
    return FsspecStorage(f"memory://test-{uuid.uuid4().hex}")


def _answer(monkeypatch, errors, *, stores):
    """Let creates answer with errors, whether or not they stored the object."""
    pipe_file = MemoryFileSystem.pipe_file
    calls = []

    def pipe(self, path, value, mode="overwrite", **options):
        calls.append(path)
        error = errors.pop(0) if errors else None
        if error is None or stores:
            pipe_file(self, path, value, mode="overwrite" if error else mode, **options)
        if error is not None:
            raise error

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", pipe)
    return calls


DOUBT = [
    FileExistsError(),
    OSError(errno.EINVAL, "precondition failed"),
    OSError(errno.EBUSY, "conflicting operation"),
    TimeoutError(),
    RuntimeError("connection reset"),
]


@pytest.mark.parametrize("error", DOUBT, ids=repr)
def test_a_create_whose_answer_was_lost_was_ours(store, monkeypatch, error):
    _answer(monkeypatch, [error], stores=True)
    assert store.create("x", b"mine") is True
    assert store.get("x") == b"mine"


@pytest.mark.parametrize("error", DOUBT, ids=repr)
def test_a_create_that_others_won(store, monkeypatch, error):
    store.put("x", b"theirs")
    _answer(monkeypatch, [error], stores=False)
    assert store.create("x", b"mine") is False
    assert store.get("x") == b"theirs"


@pytest.mark.parametrize("error", DOUBT[1:], ids=repr)
def test_a_create_that_failed_is_tried_again(store, monkeypatch, error):
    calls = _answer(monkeypatch, [error, error], stores=False)
    assert store.create("x", b"mine") is True
    assert len(calls) == 3


def test_a_create_that_always_fails(store, monkeypatch):
    calls = _answer(monkeypatch, [OSError(errno.EINVAL, "bad request")] * 99, stores=False)
    with pytest.raises(StorageError, match=r"can't write 'memory://.*/x': .*bad request"):
        store.create("x", b"mine")
    assert len(calls) == 5


@pytest.mark.parametrize("error", [PermissionError("denied"), FileNotFoundError("no bucket")])
def test_a_create_without_rights_is_not_repeated(store, monkeypatch, error):
    calls = _answer(monkeypatch, [error], stores=False)
    with pytest.raises(StorageError):
        store.create("x", b"mine")
    assert len(calls) == 1


def test_stores_without_atomic_create(tmp_path):
    storage = FsspecStorage(f"file://{tmp_path}")
    assert storage.atomic_create is False
    with pytest.raises(UnsupportedError, match="single_writer=True"):
        storage.create("x", b"1")
    alone = FsspecStorage(f"file://{tmp_path}", single_writer=True)
    assert alone.create("d/x", b"1") is True
    assert alone.create("d/x", b"2") is False
    assert os.listdir(tmp_path / "d") == ["x"]


SECRETS = {
    "key": "AKIA",
    "secret": "hunter2",
    "token": {"refresh_token": "hunter2"},
    "account_key": "hunter2",
    "sas_token": "hunter2",
    "connection_string": "hunter2",
    "password": "hunter2",
    "client_kwargs": {"aws_secret_access_key": "hunter2", "region_name": "eu"},
    "headers": {"Authorization": "hunter2"},
    "session": object(),
}


def test_secrets_are_not_pickled():
    public = {"endpoint_url": "http://x", "anon": False, "project": "p"}
    kept = without_secrets(SECRETS | public)
    assert "hunter2" not in repr(kept)
    assert "AKIA" not in repr(kept)
    assert kept.pop("client_kwargs") == {"region_name": "eu"}
    assert {key: kept[key] for key in public} == public
    assert without_secrets({"token": "anon"}) == {"token": "anon"}


def test_tables_of_secrets_and_urls_with_passwords_are_not_pickled():
    options = {
        "headers": {"X-Auth": "hidden", "Accept": "*/*"},
        "client_kwargs": {"headers": {"X-Api-Key": "hidden"}, "verify": True},
        "session_kwargs": {"headers": {"x-goog-key": "hidden"}},
        "token": {"type": "service_account", "private_key": "hidden"},
        "config_kwargs": {"proxies": {"http": "http://me:hidden@proxy"}, "user_agent": "lab"},
    }
    assert without_secrets(options) == {
        "client_kwargs": {"verify": True},
        "config_kwargs": {"proxies": {}, "user_agent": "lab"},
    }


def test_a_storage_with_secrets_shows_none():
    options = {key: value for key, value in SECRETS.items() if key != "session"}
    storage = FsspecStorage("memory://secret-test", options)
    data = pickle.dumps(storage)
    assert b"hunter2" not in data
    assert b"AKIA" not in data
    assert "hunter2" not in repr(storage) + storage.url


@pytest.mark.parametrize("url", ["ftp://me:hunter2@host/x", "https://host/x?token=hunter2"])
def test_urls_with_secrets_are_refused(url):
    with pytest.raises(InvalidError, match="password or query") as caught:
        open_storage(url)
    assert "hunter2" not in str(caught.value)


def test_unknown_protocol():
    with pytest.raises(UnsupportedError, match="can't open 'nosuch://x'"):
        open_storage("nosuch://x")


def test_missing_extra(monkeypatch):
    def missing(*args, **options):
        raise ImportError("Please install adlfs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UnsupportedError, match=r"pip install 'hubzarr\[azure\]'"):
        open_storage("abfs://container/x")


@pytest.mark.parametrize("url", ["", "memory://x"])
def test_bad_calls(url):
    with pytest.raises(InvalidError):
        open_storage(url, {"fsink": True})
    with pytest.raises(InvalidTypeError):
        open_storage(7)


def test_every_kind_is_found(tmp_path):
    assert isinstance(open_storage("memory://x"), MemoryStorage)
    assert open_storage(tmp_path, {"fsync": True}).fsync is True
    assert open_storage(f"FILE://{tmp_path}").is_local


def _fork(storage, answers):
    storage.put("from-child", b"1")
    answers.put((storage.get("a"), storage._pid == os.getpid()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_opens_its_own_filesystem(tmp_path):
    storage = FsspecStorage(f"file://{tmp_path}", single_writer=True)
    storage.put("a", b"1")
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_fork, args=(storage, answers))
    child.start()
    assert answers.get(timeout=30) == (b"1", True)
    child.join(30)
    assert storage.get("from-child") == b"1"
