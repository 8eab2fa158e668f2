"""The servers answer, and the proxy does to requests what it was told to."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers.launch import missing, running
from tests.servers.stores import request

ROOT = Path(__file__).resolve().parents[2]
BODY = bytes(range(256)) * 16


@pytest.fixture(params=["s3", "s3_moto", "gcs"])
def server(request):
    return request.getfixturevalue(request.param)


def test_every_url_is_in_a_bucket_of_its_own(server):
    first, second = server.url("a"), server.url("a")
    assert first != second
    assert first.startswith(f"{server.protocol}://test-")
    assert first.endswith("/a")


def test_servers_are_shared_and_end_with_their_last_user(tmp_path):
    if reason := missing("fake-gcs"):
        pytest.skip(reason)
    script = (
        "import sys; from pathlib import Path; from tests.servers.launch import running\n"
        "with running('fake-gcs', Path(sys.argv[1])) as endpoint:\n"
        "    print(endpoint, flush=True); sys.stdin.read()"
    )
    with running("fake-gcs", tmp_path) as endpoint:
        other = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with other:
            assert other.stdout.readline().strip() == endpoint
    with pytest.raises(urllib.error.URLError):
        request(endpoint, "GET")


def test_a_killed_user_leaves_no_server(tmp_path):
    if reason := missing("fake-gcs"):
        pytest.skip(reason)
    command = [sys.executable, "-m", "tests.servers.launch", "fake-gcs"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as user:
        endpoint = user.stdout.readline().decode().strip()
        assert request(f"{endpoint}/_internal/healthcheck", "GET") is not None
        user.kill()
    for _ in range(200):
        try:
            request(f"{endpoint}/_internal/healthcheck", "GET")
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("the server still runs")


# The proxy


@pytest.fixture
def through(proxy, s3):
    """A proxy, and the path of an object behind it."""
    made = proxy(s3)
    bucket = s3.url().split("/")[2]
    put = urllib.request.Request(f"{s3.endpoint}/{bucket}/x", BODY, method="PUT")
    urllib.request.urlopen(put, timeout=30).close()
    return made, f"/{bucket}/x"


def ask(server, method, path, body=None, headers=None):
    """Return the status and body of an answer to a request that nobody repeats."""
    host, _, port = server.endpoint.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_requests_go_through_and_are_counted(through):
    server, path = through
    assert ask(server, "GET", path) == (200, BODY)
    assert ask(server, "GET", path, headers={"Range": "bytes=2-4"}) == (206, BODY[2:5])
    assert ask(server, "HEAD", path)[0] == 200
    assert ask(server, "PUT", path + "2", b"new")[0] == 200
    assert ask(server, "GET", path + "2") == (200, b"new")
    assert ask(server, "GET", path + "3")[0] == 404
    assert ask(server, "DELETE", path + "2")[0] == 204
    record = server.record()
    assert record["requests"] == len(server.log()) == 7
    assert record["methods"] == {"GET": 4, "HEAD": 1, "PUT": 1, "DELETE": 1}
    assert record["log"][1] == {"method": "GET", "path": path, "fault": "", "range": "bytes=2-4"}
    assert record["max_in_flight"] >= 1
    server.clear()
    assert server.log() == []


def test_refused(through):
    server, path = through
    server.set(error_rate=1)
    status, body = ask(server, "GET", path)
    assert status == 503
    assert b"<Code>SlowDown</Code>" in body
    server.set(error_status=500, error_code="InternalError")
    assert ask(server, "PUT", path, b"never stored")[0] == 500
    assert server.record()["faults"] == {"error": 2}
    server.reset()
    assert ask(server, "GET", path) == (200, BODY)


def test_lost_requests_and_answers(through):
    server, path = through
    server.set(reset_rate=1)
    with pytest.raises(ConnectionError):
        ask(server, "PUT", path, b"lost")
    server.set(reset_rate=0)
    assert ask(server, "GET", path) == (200, BODY)
    server.set(lost_rate=1)
    with pytest.raises(ConnectionError):
        ask(server, "PUT", path, b"stored")
    server.reset()
    assert ask(server, "GET", path) == (200, b"stored")
    server.set(late_error_rate=1)
    assert ask(server, "PUT", path, b"stored too")[0] == 503
    server.reset()
    assert ask(server, "GET", path) == (200, b"stored too")


def test_spoilt_bodies(through):
    server, path = through
    server.set(truncate_rate=1)
    with pytest.raises(http.client.IncompleteRead):
        ask(server, "GET", path)
    server.set(truncate_rate=0, cut_rate=1)
    with pytest.raises(ConnectionError):
        ask(server, "GET", path)
    server.set(cut_rate=0, short_rate=1)
    assert ask(server, "GET", path) == (200, BODY[: len(BODY) // 2])
    server.set(short_rate=0, corrupt_rate=1)
    status, body = ask(server, "GET", path)
    assert status == 200
    assert [a != b for a, b in zip(body, BODY, strict=True)].count(True) == 1
    assert ask(server, "HEAD", path)[0] == 200  # has nothing to spoil
    faults = server.record()["faults"]
    assert faults == {"truncate": 1, "cut": 1, "short": 1, "corrupt": 1}


def test_stalls(through):
    server, path = through
    server.set(stall_rate=1, stall_s=0.3)
    start = time.monotonic()
    with pytest.raises(ConnectionError):
        ask(server, "GET", path)
    with pytest.raises(ConnectionError):
        ask(server, "PUT", path, b"1")
    assert time.monotonic() - start >= 0.6


def test_latency_and_bandwidth(through):
    server, path = through
    server.set(latency_ms=50)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(server, "GET", path), range(8)))
    assert answers == [(200, BODY)] * 8
    assert server.record()["max_in_flight"] > 1
    server.reset()
    server.set(bandwidth=len(BODY) / 0.2)
    start = time.monotonic()
    assert ask(server, "GET", path) == (200, BODY)
    assert time.monotonic() - start >= 0.2


def test_faults_are_drawn_by_seed_match_and_limit(through):
    server, path = through

    def outcome(**settings):
        server.reset()
        server.set(error_rate=0.5, **settings)
        return [ask(server, "GET", path)[0] for _ in range(20)]

    first = outcome(seed=1)
    assert set(first) == {200, 503}
    assert outcome(seed=1) == first
    assert outcome(seed=2) != first
    assert outcome(match="PUT ") == [200] * 20
    assert outcome(max_faults=3).count(503) == 3


def test_damage_spares_a_path_for_a_while(through):
    server, path = through
    server.set(corrupt_rate=1, spare=3)
    answers = [ask(server, "GET", path)[1] == BODY for _ in range(7)]
    assert answers == [False, True, True, False, True, True, False]


def test_a_cache_answers_without_the_server(through):
    server, path = through
    server.set(cache_get=1)
    assert ask(server, "GET", path) == (200, BODY)
    assert ask(server, "PUT", path, b"changed")[0] == 200
    assert ask(server, "GET", path) == (200, BODY)
    server.reset()
    assert ask(server, "GET", path) == (200, b"changed")


def test_settings_that_do_not_exist(through):
    server, _ = through
    with pytest.raises(urllib.error.HTTPError, match="400") as refused:
        server.set(no_such_rate=1)
    refused.value.close()
