"""``ds.tensorflow``: types known before, samples exactly once, epochs, resuming, errors."""

from __future__ import annotations

import json
import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")

import numpy as np  # noqa: E402

import hubzarr as hub  # noqa: E402
from hubzarr.errors import InvalidError, InvalidTypeError, SampleError, TransformError  # noqa: E402
from hubzarr.loaders.tensorflow import TensorflowLoader  # noqa: E402


def spec(shape, dtype):
    return tf.TensorSpec(shape, dtype)


@pytest.fixture
def ds():
    """50 rows: a matrix of the row's number, the number as a label, and as text."""
    made = hub.empty("tests/uniform")
    x = np.arange(50, dtype="f4")[:, None, None] * np.ones((2, 3), "f4")
    made.create_tensor("x").extend(x)
    made.create_tensor("y", htype="class_label").extend(np.arange(50))
    made.create_tensor("t", htype="text").extend([f"né {i}" for i in range(50)])
    return made


@pytest.fixture
def ragged():
    """Ten rows whose samples differ in shape."""
    made = hub.empty("tests/ragged")
    made.create_tensor("words", dtype="int32").extend(
        [np.arange(i % 4, dtype="i4") + i for i in range(10)]
    )
    made.create_tensor("pixels", dtype="uint8").extend(
        [np.full((2 + i % 2, 3 - i % 3, 3), i, "u1") for i in range(10)]
    )
    return made


def rows(dataset, name="y"):
    return [int(n) for batch in dataset for n in np.atleast_1d(batch[name].numpy())]


# -- types -------------------------------------------------------------------------


def test_types_are_those_of_the_tensors(ds):
    dataset = ds.tensorflow(8)
    assert isinstance(dataset, tf.data.Dataset)
    assert dataset.element_spec == {
        "x": spec((None, 2, 3), tf.float32),
        "y": spec((None,), tf.uint32),
        "t": spec((None,), tf.string),
    }
    for number, batch in enumerate(dataset):
        first = 8 * number
        want = np.arange(first, min(first + 8, 50))
        np.testing.assert_array_equal(batch["y"], want)
        np.testing.assert_array_equal(batch["x"][:, 1, 2], want)
        assert [t.decode() for t in batch["t"].numpy()] == [f"né {i}" for i in want]


def test_full_batches_have_a_static_size(ds):
    for full in ({"drop_last": True}, {"pad": True}):
        dataset = ds.tensorflow(8, **full)
        assert dataset.element_spec["x"] == spec((8, 2, 3), tf.float32)
        assert {int(batch["x"].shape[0]) for batch in dataset} == {8}
    # Broken samples are left out, and batches may become smaller.
    assert ds.tensorflow(8, drop_last=True, on_error="skip").element_spec["y"].shape == (None,)


def test_forms(ds):
    pairs = ds.tensorflow(8, tensors=["y", "x"], form="tuple")
    assert pairs.element_spec == (spec((None,), tf.uint32), spec((None, 2, 3), tf.float32))
    y, x = next(iter(pairs))
    np.testing.assert_array_equal(x[:, 0, 0], tf.cast(y, tf.float32))
    alone = ds.x.tensorflow(8)
    assert alone.element_spec == spec((None, 2, 3), tf.float32)
    np.testing.assert_array_equal(np.concatenate(list(alone)), ds.x.numpy())
    numbered = ds.x.tensorflow(8, return_index=True, form="tuple")
    assert numbered.element_spec == (spec((None, 2, 3), tf.float32), spec((None,), tf.int64))


def test_samples_one_by_one(ds, ragged):
    dataset = ds.tensorflow(None)
    assert dataset.element_spec == {
        "x": spec((2, 3), tf.float32), "y": spec((), tf.uint32), "t": spec((), tf.string),
    }  # fmt: skip
    assert len(dataset) == 50
    assert rows(dataset) == list(range(50))
    assert rows(dataset.shuffle(10).batch(7)) != list(range(50))
    words = ragged.tensorflow(None, tensors=["words"])
    assert words.element_spec == {"words": spec((None,), tf.int32)}
    assert [len(sample["words"]) for sample in words] == [i % 4 for i in range(10)]


