"""Commits and Ctrl-C at bad moments of a move or a copy."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import ExistsError
from hubzarr.session import copying, open_session
from hubzarr.session.copying import move_repository
from hubzarr.session.transferring.carrying import Carrier
from hubzarr.session.transferring.contents import Item
from hubzarr.storage import open_storage
from tests.session.support import content, repository, write
from tests.transfer.support import check_whole, fresh


def test_a_commit_that_comes_while_a_repository_is_moved_goes_along(monkeypatch):
    source, target = repository((4, 2), "i4", (2, 2)), fresh()
    rest, late = copying._carry_rest, [7]

    def with_a_late_commit(*sides):
        rest(*sides)
        if late:
            session = open_session(source, "main")
            write(session, 0, late.pop())
            session.commit("late")

    monkeypatch.setattr(copying, "_carry_rest", with_a_late_commit)
    move_repository(source, target)
    np.testing.assert_array_equal(content(target, "main")[0], [7, 7])
    check_whole(target)
    assert list(source.list_all("")) == []


def test_ctrl_c_leaves_a_store_that_does_not_answer():
    stuck, answer, answered = threading.Event(), threading.Event(), []

    class Stuck:
        is_local = False
        concurrency = 4
        url = "stuck://x"

        def get(self, path):
            stuck.set()
            answered.append(answer.wait(20))
            return b"x"

    main = threading.get_ident()

    def interrupt():
        stuck.wait(20)
        time.sleep(0.3)  # until it waits
        signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    items = [Item(f"data/{i:016x}/c", 1, lambda data: None) for i in range(1, 4)]
    carrier = Carrier(Stuck(), open_storage("memory://carried"), ask_always=True)
    killer = threading.Thread(target=interrupt)
    killer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            carrier.carry(items)
        assert not answered
    finally:
        answer.set()
        killer.join()
        signal.signal(signal.SIGINT, before)


def test_a_repository_is_not_moved_onto_itself(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    hub.from_numpy(np.arange(4), str(tmp_path / "real/x")).close()
    with pytest.raises(ExistsError, match="the same place as"):
        hub.rename(str(tmp_path / "real/x"), str(tmp_path / "link/x"))
    assert hub.load(str(tmp_path / "real/x"))[:].compute().tolist() == [0, 1, 2, 3]
    hub.rename(str(tmp_path / "real/x"), str(tmp_path / "link/y"))
    assert hub.load(str(tmp_path / "real/y"))[:].compute().tolist() == [0, 1, 2, 3]
    assert not hub.exists(str(tmp_path / "real/x"))


@pytest.mark.parametrize("short_first", [False, True])
def test_a_name_that_is_a_namespace_too_goes_alone(short_first):
    names = ["ns/x", "ns"]
    for name in reversed(names) if short_first else names:
        hub.from_numpy(np.arange(4), name).close()
    hub.delete("ns")
    assert not hub.exists("ns")
    assert hub.load("ns/x").sum() == 6
    hub.rename("ns/x", "ns/x/y")
    hub.rename("ns/x/y", "ns")
    assert hub.load("ns").sum() == 6
    assert not hub.exists("ns/x")
    hub.delete("ns")
    assert not hub.exists("ns")
