"""``hubzarr prefetch`` and ``hubzarr cache``."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.cli import main


@pytest.fixture
def lab(s3, cache_dir):
    """A root on a slow store, with an array and a dataset."""
    hub.configure(roots={"lab": {"url": s3.url("hub"), **s3.options}})
    hub.from_numpy(np.arange(8000).reshape(80, 100), "hub://lab/x", chunks=(10, 100)).close()
    ds = hub.dataset("hub://lab/pets")
    ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    ds.extend({"labels": [0, 1] * 10})
    ds.close()
    yield "hub://lab"
    hub.configure(roots=None)


def run(capsys, *words, code=0):
    assert main([*words, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert main(list(words)) == code
    return document, capsys.readouterr()


def test_prefetch_then_cache_then_clear(lab, capsys):
    hub.clear_cache()
    found, said = run(capsys, "prefetch", f"{lab}/x")
    assert found["objects"] == 8
    assert found["fetched"] > 0
    assert "x:main: 8 objects" in said.out
    found, said = run(capsys, "cache")
    assert found["files"] > 8
    assert found["stores"][max(found["stores"])] <= found["bytes"]
    assert "of 10.7 GB" in said.out
    assert "hub/x" in said.out
    found, said = run(capsys, "cache", "--clear")
    assert found["cleared"]
    assert "deleted" in said.out
    assert hub.cache_info().files == 0


def test_prefetch_a_part(lab, capsys):
    assert run(capsys, "prefetch", f"{lab}/x", "--slice", "0:15,3")[0]["objects"] == 2
    found = run(capsys, "prefetch", f"{lab}/pets", "--query", "SELECT * WHERE labels = 'dog'")[0]
    assert found["objects"] == 1
    assert run(capsys, "prefetch", f"{lab}/pets", "--slice", "0:3")[0]["objects"] == 1
    run(capsys, "prefetch", f"{lab}/x", "--query", "SELECT *", code=1)
    run(capsys, "prefetch", f"{lab}/x", "--query", "SELECT *", "--slice", "1", code=2)


def test_without_a_cache_the_command_says_what_to_set(capsys):
    assert main(["cache"]) == 1
    assert "HUBZARR_CACHE_DIR" in capsys.readouterr().err


def test_the_catalogue_offline(lab, capsys):
    hub.from_numpy(np.arange(3), f"{lab}/deep/er/y").close()
    online = run(capsys, "ls", "--root", "lab")[0]
    hub.configure(offline=True)
    assert run(capsys, "ls", "--root", "lab")[0] == online
    assert [entry.name for entry in hub.catalog("hub://lab/deep")] == ["lab/deep/er/y"]
    hub.clear_cache()
    assert main(["ls", "--root", "lab"]) == 1
