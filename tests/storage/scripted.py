"""A web server whose answers a test writes: odd ones, refusals, redirects."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["scripted"]

type Answer = tuple[int, dict[str, str], bytes]


@contextlib.contextmanager
def scripted(script: Callable[[str, str, dict[str, str]], Answer]) -> Iterator[tuple[str, list]]:
    """Serve what ``script(method, path, headers)`` returns: status, headers and body.

    Yields the endpoint, and the list of requests so far as (method, path, headers).
    """
    log = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def _serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            log.append((self.command, self.path, headers))
            status, more, data = script(self.command, self.path, headers | {"body": str(body)})
            self.send_response(status)
            if "Transfer-Encoding" not in more:
                self.send_header("Content-Length", more.pop("Content-Length", str(len(data))))
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", log
        finally:
            server.shutdown()
            thread.join()
