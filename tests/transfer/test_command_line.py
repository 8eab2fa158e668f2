"""push, pull, clone and cp from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.cli import main
from tests.transfer.support import fresh_url


@pytest.fixture
def x():
    a = hub.from_numpy(np.arange(12), "alice/x")
    a.branch("dev")
    return a


def ran(capsys, *words, code=0):
    assert main([*words, "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_there_and_back(x, capsys):
    url = fresh_url()
    told, _ = ran(capsys, "push", "alice/x", url, "-n")
    done, _ = ran(capsys, "push", "alice/x", url, "--verify")
    assert told == {**done, "dry_run": True}
    assert done["commits"] == 3
    assert done["versions"] == {
        "dev": {"before": -1, "after": 0}, "main": {"before": -1, "after": 1},
    }  # fmt: skip
    there = hub.load(url)
    there[0] = 5
    there.commit("five")
    assert ran(capsys, "pull", "alice/x:main", url)[0]["commits"] == 1
    x.refresh()
    assert x.sum() == 71


def test_conflicts_have_a_code_of_their_own(x, capsys):
    url = fresh_url()
    hub.push("alice/x", url)
    for a in (x, hub.load(url)):
        a[0] = 9
        a.commit("nine")
    found, said = ran(capsys, "push", "alice/x", url, code=4)
    assert found["error"]["kind"] == "conflict"
    assert "'nine'" in said
    assert main(["push", "alice/x:main", f"{url}:mine"]) == 0
    assert "mine (new, up to 0)" in capsys.readouterr().out


def test_clone_and_copies(x, capsys):
    done, _ = ran(capsys, "clone", "alice/x", "alice/y", "--versions", "dev")
    assert list(done["versions"]) == ["dev", "main"]
    told, _ = ran(capsys, "cp", "alice/x", "alice/z", "--dry-run")
    assert (told["commits"], told["objects"]) == (1, 1)
    assert not hub.exists("alice/z")
    done, _ = ran(capsys, "cp", "alice/x", "alice/z", "--history")
    assert (done["name"], done["version"]) == ("alice/z", "main")
    assert len(hub.load("alice/z").log(syncs=True)) == len(x.log(syncs=True))
