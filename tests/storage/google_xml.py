"""A small server that speaks the XML protocol of Google Cloud Storage, for one bucket.

fake-gcs-server, which the other tests use, speaks the JSON protocol alone; obstore the
XML one.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

__all__ = ["google_xml_server"]

_PAGE = 1000


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    lock: threading.Lock

    def log_message(self, *args):
        pass

    def _answer(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 00:00:00 GMT")
        self.send_header("ETag", '"1"')
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _key(self):
        bucket, _, key = urlsplit(self.path).path.lstrip("/").partition("/")
        return unquote(bucket), unquote(key)

    def _missing(self, code="NoSuchKey"):
        self._answer(404, f"<Error><Code>{code}</Code></Error>".encode())

    def do_GET(self):
        bucket, key = self._key()
        if bucket != "lab":
            return self._missing("NoSuchBucket")
        if not key:
            return self._list()
        data = self.objects.get(key)
        if data is None:
            return self._missing()
        wanted = self.headers.get("Range")
        if not wanted:
            return self._answer(200, data, x_goog_generation="1")
        first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted).groups()
        start = int(first) if first else max(0, len(data) - int(last))
        stop = min(len(data), int(last) + 1) if first and last else len(data)
        if start >= len(data):
            return self._answer(416, b"<Error><Code>InvalidRange</Code></Error>")
        where = f"bytes {start}-{stop - 1}/{len(data)}"
        return self._answer(206, data[start:stop], Content_Range=where, x_goog_generation="1")

    do_HEAD = do_GET

    def do_PUT(self):
        _, key = self._key()
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.lock:
            if self.headers.get("x-goog-if-generation-match") == "0" and key in self.objects:
                return self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            self.objects[key] = data
        return self._answer(200, x_goog_generation="1")

    def do_DELETE(self):
        _, key = self._key()
        return self._missing() if self.objects.pop(key, None) is None else self._answer(204)

    def _list(self):
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter")
        after = max(asked.get("start-after", ""), asked.get("continuation-token", ""))
        files, folders = [], []
        for key in sorted(key for key in self.objects if key.startswith(prefix)):
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folder = prefix + rest.partition(delimiter)[0] + delimiter
                if folder > after and folder not in folders:
                    folders.append(folder)
            elif key > after:
                files.append(key)
        page = sorted([*files, *folders])[:_PAGE]
        more = len(files) + len(folders) > _PAGE
        parts = [
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size>"
            "<LastModified>2026-11-22T00:00:00.000Z</LastModified><ETag>1</ETag></Contents>"
            for key in files
            if key in page
        ]
        parts += [
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
            for name in folders
            if name in page
        ]
        if more:
            parts.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
        parts.append(f"<IsTruncated>{str(more).lower()}</IsTruncated>")
        body = f"<ListBucketResult>{''.join(parts)}</ListBucketResult>"
        self._answer(200, body.encode())


@contextlib.contextmanager
def google_xml_server() -> Iterator[str]:
    """Serve the bucket ``lab``; yield the endpoint."""
    handler = type("Handler", (_Handler,), {"objects": {}, "lock": threading.Lock()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