DTYPES = [
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
    "float32", "float64", "complex64", "bfloat16",
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_are_kept(dtype):
    a = hub.array(6, "tests/numbers", dtype=dtype)
    a[:] = np.arange(6).astype("f4" if dtype == "bfloat16" else dtype)
    dataset = a.tensorflow(4)
    assert dataset.element_spec == spec((None,), tf.as_dtype(dtype))
    got = np.concatenate([batch.numpy() for batch in dataset])
    np.testing.assert_array_equal(got, a.numpy())
    assert got.dtype == a.dtype


def test_big_endian_numbers_become_native():
    a = hub.from_numpy(np.arange(5, dtype=">i4"), "tests/numbers")
    assert [batch.numpy().tolist() for batch in a.tensorflow(5)] == [[0, 1, 2, 3, 4]]


def test_a_dtype_that_tensorflow_has_not_is_named():
    ds = hub.empty("tests/times")
    times = np.array(["2024-01-01", "2024-01-02"], "M8[ns]")
    ds.create_tensor("when", dtype="datetime64[ns]").extend(times)
    with pytest.raises(InvalidTypeError, match=r"'when' is of datetime64\[ns\].*transform"):
        ds.tensorflow(2)
    dataset = ds.tensorflow(2, transform={"when": lambda t: t.astype("i8")})
    (batch,) = dataset
    np.testing.assert_array_equal(batch["when"], times.astype("i8"))


def test_documents_are_json(ds):
    made = hub.empty("tests/json")
    values = [{"a": [1, 2]}, 3, 2.5, "é", True, [None], 0]
    made.create_tensor("j", htype="json").extend(values)
    made.create_tensor("tags", htype="tag").extend([["a"]] * 7)
    for size in (1, 2, 7):
        dataset = made.tensorflow(size)
        assert dataset.element_spec["j"] == spec((None,), tf.string)
        got = [json.loads(one) for batch in dataset for one in batch["j"].numpy()]
        assert got == values
        assert [type(one) for one in got] == [type(one) for one in values]
    alone = made.tensorflow(None)
    assert [json.loads(sample["j"].numpy()) for sample in alone] == values
    assert json.loads(next(iter(alone))["tags"].numpy()) == ["a"]


def test_files_as_they_are_stored():
    images = np.random.default_rng(0).integers(0, 255, (4, 6, 5, 3), "u1")
    ds = hub.empty("tests/files")
    ds.create_tensor("image", htype="image", sample_compression="png").extend(list(images))
    dataset = ds.tensorflow(4, decode=False)
    assert dataset.element_spec == {"image": spec((None,), tf.string)}
    (batch,) = dataset
    decoded = [tf.io.decode_png(one).numpy() for one in batch["image"]]
    np.testing.assert_array_equal(decoded, images)
    (batch,) = ds.tensorflow(4)
    np.testing.assert_array_equal(batch["image"], images)


# -- samples of several shapes -----------------------------------------------------


def test_padded(ragged):
    dataset = ragged.tensorflow(4, ragged="pad", fill={"words": -1})
    assert dataset.element_spec == {
        "words": spec((None, None), tf.int32),
        "pixels": spec((None, None, None, None), tf.uint8),
    }
    first = next(iter(dataset))["words"].numpy()
    assert first.tolist() == [[-1, -1, -1], [1, -1, -1], [2, 3, -1], [3, 4, 5]]


def test_nested_ones_are_ragged_tensors(ragged):
    dataset = ragged.tensorflow(4, ragged="nested")
    assert dataset.element_spec == {
        "words": tf.RaggedTensorSpec([None, None], tf.int32, 1),
        "pixels": tf.RaggedTensorSpec([None] * 4, tf.uint8, 3),
    }
    batches = list(dataset)
    words = [row for batch in batches for row in batch["words"].to_list()]
    assert words == [ragged.words[i].numpy().tolist() for i in range(10)]
    pixels = [row for batch in batches for row in batch["pixels"].to_list()]
    assert pixels == [ragged.pixels[i].numpy().tolist() for i in range(10)]


def test_the_user_knows_which_axes_never_differ(ragged):
    known = tf.RaggedTensorSpec([None, None, None, 3], tf.uint8, 2)
    dataset = ragged.tensorflow(
        4, tensors=["pixels"], ragged="nested", output_signature={"pixels": known}
    )
    assert dataset.element_spec == {"pixels": known}
    pixels = [row for batch in dataset for row in batch["pixels"].to_list()]
    assert pixels == [ragged.pixels[i].numpy().tolist() for i in range(10)]
    wrong = tf.RaggedTensorSpec([None, None, None, 4], tf.uint8, 2)
    dataset = ragged.tensorflow(
        4, tensors=["pixels"], ragged="nested", output_signature={"pixels": wrong}
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="'pixels' gives a sample of uint8"):
        list(dataset)


def test_ragged_ones_that_are_full_have_a_static_size(ragged):
    dataset = ragged.tensorflow(5, ragged="nested", drop_last=True, tensors=["words"])
    assert dataset.element_spec["words"].shape.as_list() == [5, None]


def test_samples_that_differ_are_not_stacked(ragged):
    with pytest.raises(tf.errors.InvalidArgumentError, match="ragged='pad' pads them"):
        list(ragged.tensorflow(4))


def test_there_is_no_list_in_tensorflow(ragged):
    with pytest.raises(InvalidError, match=r"ragged='nested' gives\s+RaggedTensors"):
        ragged.tensorflow(4, ragged={"words": "list"})


# -- transforms --------------------------------------------------------------------


def test_a_transform_changes_the_types(ds):
    dataset = ds.tensorflow(8, transform={"x": lambda x: x[0].astype("f2")})
    assert dataset.element_spec["x"] == spec((None, 3), tf.float16)
    whole = ds.tensorflow(
        8, transform=lambda s: {"z": s["x"].sum(), "name": s["t"], "more": {"a": 1}}
    )
    assert whole.element_spec == {
        "z": spec((None,), tf.float32), "name": spec((None,), tf.string),
        "more": spec((None,), tf.string),
    }  # fmt: skip
    batch = next(iter(whole))
    assert batch["name"].numpy()[1] == "né 1".encode()
    assert batch["more"].numpy()[1] == b'{"a": 1}'
    np.testing.assert_array_equal(batch["z"], 6 * np.arange(8))
    doubled = ds.x.tensorflow(8, transform=lambda x: 2 * x)
    np.testing.assert_array_equal(np.concatenate(list(doubled)), 2 * ds.x.numpy())


def test_a_transform_may_use_tensorflow(ds):
    dataset = ds.tensorflow(8, tensors=["x"], transform={"x": lambda x: tf.transpose(x)})
    assert dataset.element_spec["x"] == spec((None, 3, 2), tf.float32)
    np.testing.assert_array_equal(next(iter(dataset))["x"][:, 2, 1], np.arange(8))


def test_a_transform_of_several_shapes_takes_padding_or_a_signature(ragged):
    def first(words):
        return words[:2].astype("f4")

    padded = ragged.tensorflow(4, tensors=["words"], transform={"words": first}, ragged="pad")
    assert padded.element_spec["words"] == spec((None, None), tf.float32)
    assert len(list(padded)) == 3
    said = {"words": spec((None, None), tf.float32)}
    dataset = ragged.tensorflow(
        1, tensors=["words"], transform={"words": first}, output_signature=said
    )
    assert [batch["words"].shape[1] for batch in dataset] == [min(i % 4, 2) for i in range(10)]
    dataset = ragged.tensorflow(1, tensors=["words"], transform={"words": first})
    with pytest.raises(tf.errors.InvalidArgumentError, match="output_signature= gives others"):
        list(dataset)


def test_wrong_signatures_are_refused(ds):
    with pytest.raises(InvalidError, match="output_signature names 'z'"):
        ds.tensorflow(8, output_signature={"z": spec((None,), tf.int32)})
    with pytest.raises(InvalidTypeError, match=r"expected a dict of tf\.TensorSpec"):
        ds.tensorflow(8, output_signature={"x": "float32"})
    wrong = ds.tensorflow(8, output_signature={"x": spec((None, 2, 3), tf.float64)})
    with pytest.raises(tf.errors.InvalidArgumentError, match="'x' gives float32"):
        list(wrong)
    alone = ds.x.tensorflow(8, output_signature=spec((None, None, None), tf.float32))
    assert alone.element_spec == spec((None, None, None), tf.float32)
    pair = (spec((None, 2, None), tf.float32), spec((None,), tf.uint32))
    assert ds.tensorflow(
        8, tensors=["x", "y"], form="tuple", output_signature=pair
    ).element_spec == pair  # fmt: skip


def test_nothing_to_tell_types_from():
    ds = hub.empty("tests/none")
    ds.create_tensor("x", dtype="float32")
    with pytest.raises(InvalidError, match="there is no sample yet"):
        ds.tensorflow(8, transform=lambda s: s)
    said = {"x": spec((None, 3), tf.float32)}
    assert list(ds.tensorflow(8, transform=lambda s: s, output_signature=said)) == []


# -- order, epochs, ranks ----------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True, "full"])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_each_sample_once_in_the_order_of_the_numpy_loader(ds, shuffle, prefetch):
    options = {"shuffle": shuffle, "seed": 3, "window": 20}
    dataset = ds.tensorflow(7, prefetch=prefetch, **options)
    assert len(dataset) == 8
    numpy = ds.batches(7, **options)
    for _ in range(3):
        got = rows(dataset)
        assert sorted(got) == list(range(50))
        assert got == [int(y) for batch in numpy for y in batch["y"]]


def test_repeat_goes_on_with_the_next_epochs(ds):
    dataset = ds.tensorflow(10, shuffle="full", tensors=["y"]).repeat(3)
    assert len(dataset) == 15
    got = np.reshape(rows(dataset), (3, 50))
    assert (np.sort(got) == np.arange(50)).all()
    assert len({tuple(epoch) for epoch in got.tolist()}) == 3


def test_an_epoch_that_was_left(ds):
    dataset = ds.tensorflow(10, shuffle="full", tensors=["y"])
    next(iter(dataset))
    assert sorted(rows(dataset)) == list(range(50))
    assert dataset.hub_loader.epoch == 2
    dataset.hub_loader.set_epoch(0)
    again = rows(dataset)
    assert again == rows(ds.tensorflow(10, shuffle="full", tensors=["y"]))


def test_ranks_share_the_samples(ds):
    parts = [ds.tensorflow(6, shuffle=True, rank=r, world_size=3) for r in range(3)]
    assert len({len(part) for part in parts}) == 1
    assert sorted(y for part in parts for y in rows(part)) == list(range(50))


def test_ranks_without_a_sample_of_the_last_step(ds):
    """TensorFlow is told how many batches there are, and raises if there are fewer."""
    parts = [ds.tensorflow(1, tensors=["x"], rank=rank, world_size=4) for rank in range(4)]
    counts = [len(list(part)) for part in parts]
    assert counts == [len(part) for part in parts]
    assert sum(counts) == len(ds)
    assert len(set(counts)) == 2


def test_distributed_by_a_strategy(ds):
    strategy = tf.distribute.get_strategy()

    def of_worker(context):
        return ds.tensorflow(
            context.get_per_replica_batch_size(10), tensors=["y"], drop_last=True,
            rank=context.input_pipeline_id, world_size=context.num_input_pipelines,
        )  # fmt: skip

    dataset = strategy.distribute_datasets_from_function(of_worker)
    assert rows(dataset) == list(range(50))


def test_views_and_queries(ds):
    assert rows(ds[40:10:-7].tensorflow(2)) == list(range(40, 10, -7))
    assert rows(ds.filter("y % 10 = 3").tensorflow(4)) == [3, 13, 23, 33, 43]


def test_tensorflow_operations_follow(ds):
    dataset = ds.tensorflow(10, tensors=["x", "y"], form="tuple", drop_last=True)
    joined = dataset.map(lambda x, y: tf.reduce_mean(x, axis=(1, 2))).prefetch(2)
    np.testing.assert_array_equal(np.concatenate(list(joined)), np.arange(50))


# -- resuming ----------------------------------------------------------------------


def test_a_state_goes_on_where_the_training_stood(ds):
    options = {"tensors": ["y"], "shuffle": True, "window": 20, "seed": 5}
    whole = ds.tensorflow(6, **options)
    rows(whole)  # epoch 0
    want = rows(whole)
    dataset = ds.tensorflow(6, **options)
    rows(dataset)
    seen, steps = [], iter(dataset)
    for _ in range(4):
        seen += next(steps)["y"].numpy().tolist()
    state = dataset.hub_loader.state_dict()
    assert state["epoch"] == 1
    assert state["position"] == 24
    assert state == dataset.hub_loader.state_dict(epoch=1, steps=4)

    rest = ds.tensorflow(5, state=state, **options)
    assert rest.cardinality() == tf.data.UNKNOWN_CARDINALITY
    assert seen + rows(rest) == want
    assert sorted(rows(rest)) == list(range(50))  # epoch 2 is whole again

    ranks = [ds.tensorflow(5, state=state, rank=r, world_size=2, **options) for r in range(2)]
    assert sorted(seen + rows(ranks[0]) + rows(ranks[1])) == list(range(50))


def test_steps_are_counted_by_the_user_when_tensorflow_reads_ahead(ds):
    options = {"tensors": ["y"], "shuffle": "full"}
    want = rows(ds.tensorflow(6, **options))
    dataset = ds.tensorflow(6, **options)
    steps = iter(dataset.prefetch(4))
    seen = [int(y) for _ in range(3) for y in next(steps)["y"]]
    state = dataset.hub_loader.state_dict(epoch=0, steps=3)
    del steps
    rest = ds.tensorflow(6, state=state, **options)
    seen += rows(rest.take(2))
    assert seen == want[:30]
    later = rest.hub_loader.state_dict(epoch=0, steps=2)
    assert later["position"] == 30
    assert seen + rows(ds.tensorflow(6, state=later, **options)) == want


def test_the_end_of_an_epoch_is_the_beginning_of_the_next(ds):
    dataset = ds.tensorflow(6, shuffle=True)
    state = dataset.hub_loader.state_dict(epoch=2, steps=len(dataset))
    assert (state["epoch"], state["position"]) == (3, 0)
    with pytest.raises(InvalidError, match="epoch 0 has 9"):
        dataset.hub_loader.state_dict(epoch=0, steps=10)
    with pytest.raises(InvalidError, match="steps=None"):
        dataset.hub_loader.state_dict(epoch=0)


def test_a_dataset_that_told_its_length_is_not_resumed(ds):
    dataset = ds.tensorflow(6)
    state = dataset.hub_loader.state_dict(epoch=0, steps=2)
    with pytest.raises(InvalidError, match=r"ds\.tensorflow\(\.\.\., state=state\)"):
        dataset.hub_loader.load_state_dict(state)
    assert rows(dataset) == list(range(50))
    dataset.hub_loader.load_state_dict(dataset.hub_loader.state_dict(epoch=3, steps=0))
    assert dataset.hub_loader.epoch == 3


# -- errors ------------------------------------------------------------------------


def broken(x):
    if x.sum() == 6 * 17:
        raise ValueError("too warm")
    return x


def test_errors_name_row_and_tensor(ds):
    dataset = ds.tensorflow(8, transform={"x": broken})
    with pytest.raises(tf.errors.OpError, match=r"row 17 of the dataset.*'x'.*too warm"):
        list(dataset)
    assert isinstance(dataset.hub_loader.error, TransformError)
    assert "too warm" in str(dataset.hub_loader.error)


def test_broken_samples_are_skipped_or_replaced(ds):
    dataset = ds.tensorflow(8, transform={"x": broken}, on_error="skip")
    assert dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY
    assert rows(dataset) == [i for i in range(50) if i != 17]
    ((row, name, _),) = dataset.hub_loader.skipped
    assert (row, name) == (17, "x")
    replaced = ds.tensorflow(8, transform={"x": broken}, on_error="replace")
    assert len(rows(replaced)) == 50


def test_a_broken_file_is_named(tmp_path):
    ds = hub.empty("tests/broken")
    ds.create_tensor("image", htype="link[image]")
    images = hub.empty("tests/images")
    images.create_tensor("image", htype="image", sample_compression="png")
    images.image.extend(np.zeros((4, 5, 6, 3), "u1"))
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for i, path in enumerate(paths):
        path.write_bytes(images.image[i].tobytes())
    ds.image.extend([hub.link(str(path)) for path in paths])
    paths[2].write_bytes(b"no image")
    dataset = ds.tensorflow(2)
    assert dataset.element_spec == {"image": spec((None, None, None, None), tf.uint8)}
    with pytest.raises(tf.errors.OpError, match=r"row 2 of the dataset, tensor 'image'"):
        list(dataset)
    assert isinstance(dataset.hub_loader.error, SampleError)


def test_wrong_options_are_named_at_once(ds):
    with pytest.raises(InvalidTypeError, match="did you mean shuffle"):
        ds.tensorflow(8, shufle=True)
    with pytest.raises(InvalidError, match="shuffle="):
        ds.tensorflow(8, shuffle="some")


def test_the_loader_of_a_dataset(ds):
    dataset = ds.tensorflow(8)
    loader = dataset.hub_loader
    assert isinstance(loader, TensorflowLoader)
    assert "TensorflowLoader 50 samples of x, y, t batch_size=8" in repr(loader)
    assert len(loader) == len(dataset) == 7


def test_links_to_nothing(tmp_path):
    path = tmp_path / "one.ppm"
    path.write_bytes(b"P6 3 2 255\n" + bytes(range(18)))
    ds = hub.empty("tests/links")
    ds.create_tensor("a", htype="link[image]").extend([None, hub.link(str(path)), None])
    dataset = ds[1:2].tensorflow(1)
    assert dataset.element_spec["a"] == spec((None,) * 4, tf.uint8)
    assert ds.tensorflow(1).element_spec == dataset.element_spec
    with pytest.raises(tf.errors.OpError, match=r"'a' gives a batch with missing samples \(None\)"):
        list(ds.tensorflow(3))
    with pytest.raises(InvalidError, match="'a' are links to nothing"):
        ds[2:].tensorflow(1)


def test_lists_of_arrays_are_json():
    ds = hub.empty("tests/polygons")
    ds.create_tensor("p", htype="polygon").extend([[np.ones((3, 2))], []])
    (batch,) = ds.tensorflow(2)
    assert [json.loads(one) for one in batch["p"].numpy()] == [[[[1.0, 1.0]] * 3], []]


def test_arrays_of_text():
    values = np.array([["a", "bé"], ["c", ""], ["x", "y"]])
    a = hub.from_numpy(values, "tests/texts")
    dataset = a.tensorflow(2)
    assert dataset.element_spec == spec((None, 2), tf.string)
    got = np.concatenate([batch.numpy() for batch in dataset])
    assert [[one.decode() for one in row] for row in got] == values.tolist()
