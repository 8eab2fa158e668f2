"""No test and no docstring example may see or touch the user's own data and settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from hubzarr.config import configure

#: Scripts that made files for tests; they need libraries that the tests don't.
collect_ignore_glob = ["tests/*/data/*"]
#: Modules of frameworks that are not installed.
collect_ignore = [
    place
    for package, place in (
        ("torch", "hubzarr/loaders/torch"),
        ("tensorflow", "hubzarr/loaders/tensorflow"),
        ("jax", "hubzarr/loaders/jax.py"),
    )
    if find_spec(package) is None
]
#: Modules that import a framework can't be searched for examples without it.
collect_ignore_glob += [
    f"hubzarr/loaders/{framework}*"
    for framework in ("jax", "tensorflow", "torch")
    if find_spec(framework) is None
]


@pytest.fixture(autouse=True)
def _own_root(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    for variable in list(os.environ):
        if variable.startswith("HUBZARR_"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("HUBZARR_ROOT", str(tmp_path / "root"))
    for kind in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path)  # examples may write to relative paths
    yield
    monkeypatch.undo()  # settings that a test made wrong are gone
    configure(root=None)  # a test may have set another one
