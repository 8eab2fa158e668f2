"""Progress bars: late, on a terminal only, never in the way."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading

import pytest

import hubzarr as hub
from hubzarr.progress import Progress, progress, wanted

WORK = """
import time, sys
import hubzarr.progress as p
p.DELAY = float(sys.argv[1])
for i in p.progress(range(4), "counting sheep"):
    time.sleep(0.15)
print("done")
"""


def on_a_terminal(delay: float, **environment: str) -> tuple[str, str]:
    """What goes to the terminal (standard error) and to standard output."""
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(delay)], stdout=subprocess.PIPE, stderr=slave,
        env={**os.environ, "TERM": "xterm", **environment}, timeout=60, check=True,
    )  # fmt: skip
    os.set_blocking(master, False)
    seen = b""
    try:
        while block := os.read(master, 65536):
            seen += block
    except OSError:
        pass  # all is read
    os.close(slave)
    os.close(master)
    return seen.decode(), done.stdout.decode()


def test_shows_after_the_delay_and_on_standard_error_only() -> None:
    seen, out = on_a_terminal(0.2)
    assert "counting sheep" in seen
    assert "/4" in seen
    assert out == "done\n"


def test_does_not_show_before_the_delay_or_when_turned_off() -> None:
    assert on_a_terminal(60)[0] == ""
    assert on_a_terminal(0.2, HUBZARR_PROGRESS="off")[0] == ""


def test_off_without_a_terminal() -> None:
    assert not wanted()  # pytest captures standard error
    before = threading.active_count()
    assert list(progress(iter("abc"), "letters")) == ["a", "b", "c"]
    assert threading.active_count() == before


def test_errors_end_the_bar() -> None:
    hub.configure(progress=True)
    try:
        before = threading.active_count()
        with pytest.raises(ValueError, match="inside"), progress(3, "failing"):
            raise ValueError("inside")
        bar = progress([1, 2], "half")
        for _ in bar:
            break
        assert threading.active_count() <= before + 2
        assert bar.total == 2
    finally:
        hub.configure(progress=None)


def test_counts_from_many_threads() -> None:
    bar: Progress[None] = Progress("steps", total=8000)
    with bar:
        threads = [
            threading.Thread(target=lambda: [bar.advance() for _ in range(1000)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert bar.done == 8000
