"""Arrays on a web server: everything reads, nothing writes, and errors say so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import ReadOnlyError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture
def url(tmp_path) -> Iterator[str]:
    """A web server with an array."""
    hub.from_numpy(np.arange(6), str(tmp_path / "a")).close()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def test_writes_are_refused_with_the_reason(url):
    a = hub.load(f"{url}/a")
    assert a[2:4].tolist() == [2, 3]
    with pytest.raises(ReadOnlyError, match="a web server, which only reads"):
        a[0] = 1
    for options in ({}, {"single_writer": True}):
        with pytest.raises(ReadOnlyError, match="a web server, which only reads"):
            hub.array((3,), f"{url}/new", storage_options=options)
    with pytest.raises(ReadOnlyError, match="a web server, which only reads"):
        hub.delete(f"{url}/a", force=True)


def test_copies_come_down_from_there(url, tmp_path):
    hub.clone(f"{url}/a", str(tmp_path / "clone"))
    clone = hub.load(str(tmp_path / "clone"))
    assert clone.commit_id == hub.load(f"{url}/a").commit_id
    assert clone.sum() == 15
    with pytest.raises(ReadOnlyError, match="a web server, which only reads"):
        hub.push(str(tmp_path / "clone"), f"{url}/b")
