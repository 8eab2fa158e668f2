"""Transforms: order, rows, errors, in place, with every scheduler."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.errors import InvalidError, InvalidTypeError, NotFoundError, TransformError

LOCAL = [("serial", 0), ("threads", 3), ("threads", 0), ("threaded", 2)]


@hub.compute
def repeat(sample_in, sample_out, times=1):
    for i in range(times):
        sample_out.x.append(sample_in)
        sample_out.y.append([sample_in] * (i + 1))


@hub.compute
def fail_on(sample_in, sample_out, bad):
    if sample_in in bad:
        raise KeyError(f"no {sample_in}")
    sample_out.append({"x": sample_in, "y": [sample_in]})
    return sample_out


def dataset(name="ds", **options):
    ds = hub.empty(name)
    ds.create_tensor("x", **options)
    ds.create_tensor("y")
    return ds


@pytest.mark.parametrize(("scheduler", "workers"), LOCAL)
def test_rows_come_in_the_order_of_inputs(scheduler, workers):
    ds = dataset()
    report = repeat(times=2).eval(range(500), ds, num_workers=workers, scheduler=scheduler)
    assert (report.inputs, report.rows, report.skipped) == (500, 1000, ())
    assert ds.x.numpy().tolist() == [i for i in range(500) for _ in range(2)]
    assert ds.y[999].numpy().tolist() == [499, 499]
    assert ds.y[998].numpy().tolist() == [499]


def test_one_commit():
    ds = dataset()
    ds.commit("made")
    before = ds._session.manifest.commit.number
    repeat().eval(range(300), ds, num_workers=2, message="computed")
    assert ds._session.manifest.commit.number == before + 1
    assert ds.commits[0]["message"] == "computed"
    assert len(hub.load("ds")) == 300


def test_any_iterable():
    ds = dataset()
    repeat().eval((i for i in range(10)), ds)
    repeat().eval(np.arange(10, 20), ds)
    repeat().eval([], ds)
    assert ds.x.numpy().tolist() == list(range(20))
    for wrong in ("abc", {"a": 1}, 5):
        with pytest.raises(InvalidTypeError, match="inputs are a list"):
            repeat().eval(wrong, ds)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 3))
def test_several_rows_or_none(counts, workers):
    @hub.compute
    def some(sample_in, sample_out):
        sample_out.x.extend([sample_in] * sample_in)

    ds = hub.empty("some", overwrite=True)
    ds.create_tensor("x", dtype="int32")
    report = some().eval(counts, ds, num_workers=workers)
    assert report.rows == sum(counts)
    assert ds.x.numpy().tolist() == [n for n in counts for _ in range(n)]


def test_ragged_samples_and_arrays():
    @hub.compute
    def boxes(sample_in, sample_out):
        sample_out["boxes/left"].append(np.ones((sample_in % 4, 4)))
        sample_out.boxes.right.append(np.full((2, 4), sample_in))

    ds = hub.empty("boxes")
    ds.create_tensor("boxes/left", htype="bbox")
    ds.create_tensor("boxes/right", htype="bbox")
    boxes().eval(range(50), ds, num_workers=2)
    assert [shape[0] for shape in ds.boxes.left.shapes()] == [i % 4 for i in range(50)]
    assert ds.boxes.right[49].numpy().tolist() == [[49.0] * 4] * 2
    group = ds["boxes"]

    @hub.compute
    def inside(sample_in, sample_out):
        sample_out.append({"left": sample_in, "right": sample_in})

    inside().eval([np.zeros((1, 4))], group)
    assert len(ds) == 51


def test_labels_by_name_known_and_new():
    @hub.compute
    def label(sample_in, sample_out):
        sample_out.append({"known": sample_in, "new": sample_in})

    ds = hub.empty("labels")
    ds.create_tensor("known", htype="class_label", class_names=["a", "b", "c", "d"])
    ds.create_tensor("new", htype="class_label", unknown="extend")
    names = list("dcbadcbab" * 30)
    label().eval(names, ds, num_workers=4)
    assert ds.known.text() == ds.new.text() == names
    assert ds.new.info.class_names == ["d", "c", "b", "a"]
    with pytest.raises(TransformError, match=r"input 1 \('e'\).*no class 'e'"):
        label().eval(["a", "e"], ds)
    assert len(ds) == len(names)


# -- errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(("scheduler", "workers"), LOCAL)
def test_an_error_leaves_nothing(scheduler, workers):
    ds = dataset()
    repeat().eval([1, 2], ds)
    with pytest.raises(TransformError, match=r"fail_on failed on input 77 \(77\): KeyError") as e:
        fail_on(bad={77, 90}).eval(range(100), ds, num_workers=workers, scheduler=scheduler)
    assert e.value.index == 77
    assert isinstance(e.value.__cause__, KeyError)
    assert e.value.kind == "transform"
    assert ds.x.numpy().tolist() == [1, 2]
    ds.append({"x": 3, "y": [3]})
    assert len(ds) == 3


@pytest.mark.parametrize("workers", [0, 3])
def test_errors_can_be_ignored(workers):
    ds = dataset()
    report = fail_on(bad={0, 50, 51, 99}).eval(
        range(100), ds, num_workers=workers, ignore_errors=True
    )
    assert [skipped.index for skipped in report.skipped] == [0, 50, 51, 99]
    assert (report.inputs, report.rows) == (100, 96)
    assert ds.x.numpy().tolist() == [i for i in range(100) if i not in {0, 50, 51, 99}]
    assert "input 50 (50): KeyError" in str(report)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dtype", ["uint8", None])
def test_samples_that_do_not_fit_are_errors_of_their_input(workers, dtype):
    @hub.compute
    def double(sample_in, sample_out):
        sample_out.x.extend([1, sample_in])
        sample_out.y.extend([[1], [2]])

    ds = dataset(dtype=dtype)
    inputs = [5, 6, "text", 7, None]
    inputs[4] = {"no": "number"}
    with pytest.raises(TransformError, match=r"input 2 \('text'\)"):
        double().eval(inputs, ds, num_workers=workers)
    assert len(ds) == 0
    report = double().eval(inputs, ds, num_workers=workers, ignore_errors=True)
    assert [skipped.index for skipped in report.skipped] == [2, 4]
    assert ds.x.numpy().tolist() == [1, 5, 1, 6, 1, 7]
    assert len(ds.y) == 6


def test_tensors_left_out():
    @hub.compute
    def only_x(sample_in, sample_out):
        sample_out.x.append(sample_in)

    ds = dataset()
    with pytest.raises(TransformError, match=r"no samples for y.*skip_ok"):
        only_x().eval([1], ds)
    only_x().eval([1, 2], ds, skip_ok=True)
    assert (len(ds.x), len(ds.y)) == (2, 0)
    with pytest.raises(InvalidError, match="differ in length"):
        repeat().eval([1], ds)


def test_different_numbers_of_samples():
    @hub.compute
    def uneven(sample_in, sample_out):
        sample_out.x.extend([1] * sample_in)
        sample_out.y.append(2)

    ds = dataset()
    with pytest.raises(TransformError, match=r"input 1 .*different numbers"):
        uneven().eval([1, 2], ds)
    uneven().eval([1, 2], ds, check_lengths=False)
    assert (len(ds.x), len(ds.y)) == (3, 2)


def test_wrong_names_and_returns():
    @hub.compute
    def wrong(sample_in, sample_out, how):
        how(sample_out)
        return 5 if how is len else None

    ds = dataset()
    for how, message in [
        (lambda out: out.z.append(1), "no tensor 'z'"),
        (lambda out: out["z"].append(1), "no tensor 'z'"),
        (lambda out: out.append([1]), "name the tensors"),
        (lambda out: out.x.extend("ab"), "extended by a sequence"),
        (lambda out: out[0], "chosen by its name"),
        (len, "returned a int"),
    ]:
        with pytest.raises(TransformError, match=message):
            wrong(how).eval([0], ds)
    with pytest.raises(NotFoundError):
        ds["z"]


def test_wrong_signatures():
    with pytest.raises(InvalidTypeError, match=r"f\(a\) can't be computed"):

        @hub.compute
        def f(a):
            pass

    with pytest.raises(InvalidTypeError, match="can't be computed"):
        hub.compute(lambda *args: None)
    with pytest.raises(InvalidTypeError, match="decorates a function"):
        hub.compute("name")
    with pytest.raises(InvalidTypeError, match="missing a required argument: 'bad'"):
        fail_on()
    with pytest.raises(InvalidTypeError, match="unexpected keyword argument 'tims'"):
        repeat(tims=3)
    with pytest.raises(InvalidTypeError, match="not called"):
        hub.compose([repeat])
    with pytest.raises(InvalidTypeError, match="takes functions"):
        hub.compose([len])
    with pytest.raises(InvalidTypeError, match="nothing"):
        hub.compose([])


def test_wrong_arguments():
    ds = dataset()
    for options in (
        {"scheduler": "ray"},
        {"num_workers": -1},
        {"num_workers": 1.5},
        {"checkpoint_interval": -2},
        {"checkpoint_interval": True},
    ):
        with pytest.raises(InvalidError, match=next(iter(options))):
            repeat().eval([1], ds, **options)
    with pytest.raises(InvalidError, match="ds_out is missing"):
        repeat().eval([1])
    with pytest.raises(InvalidTypeError, match="ds_out is a dataset"):
        repeat().eval([1], ds[:0])
    with pytest.raises(InvalidError, match="no tensors"):
        repeat().eval([1], hub.empty("without"))
    with pytest.raises(hub.errors.ReadOnlyError):
        repeat().eval([1], hub.load("ds", mode="r"))


def test_a_function_is_still_documented():
    @hub.compute
    def described(sample_in, sample_out):
        """What it does."""

    assert described.__doc__ == "What it does."
    assert described.__name__ == "described"
    assert "described" in repr(described)
    ds = dataset()
    assert described.eval([1], ds).rows == 0  # no other arguments to give


# -- transactions -------------------------------------------------------------------------


def test_inside_a_transaction():
    ds = dataset()
    with ds:
        repeat().eval([1, 2], ds, num_workers=2)
        assert len(ds) == 2
        assert len(hub.load("ds")) == 0
        with pytest.raises(TransformError):
            fail_on(bad={4}).eval([3, 4], ds)
        assert ds.x.numpy().tolist() == [1, 2]
        repeat().eval([5], ds)
    assert hub.load("ds").x.numpy().tolist() == [1, 2, 5]
    for options in ({"message": "m"}, {"checkpoint_interval": 3}):
        with ds, pytest.raises(InvalidError, match="inside a transaction"):
            repeat().eval([1], ds, **options)


def test_an_interrupt_leaves_nothing():
    @hub.compute
    def interrupted(sample_in, sample_out):
        if sample_in == 30:
            raise KeyboardInterrupt
        sample_out.append({"x": sample_in, "y": sample_in})

    ds = dataset()
    for workers in (0, 2):
        with pytest.raises(KeyboardInterrupt):
            interrupted().eval(range(60), ds, num_workers=workers)
        assert len(ds) == 0
        assert len(hub.load("ds")) == 0


# -- datasets as inputs -------------------------------------------------------------------


def test_rows_of_a_dataset():
    @hub.compute
    def shrink(sample_in, sample_out):
        sample_out.append({"x": sample_in.x.numpy() * 10, "y": sample_in.y})

    ds, other = dataset(), dataset("other")
    repeat(times=2).eval(range(40), ds)
    shrink().eval(ds[10:20], other, num_workers=2)
    assert other.x.numpy().tolist() == [(i // 2) * 10 for i in range(10, 20)]
    assert other.y[1].numpy().tolist() == ds.y[11].numpy().tolist()
    shrink().eval(ds[[3, 1, 3]], other)
    assert other.x[-3:].numpy().tolist() == [10, 0, 10]
    shrink().eval(ds[7], other)
    assert other.x[-1].numpy() == 30

    @hub.compute
    def of_tensor(sample_in, sample_out):
        sample_out.append({"x": sample_in.numpy(), "y": sample_in})

    of_tensor().eval(ds.x[5:7], other)
    assert other.x[-2:].numpy().tolist() == [2, 3]


def test_a_dataset_into_itself():
    @hub.compute
    def again(sample_in, sample_out):
        sample_out.append(sample_in)

    ds = dataset()
    repeat(times=2).eval(range(50), ds)
    again().eval(ds, ds, num_workers=3)
    assert ds.x.numpy().tolist() == [i // 2 for i in range(100)] * 2
    with ds:
        ds.append({"x": -1, "y": [1]})
        again().eval(ds[200:], ds, num_workers=3)  # reads what is not committed
    assert ds.x[-1].numpy() == -1
    assert len(ds) == 202


@pytest.mark.parametrize("workers", [0, 3])
def test_in_place(workers):
    @hub.compute
    def longer(sample_in, sample_out):
        x = sample_in.x.numpy()
        if x % 2:
            sample_out.x.append(x * 100)
            sample_out.y.append(np.arange(x % 7))

    ds = dataset()
    for i in range(60):
        ds.append({"x": i, "y": [i, i]})
    assert ds.y.shape == (60, 2)
    report = longer().eval(ds[10:], num_workers=workers)
    assert report.rows == 25
    expected = [i * 100 if i % 2 and i >= 10 else i for i in range(60)]
    assert ds.x.numpy().tolist() == expected
    assert ds.y[13].numpy().tolist() == list(range(13 % 7))
    assert ds.y[9].numpy().tolist() == [9, 9]


def test_in_place_refuses_other_numbers_of_rows():
    ds = dataset()
    repeat().eval([1, 2, 3], ds)

    @hub.compute
    def two(sample_in, sample_out):
        sample_out.x.extend([1, 2])

    with pytest.raises(TransformError, match="one sample for each"):
        two().eval(ds)
    with pytest.raises(InvalidError, match="more than once"):
        two().eval(ds[[0, 0]])

    @hub.compute
    def breaks(sample_in, sample_out):
        sample_out.x.append(1 // (sample_in.x.numpy().item() - 3))

    with pytest.raises(TransformError, match=r"input 2 \(row 2\)"):
        breaks().eval(ds)
    assert ds.x.numpy().tolist() == [1, 2, 3]


def test_files_are_copied_byte_for_byte():
    ds = hub.empty("files")
    ds.create_tensor("images", htype="image", sample_compression="jpeg")
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    ds.images.extend([picture, picture[:10]])

    @hub.compute
    def copied(sample_in, sample_out):
        sample_out.images.append(sample_in.images)

    @hub.compute
    def cut(sample_in, sample_out):
        sample_out.images.append(sample_in.images[:5])

    out = hub.like("out", ds)
    hub.compose([copied(), copied()]).eval(ds, out, num_workers=2)
    assert [out.images[i].tobytes() for i in (0, 1)] == [ds.images[i].tobytes() for i in (0, 1)]
    cut().eval(ds, out)
    assert out.images[2].shape == (5, 30, 3)


# -- pipelines ----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_pipelines(workers):
    @hub.compute
    def numbers(sample_in, sample_out):
        for i in range(sample_in):
            sample_out.append({"number": i, "group/half": i / 2})

    @hub.compute
    def even(sample_in, sample_out):
        if sample_in.number.values() % 2 == 0:
            sample_out.append(sample_in)

    @hub.compute
    def final(sample_in, sample_out, add):
        assert sample_in["group/half"].numpy() == sample_in.group.half.numpy()
        assert "number" in sample_in
        sample_out.x.append(sample_in.number.numpy() + add)
        sample_out.y.append([sample_in.group.half.numpy()])

    ds = dataset()
    pipeline = hub.compose([numbers(), hub.compose([even(), final(add=10)])])
    assert pipeline.name == "numbers → even → final"
    report = pipeline.eval([3, 0, 5], ds, num_workers=workers)
    assert report.rows == 5
    assert ds.x.numpy().tolist() == [10, 12, 10, 12, 14]
    assert ds.y.numpy().tolist() == [[0], [1], [0], [1], [2]]


def test_pipelines_need_rows_between_functions():
    @hub.compute
    def uneven(sample_in, sample_out):
        sample_out.a.extend([1, 2])
        sample_out.b.append(3)

    with pytest.raises(TransformError, match="make no rows for the next"):
        hub.compose([uneven(), repeat()]).eval([0], dataset())

    @hub.compute
    def misspelt(sample_in, sample_out):
        sample_out.x.append(sample_in.labls.numpy())

    with pytest.raises(TransformError, match="labls"):
        hub.compose([repeat(), misspelt()]).eval([0], dataset("other"))
