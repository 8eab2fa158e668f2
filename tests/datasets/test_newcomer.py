"""What a first user stumbled on."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError, SampleError


@pytest.fixture
def ds():
    made = hub.empty("first/user")
    made.create_tensor("l", htype="class_label", class_names=["a", "b"])
    made.create_tensor("x").extend([5, 6, 7])
    made.l.extend(["a", "b", "a"])
    return made


def test_grey_images_count_in_all_colours():
    ds = hub.empty("first/grey")
    images = ds.create_tensor("i", htype="image", sample_compression="png", statistics=True)
    images.append(np.full((2, 2, 3), 100, "u1"))
    images.append(np.zeros((2, 2), "u1"))
    assert images.mean(axis="channel").tolist() == [50, 50, 50]
    images.append(np.full((2, 2, 4), 40, "u1"))
    assert images.mean(axis="channel").tolist() == pytest.approx([140 / 3] * 3 + [40])
    assert images[1:2].mean(axis="channel").tolist() == [0]


def test_names_set_nothing_by_mistake(ds):
    with pytest.raises(InvalidError, match=r"ds\['l'\]\[:\] = values"):
        ds["l"] = "a"
    ds[0]["l"] = "b"
    ds["x"] += 1
    assert (ds.l.text(), ds.x.numpy().tolist()) == (["b", "b", "a"], [6, 7, 8])


def test_unknown_names_are_left_out(ds):
    skipped = ds.extend({"l": ["a", "zz", "b"], "x": [1, 2, 3]}, ignore_errors=True)
    assert [row for row, _ in skipped] == [1]
    assert isinstance(skipped[0][1], SampleError)
    assert ds.x.numpy().tolist() == [5, 6, 7, 1, 3]


def test_tensors_compare_by_value(ds):
    assert (ds.l == "a").tolist() == [True, False, True]
    assert (ds.l != "a").tolist() == [False, True, False]
    assert bool(ds.l[1] == "b")
    assert bool(ds.x[0] == 5)
    assert ds.x == ds.x
    assert ds.filter(lambda row: row.l == "a", progressbar=False).sample_indices == [0, 2]
    assert (int(ds.x[1]), float(ds.x[1])) == (6, 6.0)
    with pytest.raises(InvalidError, match="not one number"):
        int(ds.x)


def test_samples_in_the_middle_stay_with_their_rows(ds):
    with pytest.raises(InvalidError, match=r"ds\.pop\(index\)"):
        ds.x.pop(0)
    ds.x.pop()
    assert ds.x.numpy().tolist() == [5, 6]


def test_reductions_as_numpy_calls_them(ds):
    assert (np.mean(ds.x), ds.x.sum(), np.max(ds.x)) == (6, 18, 7)


def test_commits_without_a_message_are_in_the_log(ds):
    ds.commit()
    assert [commit.message for commit in ds.log()] == ["", "created"]


def test_closed_datasets_can_be_shown(ds):
    ds.close()
    assert "closed" in repr(ds)
    assert "closed" in ds._repr_html_()


def test_blame_of_a_tensor(ds):
    ds.commit("three rows")
    assert ds.blame("l")[0].commit.message == "three rows"
    with pytest.raises(KeyError, match="there are: l, x"):
        ds.blame("y")


@pytest.mark.parametrize("value", [b"abc", bytearray(b"abc")])
def test_bytes_are_no_array(ds, value):
    with pytest.raises(SampleError, match=r"hub\.Sample\(data\)"):
        ds.x.append(value)


def test_open_files_are_no_array(ds, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"")
    with path.open("rb") as file, pytest.raises(SampleError, match=r"hub\.read\(path\)"):
        ds.x.append(file)


def test_removed_rows_explain_all_tensors(ds):
    ds.create_tensor("t", htype="text").extend(["p", "q", "r"])
    ds.commit("three")
    ds.pop(1)
    ds.l[0] = "b"
    found = ds.diff().as_dict()["tensors"]
    assert {name: t["data_deleted"] for name, t in found.items()} == {n: [[1, 2]] for n in "lxt"}
    assert found["l"]["data_updated"] == [[0, 1]]


def test_lists_of_a_place(tmp_path):
    hub.empty(str(tmp_path / "here" / "one"))
    assert hub.list(str(tmp_path / "here")) == [str(tmp_path / "here" / "one")]
    assert hub.list(str(tmp_path / "here" / "one")) == [str(tmp_path / "here" / "one")]
