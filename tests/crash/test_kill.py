"""kill -9 before, in and after each storage operation of each kind of change."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest

from hubzarr.codecs import array_document
from hubzarr.engine import shared_cache
from hubzarr.errors import NotFoundError, SealedError
from hubzarr.history.heads import head
from hubzarr.session import create_repository, create_version, open_session
from hubzarr.storage import LocalStorage
from tests.crash.mortal import WRITES, MortalStorage, append, content, values, write

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")

# A grid of that many cells has a chunk table that needs pages.
SHAPE, CHUNKS = (200, 4), (1, 2)


def prepare(storage, commits=2):
    document = array_document(SHAPE, "i2", CHUNKS) | {"attributes": {"kept": 1}}
    create_repository(storage, "main", document, author="a")
    session = open_session(storage, "main")
    for i in range(commits):
        write(session, (slice(10 * i, 10 * i + 3),), i + 1)
        session.commit(f"{i}")


def nothing(storage):
    """An empty directory."""


def empty(storage):
    prepare(storage, commits=0)


def seven(storage):
    prepare(storage, commits=7)


def create(storage):
    storage.armed = True
    create_repository(storage, "main", array_document(SHAPE, "i2", CHUNKS), author="a")


def change(storage):
    session = open_session(storage, "main")
    storage.armed = True
    write(session, (0, 0), 77)
    session.commit("one chunk")


def change_much(storage):
    session = open_session(storage, "main")
    storage.armed = True
    write(session, (slice(5, 9),), 78)
    session.commit("eight chunks, each written whole")


def rows(storage):
    session = open_session(storage, "main")
    storage.armed = True
    append(session, 3, 79)
    session.commit("rows")


def attribute(storage):
    session = open_session(storage, "main")
    storage.armed = True
    session.array().document["attributes"]["new"] = "value"
    session.commit("an attribute")


def rebase(storage):
    """Somebody else was quicker, in the same chunk."""
    session, other = open_session(storage, "main"), open_session(storage, "main")
    write(session, (0, 0), 80)
    write(other, (0, 1), 81)
    other.commit("other")
    storage.armed = True
    session.commit("mine")


def rebase_rows(storage):
    """Somebody else was quicker to append."""
    session, other = open_session(storage, "main"), open_session(storage, "main")
    append(session, 2, 82)
    append(other, 3, 83)
    other.commit("other")
    storage.armed = True
    session.commit("mine")


def seal(storage):
    session = open_session(storage, "main")
    storage.armed = True
    session.commit("done", state="sealed")


def branch(storage):
    newest = head(storage, "main")
    storage.armed = True
    create_version(storage, "dev", newest, author="a")


CASES = [
    (nothing, create),
    (empty, change),
    (prepare, change),
    (seven, change),  # commit 8 writes the hint
    (prepare, change_much),
    (prepare, rows),
    (prepare, attribute),
    (prepare, rebase),
    (prepare, rebase_rows),
    (prepare, seal),
    (prepare, branch),
]


def in_child(work):
    """Run `work` in a forked process; returns the status and what it wrote to its pipe."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.close(reading)
            os.write(writing, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    return os.waitpid(pid, 0)[1], answer


def run(root, act, at=None, when="before"):
    def work():
        shared_cache.clear()  # the copies of a repository have its write ids
        storage = MortalStorage(str(root), at, when)
        act(storage)
        return storage.operations

    return in_child(work)


def others_did(act):
    """Commits that the scenario itself makes before the storage can kill."""
    return 1 if act in (rebase, rebase_rows) else 0


def check_goes_on(root):
    """Whatever happened, a new process works with the repository."""
    storage = LocalStorage(str(root))
    try:
        session = open_session(storage, "main")
    except NotFoundError:
        create_repository(storage, "main", array_document(SHAPE, "i2", CHUNKS), author="a")
        session = open_session(storage, "main")
    number = session.manifest.commit.number
    if session.manifest.sealed:
        with pytest.raises(SealedError):
            session.commit("no more")
        return
    expected = values(session)
    write(session, (1, 1), 99)
    expected[1, 1] = 99
    assert session.commit("later").number == number + 1
    assert (values(open_session(storage, "main")) == expected).all()


def ways(verb):
    if verb not in WRITES:
        return ("before",)  # what is stored is the same after it
    return (
        ("before", "torn", "linked", "after") if verb == "create" else ("before", "torn", "after")
    )


@pytest.mark.parametrize(("start", "act"), CASES, ids=lambda f: f.__name__)
def test_kill_at_every_operation(tmp_path, start, act):
    origin = tmp_path / "origin"
    origin.mkdir()
    start(LocalStorage(str(origin)))
    before = content(LocalStorage(str(origin)))
    whole = tmp_path / "whole"
    shutil.copytree(origin, whole)
    status, answer = run(whole, act)
    assert status == 0
    operations = json.loads(answer)
    after = content(LocalStorage(str(whole)))
    assert len(after) == len(before) + 1 + others_did(act)
    assert any(verb == "create" for verb, _ in operations)
    seen = set()
    for at, (verb, _) in enumerate(operations):
        for when in ways(verb):
            root = tmp_path / f"{at}-{when}"
            shutil.copytree(origin, root)
            status, _ = run(root, act, at, when)
            assert os.WIFSIGNALED(status), (at, when)
            assert os.WTERMSIG(status) == signal.SIGKILL
            found = content(LocalStorage(str(root)))
            # The states of before, unchanged; the new one, if any, complete.
            assert before.items() <= found.items() <= after.items(), (at, verb, when)
            assert len(after) - len(found) in (0, 1)
            seen.add(len(found) == len(after))
            check_goes_on(root)
            shutil.rmtree(root)
    # One beyond the last operation nobody dies: the sweep has left none out.
    again = tmp_path / "again"
    shutil.copytree(origin, again)
    status, answer = run(again, act, len(operations))
    assert status == 0
    assert len(json.loads(answer)) == len(operations)
    assert seen == {False, True}
