"""What users of Hub 2 and Deep Lake 3 type, and what they expect of it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.datasets.differences import RowDiff
from hubzarr.errors import ExistsError, InvalidError, NotFoundError


def numbers(name: str, count: int = 4) -> hub.Dataset:
    ds = hub.empty(name)
    ds.create_tensor("x", dtype="int64")
    ds.create_tensor("text", htype="text")
    ds.extend({"x": list(range(count)), "text": [str(i) for i in range(count)]})
    return ds


def test_checkout_of_commits() -> None:
    ds = numbers("hub-api/checkout")
    first = ds.commit("first")
    ds.checkout("dev", create=True)
    ds.x[0] = 100
    second = ds.commit("second")
    ds.checkout("main")
    for address in (second, second.id, second.address):
        assert ds.checkout(address).x[0].numpy() == 100
        assert ds.read_only
        assert ds.version == "dev"
    assert ds.checkout(first.id).x[0].numpy() == 0
    ds.checkout("again", True)
    ds.x[0] = 7
    assert not ds.read_only
    with pytest.raises(NotFoundError, match="no commit of that id"):
        ds.checkout("0123456789abcdef")
    with pytest.raises(NotFoundError, match="versions there"):
        ds.checkout("nowhere")
    assert ds.get_commit_details(first) == ds.get_commit_details(first.id)


def test_log_prints_as_a_table() -> None:
    ds = numbers("hub-api/log")
    commit = ds.commit("numbers")
    lines = repr(ds.log()).splitlines()
    assert len(lines) == len(ds.log()) == 2
    assert lines[0].startswith(f"{commit.address}  {commit.id}")
    assert lines[0].endswith("numbers")


@pytest.mark.parametrize("flushed", [False, True])
def test_reset_drops_what_was_stored_by_itself_too(flushed: bool) -> None:
    ds = numbers("hub-api/reset")
    ds.commit("numbers")
    ds.x[1] = 50
    ds.append({"x": 9, "text": "nine"})
    if flushed:
        ds.flush()
    assert ds.has_head_changes
    ds.reset()
    assert not ds.has_head_changes
    assert ds.x.numpy().tolist() == [0, 1, 2, 3]
    assert ds.text.text() == ["0", "1", "2", "3"]
    assert hub.load("hub-api/reset").x.numpy().tolist() == [0, 1, 2, 3]
    ds.reset()


def test_operators_in_place() -> None:
    ds = numbers("hub-api/operators")
    ds.create_tensor("images", htype="image", sample_compression="png")
    ds.images.extend([np.full((2, i + 1, 3), i, "uint8") for i in range(4)])
    ds.x += 1
    ds.x[0:2] *= 10
    ds.x[3] -= 4
    assert ds.x.numpy().tolist() == [10, 20, 3, 0]
    ds["x"] //= 2
    assert ds.x.numpy().tolist() == [5, 10, 1, 0]
    ds.images[1:] += 1
    ds.images[3][0:1] += 1
    assert [int(image.max()) for image in ds.images.numpy(aslist=True)] == [0, 2, 3, 5]
    assert ds.images[3].numpy()[1].max() == 4
    assert ds.images.size == sum(2 * n * 3 for n in (1, 2, 3, 4))
    assert ds.images[1:3].sample_indices == [1, 2]


def test_a_tensor_is_not_replaced_by_an_assignment() -> None:
    ds = numbers("hub-api/assignment")
    for handle in (ds, ds[1:], ds[0]):
        with pytest.raises(InvalidError, match=r"ds.x\[:\] = values"):
            handle.x = 5
        assert "x" not in vars(handle)
    ds.info = {"a": 1}
    assert dict(ds.info) == {"a": 1}


def test_update_of_several_rows() -> None:
    ds = numbers("hub-api/update")
    ds[1:3].update({"x": [10, 20], "text": ["ten", "twenty"]})
    assert ds.x.numpy().tolist() == [0, 10, 20, 3]
    assert ds.text.text() == ["0", "ten", "twenty", "3"]
    with pytest.raises(InvalidError, match="3 samples for 2 rows"):
        ds[1:3].update({"x": [1, 2], "text": ["a", "b", "c"]})
    with pytest.raises(InvalidError, match="expected a string"):
        ds[1:3].update({"x": [1, 2], "text": ["a", 5]})
    with pytest.raises(InvalidError, match="select them first"):
        ds.update({"x": [1] * 4})
    assert ds.x.numpy().tolist() == [0, 10, 20, 3]
    ds.x.append(9)
    assert len(ds.min_view) == 4
    assert ds.min_view.x.numpy().tolist() == [0, 10, 20, 3]


def test_materialize() -> None:
    ds = numbers("hub-api/materialize")
    ds.create_tensor("images/left", htype="image", sample_compression="png")
    ds["images/left"].extend([np.full((2, i + 1, 3), i, "uint8") for i in range(4)])
    ds.info.source = "here"
    view = ds[[3, 1]]
    copy = view.materialize("hub-api/materialized")
    assert isinstance(copy, hub.Dataset)
    assert copy.x.numpy().tolist() == [3, 1]
    assert copy["images/left"][0].tobytes() == ds["images/left"][3].tobytes()
    assert dict(copy.info) == {"source": "here"}
    with pytest.raises(ExistsError, match="exists already"):
        view.materialize("hub-api/materialized")
    ds["text"].pop()
    again = ds[:2].materialize("hub-api/materialized", overwrite=True)
    assert again.x.numpy().tolist() == [0, 1]
    assert len(ds.materialize("hub-api/whole").x) == 4


def test_load_read_only() -> None:
    numbers("hub-api/read-only").flush()
    assert hub.load("hub-api/read-only", read_only=True).read_only
    assert not hub.load("hub-api/read-only").read_only


def test_tiled_samples_are_filled_part_by_part() -> None:
    ds = hub.empty("hub-api/tiled")
    ds.create_tensor("maps", htype="image", sample_compression=None)
    ds.maps.append(hub.tiled((30_000, 20_000, 3), tile_shape=(64, 64, 3)))
    written = ds.io.write_bytes
    ds.maps[0][10_000:10_002, 5:7] = 9
    ds.flush()
    assert ds.io.write_bytes - written < 100_000
    again = hub.load("hub-api/tiled")
    assert again.maps.shape == (1, 30_000, 20_000, 3)
    assert again.maps[0, 10_000:10_003, 5, 0].numpy().tolist() == [9, 9, 0]
    for shape, tile in (((4, 0), None), ((4.5,), None), ((), None), ((4, 4), (2,))):
        with pytest.raises(InvalidError, match="expected"):
            hub.tiled(shape, tile)  # type: ignore[arg-type]


def test_clear() -> None:
    ds = numbers("hub-api/clear")
    full = ds.commit("full")
    ds.clear()
    assert len(ds) == 0
    assert len(ds.at(full)) == 4
    ds.append({"x": 1, "text": "one"})
    assert ds.text.text() == ["one"]


def test_names_of_hub() -> None:
    ds = hub.dataset("mem://hub-api")
    ds.create_tensor("x").append(1)
    ds.flush()
    assert len(hub.load("memory://hub-api")) == 1


def test_diff_of_removed_and_appended_rows() -> None:
    ds = numbers("hub-api/diff", 12)
    before = ds.commit("before")
    ds.pop([3, 5])
    ds.append({"x": 100, "text": "new"})
    ds.append({"x": 101, "text": "newer"})
    ds.append({"x": 102, "text": "newest"})
    ds.x[0] = 55
    found = ds.diff(before)
    assert isinstance(found, RowDiff)
    for name, updated in (("x", [0]), ("text", [])):
        tensor = found.tensors[name]
        assert tensor.removed.tolist() == [3, 5]
        assert tensor.added.tolist() == [10, 11, 12]
        assert tensor.updated.tolist() == updated


def test_lists_in_info_store_their_changes() -> None:
    ds = hub.empty("hub-api/lists")
    labels = ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    labels.info.class_names.append("cow")
    labels.append("cow")
    names = labels.info["class_names"]
    names += ["ant"]
    labels.info.class_names += ["bee"]
    assert labels.info.class_names == ["cat", "dog", "cow", "ant", "bee"]
    names[0] = "kitten"
    names.insert(1, "hen")
    names.remove("cow")
    assert names.pop() == "ant"
    names.reverse()
    names.sort()
    del names[0]
    assert hub.load("hub-api/lists").labels.info.class_names == ["hen", "kitten"]
    assert type(pickle.loads(pickle.dumps(names))) is list
    assert type(names)(n for n in names) == names
    names.clear()
    assert ds.labels.info.class_names == []
