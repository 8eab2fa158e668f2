"""Writing syncs by itself: in time, when handles are dropped, at exit; and failures surface."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hubzarr.codecs import array_document
from hubzarr.errors import StorageError
from hubzarr.history.heads import head
from hubzarr.session import autosync, create_repository, open_session
from hubzarr.storage import LocalStorage
from hubzarr.storage.base import storage_error
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.crash.mortal import values, write

ROOT = Path(__file__).parents[2]
ALWAYS = 1 << 30
PATIENCE = 20  # seconds; only to end a test that would hang


@pytest.fixture
def storage(tmp_path):
    made = FaultyStorage(LocalStorage(str(tmp_path / "repository")))
    create_repository(made, "main", array_document((64, 8), "i4", (1, 8)), author="a")
    return made


def newest(storage):
    return head(storage, "main").commit.number


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def disk_full():
    return storage_error(OSError(errno.ENOSPC, "full"), "write", "/disk/object")


def test_commits_by_itself_and_only_when_something_was_written(storage):
    session = open_session(storage, "main", sync_interval=0.05)
    for i in range(1, 4):
        write(session, (0, 0), i)
        session.touch()
        wait_until(lambda: newest(storage) == i)  # noqa: B023
        assert values(open_session(storage, "main"))[0, 0] == i
    time.sleep(0.2)
    assert newest(storage) == 3


def test_handle_dropped_without_close(storage):
    session = open_session(storage, "main", sync_interval=0.1)
    write(session, (0, 0), 5)
    session.touch()
    del session
    gc.collect()
    wait_until(lambda: newest(storage) == 1)
    assert values(open_session(storage, "main"))[0, 0] == 5


def test_transaction_suspends_it(storage):
    session = open_session(storage, "main", sync_interval=0.02)
    with session.transaction("both"):
        write(session, (0, 0), 1)
        session.touch()
        time.sleep(0.15)
        assert newest(storage) == 0
        write(session, (1, 0), 2)
        session.touch()
    assert newest(storage) == 1
    assert values(open_session(storage, "main"))[:2, 0].tolist() == [1, 2]
    write(session, (2, 0), 3)
    session.touch()
    wait_until(lambda: newest(storage) == 2)


def test_failure_surfaces_at_the_next_call_and_heals(storage):
    session = open_session(storage, "main", sync_interval=0.02)
    storage.schedule(Fault(verb="write", times=ALWAYS, error=disk_full))
    write(session, (0, 0), 1)
    session.touch()
    wait_until(lambda: session.failure is not None)
    with pytest.raises(StorageError, match="free some space"):
        session.array()
    write(session, (1, 0), 2)
    session.touch()
    storage.schedule()
    wait_until(lambda: newest(storage) >= 1 and not session.dirty)
    assert session.failure is None
    assert values(open_session(storage, "main"))[:2, 0].tolist() == [1, 2]


def test_commit_after_a_failure_is_the_next_attempt(storage):
    session = open_session(storage, "main", sync_interval=0.02)
    storage.schedule(Fault(verb="write", times=ALWAYS, error=disk_full))
    write(session, (0, 0), 1)
    session.touch()
    wait_until(lambda: session.failure is not None)
    storage.schedule()
    session.commit("now")  # does not raise what is over
    session.close()
    assert values(open_session(storage, "main"))[0, 0] == 1


def test_drain_says_what_could_not_be_stored(storage, capsys):
    session = open_session(storage, "main", sync_interval=600)
    storage.schedule(Fault(verb="write", times=ALWAYS, error=disk_full))
    write(session, (0, 0), 1)
    session.touch()
    autosync.drain()
    said = capsys.readouterr().err
    assert "NOT stored" in said
    assert "free some space" in said
    assert storage.url in said
    storage.schedule()
    session.commit("later")
    assert values(open_session(storage, "main"))[0, 0] == 1


START = """
import os, sys, threading, time
from hubzarr.session import open_session
from hubzarr.storage import LocalStorage
from hubzarr.storage.base import storage_error
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.crash.mortal import append, values, write
storage = FaultyStorage(LocalStorage(sys.argv[1]))
session = open_session(storage, "main", sync_interval=600)
"""
ENDINGS = {
    "end": "write(session, (slice(0, 64),), 1); write(session, (0, 0), 5); session.touch()",
    "dropped": "write(session, (0, 0), 5); session.touch(); del session",
    "exit": "write(session, (0, 0), 5); session.touch(); sys.exit(3)",
    "exception": "write(session, (0, 0), 5); session.touch(); raise ValueError('on purpose')",
    "late thread": """
def late():
    time.sleep(0.3)
    for row in range(64):
        write(session, (row, 0), 5)
    session.touch()
threading.Thread(target=late).start()
""",
    "while it syncs": """
session.sync_interval = 0.01
storage.schedule(Fault(verb="create", kind="delay", delay=0.5))
write(session, (0, 0), 5); session.touch()
while not storage.count("put"): time.sleep(0.01)
""",
}


def run(storage, script):
    return subprocess.run(
        [sys.executable, "-c", START + script, storage.inner.root],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_everything_is_committed_when_the_process_ends(storage, ending):
    done = run(storage, ENDINGS[ending])
    assert values(open_session(storage, "main"))[0, 0] == 5, done.stderr
    assert newest(storage) == 1
    assert done.returncode == {"exit": 3, "exception": 1}.get(ending, 0)
    if ending != "exception":
        assert done.stderr == ""


def test_process_that_cannot_store_says_so(storage):
    done = run(
        storage,
        """
full = lambda: storage_error(OSError(28, "full"), "write", "/disk/object")
write(session, (0, 0), 5); session.touch()
storage.schedule(Fault(verb="write", times=1 << 30, error=full))
""",
    )
    assert "NOT stored" in done.stderr
    assert "free some space" in done.stderr
    assert newest(storage) == 0
