"""Every release reads what any earlier one wrote: repositories packed when a format was fixed."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
import zarr

import hubzarr as hub

FOLDER = Path(__file__).parent
#: The archives as they were written; they never change.
DIGESTS = {1: "eef6ca6b53f55addc946f25e139579ec7a9fc8751a8355bb17c4227bc666f9ec"}


@pytest.fixture(params=sorted(DIGESTS))
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> int:
    """The golden repository of a format, unpacked as the root."""
    archive = FOLDER / f"format-{request.param}.tar.gz"
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == DIGESTS[request.param]
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "golden", filter="data")
    hub.configure(root=str(tmp_path / "golden"))
    return request.param


def test_many_cells(golden: int) -> None:
    a = hub.load("many:v0", mode="r")
    want = np.arange(1200).reshape(600, 2).astype("int16")
    np.testing.assert_array_equal(a.at(1), want)
    want[7], want[599] = -1, 99
    np.testing.assert_array_equal(a[:600], want)
    assert (a[600] == 0).all()
    assert a.sum() == want.sum()
    assert a[2:400].std() == pytest.approx(want[2:400].std(), rel=1e-12)
    assert [c.message for c in a.log()] == ["one row of fill", "two rows", "all", "created"]
    assert a.diff(1, 2, values=True)[""].elements == 4


def test_images(golden: int) -> None:
    a = hub.load("images", mode="r")
    want = np.zeros((6, 8, 8, 3), "uint8")
    want[0] = np.arange(192).reshape(8, 8, 3)
    want[5] = 200
    np.testing.assert_array_equal(a, want)
    assert (a.chunks, a.shards) == ((1, 8, 8, 3), (2, 8, 8, 3))
    assert dict(a.attributes) == {"made by": "hubzarr"}
    np.testing.assert_allclose(a.mean(axis=(0, 1, 2)), want.mean(axis=(0, 1, 2)), rtol=1e-12)


def test_special_values(golden: int) -> None:
    a = hub.load("special", mode="r")
    want = [[np.nan, np.inf, -np.inf, -0.0], [1, 2, 3, np.nan], [-1.5] * 4]
    np.testing.assert_array_equal(a, want)
    assert np.signbit(a.compute()[0, 3])
    assert a[1:].nansum() == 0.0
    assert a[1:].count() == 7


def test_other_types(golden: int) -> None:
    assert hub.load("types/bool", mode="r").compute().tolist() == [True, False, True]
    assert hub.load("types/complex", mode="r").compute().tolist() == [1 + 2j, -3j]
    assert str(hub.load("types/date", mode="r").compute()) == "['2026-11-21'        'NaT']"
    assert hub.load("types/text", mode="r").compute().tolist() == ["zarr", "ζ", ""]
    assert hub.load("types/strings", mode="r").compute().tolist() == ["a", "longer text", ""]
    assert hub.load("types/struct", mode="r").compute().tolist() == [(1, 2.5), (-3, 0.0)]
    assert hub.load("types/zero", mode="r").compute() == 7.25
    assert hub.load("types/half", mode="r").max() == 65504
    assert hub.load("types/wide", mode="r").max() == 2**64 - 1


def test_history(golden: int) -> None:
    a = hub.load("history", mode="r")
    want = np.arange(40)
    want[0], want[1] = 1000, 2000
    np.testing.assert_array_equal(a, want)
    assert [v.name for v in a.versions() if v.sealed] == ["dev"]
    assert not hub.exists("history:gone")
    messages = [c.message for c in a.log()]
    assert messages[:2] == ["merge dev", "main changes row 1"]
    assert messages[-1] == "created"
    assert len(messages) == 43
    np.testing.assert_array_equal(a.at(13), np.arange(13))
    # one cell: the merge was the last to store it
    assert [entry.commit.message for entry in a.blame()] == ["merge dev"]


def test_nodes(golden: int) -> None:
    group = zarr.open_group(hub.store("nodes", mode="r"), mode="r")
    assert len(list(group.group_keys())) == 260
    assert group["g259"].attrs["number"] == 259
    np.testing.assert_array_equal(group["g007/x"][:], np.arange(5))


def test_can_be_written_on(golden: int) -> None:
    a = hub.load("many:v0")
    a[0] = 5
    a.append([[1, 1]])
    a.commit("by a later release")
    again = hub.load("many:v0", mode="r")
    assert again[0].tolist() == [5, 5]
    assert again.shape == (602, 2)
    assert again.at(2)[0].tolist() == [0, 1]
