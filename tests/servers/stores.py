"""What a test gets of an object store: fresh buckets, options, and a proxy in front of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.servers.proxy import CONTROL

_ROOT = Path(__file__).resolve().parents[2]


class ObjectServer:
    """An object store on this machine.

    Attributes
    ----------
    protocol : str
        ``s3`` or ``gs``.
    endpoint : str
        Where it answers, such as ``http://127.0.0.1:5555``.
    """

    def __init__(self, protocol: str, endpoint: str) -> None:
        self.protocol = protocol
        self.endpoint = endpoint

    @property
    def address(self) -> str:
        """HOST:PORT of the server itself."""
        return self.endpoint.removeprefix("http://")

    @property
    def options(self) -> dict[str, Any]:
        """Storage options that reach it, as a new dict."""
        if self.protocol == "gs":
            return {"endpoint_url": self.endpoint, "project": "test", "token": "anon"}
        return {"endpoint_url": self.endpoint, "key": "testing", "secret": "testing"}

    def url(self, name: str = "hub") -> str:
        """Return the URL of `name` in a bucket that is new."""
        bucket = f"test-{uuid4().hex}"
        where = f"http://{self.address}"
        if self.protocol == "gs":
            where += "/storage/v1/b?project=test"
            request(where, "POST", {"name": bucket})
        else:
            request(f"{where}/{bucket}", "PUT")
        return f"{self.protocol}://{bucket}/{name}"


class ProxiedServer(ObjectServer):
    """An object store behind a proxy that injects faults; see `tests.servers.proxy`."""

    def __init__(self, server: ObjectServer) -> None:
        command = [sys.executable, "-m", "tests.servers.proxy", "--target", server.address]
        self._process = subprocess.Popen(
            [*command, "--parent", str(os.getpid())],
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._target = server.address
        answer = self._process.stdout.readline().split()
        super().__init__(server.protocol, f"http://{answer[-1]}")

    @property
    def address(self) -> str:
        """HOST:PORT of the server behind the proxy: buckets are made without faults."""
        return self._target

    def set(self, **faults: Any) -> None:
        """Change settings; the others stay as they are."""
        request(self.endpoint + CONTROL, "PUT", faults)

    def reset(self) -> None:
        """Let everything through, and forget what went through so far."""
        self.set(reset=True)

    def clear(self) -> None:
        """Forget what went through so far."""
        self.set(clear=True)

    def record(self) -> dict[str, Any]:
        """Return settings, requests, max_in_flight, bytes_down, faults, methods and log."""
        return json.loads(request(self.endpoint + CONTROL, "GET"))

    def log(self) -> list[dict[str, str]]:
        """Return method, path, range and fault of each request so far."""
        return self.record()["log"]

    def end(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10)


def request(url: str, method: str, body: dict[str, Any] | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if data else {}
    asked = urllib.request.Request(url, data, headers, method=method)
    # Without proxies of the environment: the servers are on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(asked, timeout=30) as answer:
        return answer.read()
