"""The code of the page on PyTorch, block by block."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import numpy as np
import pytest

import hubzarr as hub

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "pytorch.md"


@pytest.mark.filterwarnings("ignore")
def test_the_page_on_pytorch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for package in ("accelerate", "lightning", "torchdata"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in (
        ("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", str(port))
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    rng = np.random.default_rng(0)
    ds = hub.empty("team/weather")
    ds.create_tensor("images").extend(rng.integers(0, 256, (100, 64, 64, 3), "u1"))
    ds.create_tensor("labels", htype="class_label").extend(rng.integers(0, 4, 100))
    ds.commit("weather")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 11
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(names["loader"].state_dict()) > 0
