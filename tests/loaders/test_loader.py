"""What a loader is asked for, how far it has come, and how it goes on."""

from __future__ import annotations

import json
import pickle
import shutil
import threading
import tracemalloc
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.engine.cache import shared_cache
from hubzarr.errors import (
    HubzarrError,
    InvalidError,
    InvalidTypeError,
    NotFoundError,
    SampleError,
)
from hubzarr.loaders.ahead import ahead
from hubzarr.threads import threads_for
from tests.loaders.support import (
    firsts,
    fresh_url,
    gallery,
    joined,
    loader_threads,
    numbered,
    threads_are_gone,
)


@pytest.fixture(scope="module")
def ds():
    return numbered(60)


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    return gallery(tmp_path_factory.mktemp("links"), rows=6)


# -- options -------------------------------------------------------------------------------

WRONG = [
    ({"batch_size": 0}, InvalidError, "batch_size=0: expected at least 1"),
    ({"batch_size": 2.5}, InvalidTypeError, "expected an integer"),
    ({"batch_size": True}, InvalidTypeError, "expected an integer"),
    ({"batch_size": "4"}, InvalidTypeError, "expected an integer"),
    ({"tensors": 5}, InvalidTypeError, "expected a list of names"),
    ({"tensors": ["nope"]}, NotFoundError, "no tensor 'nope': there are 'uniform'"),
    ({"tensors": [3]}, NotFoundError, "no tensor 3"),
    ({"tensors": []}, InvalidError, "nothing to load"),
    ({"tensors": ["text", "text"]}, InvalidError, "more than once"),
    ({"shuffle": "ful"}, InvalidError, "shuffle='ful'"),
    ({"shuffle": 3}, InvalidError, "shuffle=3"),
    ({"shuffle": ["full"]}, InvalidError, "shuffle="),
    ({"seed": None}, InvalidTypeError, "seed=None"),
    ({"seed": 1.5}, InvalidTypeError, "seed=1.5"),
    ({"window": 0}, InvalidError, "window=0"),
    ({"window": 2.5}, InvalidTypeError, "window=2.5"),
    ({"drop_last": "yes"}, InvalidTypeError, "expected True or False"),
    ({"pad": 1}, InvalidTypeError, "expected True or False"),
    ({"drop_last": True, "pad": True}, InvalidError, "give one of them"),
    ({"ragged": "padd"}, InvalidError, "ragged='padd'"),
    ({"ragged": 5}, InvalidTypeError, "ragged=5"),
    ({"ragged": {"text": "x"}}, InvalidError, "ragged='x'"),
    ({"ragged": {"nope": "pad"}}, NotFoundError, "ragged names 'nope'"),
    ({"fill": [1, 2]}, InvalidTypeError, "expected a number"),
    ({"fill": "0"}, InvalidError, "expected a number"),
    ({"fill": {"nope": 0}}, NotFoundError, "fill names 'nope'"),
    ({"transform": 5}, InvalidTypeError, "expected a function"),
    ({"transform": {"nope": len}}, NotFoundError, "transform names 'nope'"),
    ({"transform": {"text": 3}}, InvalidTypeError, "expected a function"),
    ({"decode": "no"}, InvalidError, "expected True or False"),
    ({"decode": {"nope": False}}, NotFoundError, "decode names 'nope'"),
    ({"decode": {"image": None}}, InvalidTypeError, "expected True or False"),
    ({"return_index": "yes"}, InvalidTypeError, "expected True or False"),
    ({"form": "list"}, InvalidError, "form='list'"),
    ({"on_error": "ignore"}, InvalidError, "on_error='ignore'"),
    ({"prefetch": -1}, InvalidError, "prefetch=-1"),
    ({"prefetch": None}, InvalidTypeError, "prefetch=None"),
    ({"rank": 2, "world_size": 2}, InvalidError, "from 0 to 1"),
    ({"rank": -1}, InvalidError, "rank=-1"),
    ({"world_size": 0}, InvalidError, "world_size=0"),
]


@pytest.mark.parametrize(("options", "error", "said"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_options_are_named(rich, options, error, said):
    with pytest.raises(error, match=said):
        rich.batches(**options)


def test_numbers_of_numpy_are_numbers(ds):
    loader = ds.batches(np.int32(7), seed=np.uint8(3), shuffle=True, world_size=np.int64(2))
    assert json.loads(json.dumps(loader.state_dict())) == loader.state_dict()
    assert [len(batch["x"]) for batch in loader] == [7, 7, 7, 7, 2]


def test_an_index_of_the_data_is_kept_apart():
    ds = hub.empty(fresh_url())
    ds.create_tensor("index").extend([5, 6])
    ds.create_tensor("x").extend([7, 8])
    with pytest.raises(InvalidError, match="tensor of that name"):
        ds.batches(2, return_index=True)
    (batch,) = ds.batches(2, return_index=True, tensors=["x"])
    assert batch["index"].tolist() == [0, 1]


def test_forms(ds):
    batch = next(iter(ds.batches(3, form="tuple", return_index=True)))
    assert [column.tolist() for column in batch] == [[[i] * 4 for i in range(3)], [0, 1, 2]]
    assert next(iter(ds.x.batches(3))).tolist() == [[i] * 4 for i in range(3)]
    assert list(next(iter(ds.x.batches(3, return_index=True)))) == ["x", "index"]


def test_samples_one_by_one(ds):
    loader = ds.batches(None, return_index=True)
    assert len(loader) == 60
    samples = list(loader)
    assert [int(sample["index"]) for sample in samples] == list(range(60))
    assert samples[7]["x"].tolist() == [7] * 4
    values = list(ds.x.batches(None, shuffle=True, seed=2))
    assert sorted(value[0] for value in values) == list(range(60))


def test_lasts(ds):
    def sizes(**options):
        loader = ds.batches(16, **options)
        found = [len(batch["x"]) for batch in loader]
        assert len(loader) == len(found)
        return found

    assert sizes() == [16, 16, 16, 12]
    assert sizes(drop_last=True) == [16, 16, 16]
    assert sizes(pad=True) == [16, 16, 16, 16]
    found = joined(firsts(ds.batches(16, pad=True, shuffle=True)))
    assert found[60:] == found[:4]


def test_ragged_samples(rich):
    def batch(**options):
        return next(iter(rich.batches(4, tensors=["ragged"], **options)))["ragged"]

    with pytest.raises(InvalidError, match=r"'ragged' differ in shape: \(1, 2\) in row 0, \(2, 2"):
        batch()
    padded = batch(ragged="pad", fill=-1)
    assert padded.shape == (4, 4, 2)
    assert padded[1].tolist() == [[1, 1], [1, 1], [-1, -1], [-1, -1]]
    assert batch(ragged={"ragged": "pad"}, fill={"ragged": 9})[0, 1].tolist() == [9, 9]
    assert [len(one) for one in batch(ragged="list")] == [1, 2, 3, 4]
    assert [len(one) for one in batch(ragged="nested")] == [1, 2, 3, 4]


@pytest.mark.parametrize("fill", [-1, 300, 0.5, float("nan")])
def test_a_fill_that_does_not_fit(rich, fill):
    with pytest.raises(InvalidError, match="uint8 can't hold it"):
        list(rich.batches(4, tensors=["image"], ragged="pad", fill=fill))


# -- transforms ----------------------------------------------------------------------------


def test_transforms_of_samples(rich):
    def halve(row):
        return {"half": row["number"] / 2, "text": row["text"].upper()}

    batch = next(iter(rich.batches(3, transform=halve)))
    assert list(batch) == ["half", "text"]
    assert batch["half"].tolist() == [0, 0.5, 1]
    assert batch["text"] == ["ROW 0", "ROW 1", "ROW 2"]


def test_transforms_of_tensors(rich):
    transform = {"ragged": lambda array: array[0], "text": len, "image": lambda p: p[:5] / 255}
    batch = next(iter(rich.batches(4, transform=transform, tensors=[*transform, "number"])))
    assert batch["ragged"].tolist() == [[i, i] for i in range(4)]
    assert batch["text"].tolist() == [5] * 4
    assert batch["image"].shape == (4, 5, 5, 3)
    assert batch["number"].tolist() == [0, 1, 2, 3]


def test_transforms_may_return_others_than_were_loaded(rich):
    def cut(row):
        return {"piece": row["ragged"][:, 0]}

    batch = next(iter(rich.batches(4, transform=cut, ragged={"piece": "pad"}, fill={"piece": -1})))
    assert batch["piece"][0].tolist() == [0, -1, -1, -1]


def test_the_index_goes_with_transforms(ds):
    def seen(row):
        return {"both": (int(row["x"][0]), int(row["index"]))}

    batch = next(iter(ds.batches(2, transform=seen, return_index=True)))
    assert batch["both"] == [(0, 0), (1, 1)]
    assert batch["index"].tolist() == [0, 1]
    batch = next(iter(ds.x.batches(2, transform=lambda x: x.sum(), return_index=True)))
    assert {name: column.tolist() for name, column in batch.items()} == {
        "x": [0, 4], "index": [0, 1],
    }  # fmt: skip


def test_transforms_of_single_arrays(ds):
    assert next(iter(ds.x.batches(3, transform=lambda x: x * 2))).tolist() == [
        [0] * 4, [2] * 4, [4] * 4,
    ]  # fmt: skip
    assert next(iter(ds.x.batches(3, transform={"x": np.sum}))).tolist() == [0, 4, 8]


def test_transforms_must_agree(ds):
    def moody(row):
        return {"a": 1} if row["x"][0] % 2 else {"b": 1}

    with pytest.raises(HubzarrError, match="all samples need the same names"):
        list(ds.batches(4, transform=moody))
    with pytest.raises(HubzarrError, match="transform gave int, expected a dict"):
        list(ds.batches(4, transform=lambda row: 5))


# -- epochs and loops ----------------------------------------------------------------------


def test_each_loop_is_the_next_epoch(ds):
    loader = ds.batches(7, shuffle=True, seed=5)
    found = []
    for epoch in range(3):
        assert loader.epoch == epoch
        found.append(joined(firsts(loader)))
        assert sorted(found[-1]) == list(range(60))
    assert len(set(map(tuple, found))) == 3
    loader.set_epoch(1)
    assert joined(firsts(loader)) == found[1]
    assert joined(firsts(ds.batches(7, shuffle=True, seed=6))) != found[0]


@pytest.mark.parametrize("epoch", [-1, 1.5, "1", None])
def test_wrong_epochs(ds, epoch):
    with pytest.raises(InvalidError, match="epoch="):
        ds.batches().set_epoch(epoch)


def test_a_loop_that_is_left_ends_its_epoch(ds):
    loader = ds.batches(7, shuffle=True)
    first = next(iter(loader))["x"]
    assert loader.epoch == 0
    assert len(joined(firsts(loader))) == 60
    assert loader.epoch == 2
    loader.set_epoch(0)
    assert next(iter(loader))["x"].tolist() == first.tolist()


def test_two_loops_at_once_keep_apart(ds):
    loader = ds.batches(7, shuffle=True)
    expected = [joined(firsts(loader)) for _ in range(2)]
    loader.set_epoch(0)
    first, second = iter(loader), iter(loader)
    seen = [[], []]
    for _ in range(9):
        seen[0] += next(first)["x"][:, 0].tolist()
        seen[1] += next(second)["x"][:, 0].tolist()
        assert loader.epoch == 1
        assert loader.state_dict()["position"] == len(seen[1])
    assert seen == expected
    assert list(first) == []
    assert loader.epoch == 1  # the newest loop is still on
    assert list(second) == []
    assert loader.epoch == 2


def test_loops_in_threads(ds):
    found = {}

    def run(seed):
        found[seed] = [joined(firsts(ds.batches(8, shuffle=True, seed=seed))) for _ in range(3)]

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for seed in range(4):
        expected = joined(firsts(ds.batches(8, shuffle=True, seed=seed)))
        assert found[seed] == [expected] * 3


def test_no_thread_stays_when_a_loop_is_left(ds):
    for prefetch in (1, 3):
        loader = ds.batches(2, shuffle=True, prefetch=prefetch, window=16)
        for batch in loader:
            assert len(batch["x"]) == 2
            assert loader_threads()
            break
        running = iter(loader)
        next(running)
        del running
        assert threads_are_gone()
        assert len(list(loader)) == 30
        assert threads_are_gone()


def test_reading_ahead_is_bounded():
    made = []

    def items():
        for i in range(100):
            made.append(i)
            yield i

    running = ahead(items(), 3)
    for i in range(20):
        assert next(running) == i
        assert len(made) <= i + 1 + 3
    running.close()
    assert threads_are_gone()
    assert len(made) <= 24


def test_errors_come_in_their_place():
    def items():
        yield 1
        raise ValueError("broken")

    running = ahead(items(), 3)
    assert next(running) == 1
    with pytest.raises(ValueError, match="broken"):
        next(running)
    assert threads_are_gone()


@pytest.fixture
def small_cache():
    """A cache of decoded chunks that holds next to nothing."""
    hub.configure(cache_bytes=1 << 16)
    yield
    hub.configure(cache_bytes=None)


@pytest.mark.parametrize("shuffle", [False, True, "full"])
def test_memory_is_bounded_by_the_window(small_cache, shuffle):
    rows, nbytes = 2048, 4096
    ds = numbered(rows, (nbytes // 2,))
    window = 256  # 1 MiB of 8
    loader = ds.batches(16, shuffle=shuffle, window=window, prefetch=1)
    assert threads_are_gone()  # those of other loops, whose memory would count
    tracemalloc.start()
    try:
        count = sum(len(batch["x"]) for batch in loader)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == rows
    stored = threads_for(1) * ds.x.array.chunks[0] * nbytes  # a chunk for each thread that reads
    assert 2 * window * nbytes < peak < 3.5 * window * nbytes + stored


# -- state ---------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    shuffle=st.sampled_from([False, True, "full"]), window=st.sampled_from([None, 9, 25]),
    legs=st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=4
    ),
    prefetch=st.sampled_from([0, 2]),
)  # fmt: skip
def test_others_go_on_where_some_stopped(ds, shuffle, window, legs, prefetch):
    """Each leg: a batch size, a number of ranks, and after how many steps the crew changes."""
    options = {"shuffle": shuffle, "window": window, "prefetch": prefetch, "seed": 4}
    state, seen = None, []
    for number, (batch, world, count) in enumerate(legs):
        last = number == len(legs) - 1
        states = []
        for rank in range(world):
            loader = ds.batches(batch, **options, rank=rank, world_size=world)
            if state is not None:
                loader.load_state_dict(json.loads(json.dumps(state)))
            running = iter(loader)
            seen += joined(firsts(islice(running, None if last else count)))
            states.append(loader.state_dict())
            if not last and count == 0:
                running.close()
        if not last and all(one["epoch"] == 0 for one in states):
            assert all(one["position"] == states[0]["position"] for one in states)
            state = states[0]
        else:
            break
    if last:
        assert sorted(seen) == list(range(60))


def test_state_at_the_end_and_between_epochs(ds):
    loader = ds.batches(20, shuffle=True)
    running = iter(loader)
    for _ in range(3):
        next(running)
    state = loader.state_dict()
    assert (state["epoch"], state["position"]) == (0, 60)
    assert list(running) == []
    state = loader.state_dict()
    assert (state["epoch"], state["position"]) == (1, 0)
    again = ds.batches(15, shuffle=True)
    again.load_state_dict(state)
    assert joined(firsts(again)) == joined(firsts(loader))


def test_a_state_brings_its_seed_and_window(ds):
    loader = ds.batches(7, shuffle=True, seed=11, window=20)
    expected = firsts(loader)
    loader.set_epoch(0)
    next(iter(loader))
    again = ds.batches(7, shuffle=True)
    again.load_state_dict(loader.state_dict())
    assert firsts(again) == expected[1:]


def test_trainers_tell_the_epoch_that_they_resume(ds):
    loader = ds.batches(7, shuffle=True)
    expected = [firsts(loader) for _ in range(2)]
    loader.set_epoch(0)
    next(iter(loader))
    again = ds.batches(7, shuffle=True)
    again.load_state_dict(loader.state_dict())
    for epoch in range(again.epoch, 2):
        again.set_epoch(epoch)
        assert firsts(again) == expected[epoch][1 if epoch == 0 else 0 :]
    again.load_state_dict(loader.state_dict())
    again.set_epoch(1)
    assert firsts(again) == expected[1]


def test_data_may_be_closed_meanwhile():
    ds = numbered(20)
    loader = ds.batches(8, shuffle=True)
    ds.close()
    assert sorted(joined(firsts(loader))) == list(range(20))
    with pytest.raises(hub.errors.ClosedError):
        ds.batches(8)


def test_what_was_read_ahead_is_not_consumed(ds):
    loader = ds.batches(5, prefetch=5)
    running = iter(loader)
    next(running)
    assert loader.state_dict()["position"] == 5
    again = ds.batches(5)
    again.load_state_dict(loader.state_dict())
    assert joined(firsts(again)) == list(range(5, 60))


def _state(ds, **changes):
    return ds.batches(4, shuffle=True).state_dict() | changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"commit": "other"}, "open the dataset at that commit"),
        ({"length": 61}, "select the same rows"),
        ({"shuffle": "full"}, "give it the same shuffle"),
        ({"order": "0" * 16}, "the same order"),
        ({"version": 99}, "version 99"),
        ({"version": None}, "version None"),
        ({"seed": "x"}, "no seed"),
        ({"position": None}, "no position"),
        ({"position": 61}, "at position 61 of 60"),
        ({"position": -1}, "at position -1"),
        ({"epoch": -1}, "epoch -1"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_states_of_other_loaders_are_refused(ds, changes, said):
    loader = ds.batches(4, shuffle=True)
    next(iter(loader))
    before = loader.state_dict()
    with pytest.raises(InvalidError, match=said):
        loader.load_state_dict(_state(ds, **changes))
    assert loader.state_dict() == before


def test_no_state_at_all(ds):
    with pytest.raises(InvalidTypeError, match="dict from state_dict"):
        ds.batches(4).load_state_dict([1, 2])
    with pytest.raises(InvalidError, match="nothing in it"):
        ds.batches(4).load_state_dict({})
    with pytest.raises(InvalidError, match="a dict with 'model', 'loader'"):
        ds.batches(4).load_state_dict({"model": 1, "loader": ds.batches(4).state_dict()})


def test_a_state_of_other_rows_is_refused(ds):
    state = ds[:30].batches(4, shuffle=True).state_dict()
    with pytest.raises(InvalidError, match="select the same rows"):
        ds[30:31].batches(4, shuffle=True).load_state_dict(state)
    state = ds[::-1][:30].batches(4).state_dict()
    with pytest.raises(InvalidError, match="order"):
        ds[:30].batches(4).load_state_dict(state)
    half = len(ds) // 2 // 2 * 2
    state = ds[: 2 * half][::-1].batches(4).state_dict()
    with pytest.raises(InvalidError, match="order"):
        ds[[*range(half, 2 * half), *range(half)]].batches(4).load_state_dict(state)


# -- the same everywhere -------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True, "full"])
def test_prefetch_changes_nothing(ds, shuffle):
    found = [
        firsts(ds.batches(7, shuffle=shuffle, window=13, prefetch=prefetch))
        for prefetch in (0, 1, 5)
    ]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("options", [{}, {"drop_last": True}, {"pad": True}])
@pytest.mark.parametrize("shuffle", [False, True, "full"])
def test_workers_change_nothing(ds, shuffle, options):
    loader = ds.batches(7, shuffle=shuffle, window=13, **options)
    reading = loader._reading
    crews = [
        [reading.batches(0, 8, worker, workers) for worker in range(workers)]
        for workers in (1, 2, 3, 11)
    ]
    found = []
    for crew in crews:
        merged = sorted(joined(crew), key=lambda item: item[0])
        assert [steps for steps, _ in merged] == list(range(1, len(merged) + 1))
        found.append(firsts(batch for _, batch in merged))
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.parametrize("shuffle", [False, True, "full"])
def test_ranks_share_an_epoch(ds, shuffle):
    whole = joined(firsts(ds.batches(12, shuffle=shuffle, window=13)))
    ranks = [
        firsts(ds.batches(4, shuffle=shuffle, window=13, rank=rank, world_size=3))
        for rank in range(3)
    ]
    for step, parts in enumerate(zip(*ranks, strict=True)):
        assert sorted(joined(parts)) == sorted(whole[12 * step : 12 * step + 12])


def test_the_place_changes_nothing(tmp_path):
    def orders(url):
        ds = numbered(3000, (8,), url=url)
        ds.create_tensor("t", htype="text").extend([f"{i}" * (i % 50) for i in range(3000)])
        ds.commit()
        loaders = [ds.batches(64, shuffle=True), ds.batches(64, shuffle=True, window=300)]
        for loader in loaders:
            yield firsts(loader), loader.state_dict()["order"]

    assert list(orders(str(tmp_path / "here"))) == list(orders(fresh_url()))


def test_a_golden_order():
    """Seeds give the same batches in later releases, as long as data is stored the same way."""
    found = joined(firsts(numbered(20).batches(6, shuffle=True, seed=1)))
    assert found == [19, 11, 16, 5, 2, 6, 18, 12, 14, 1, 9, 4, 7, 0, 8, 15, 10, 13, 17, 3]
    found = joined(firsts(numbered(60).batches(6, shuffle=True, seed=1, window=16)))
    assert found[:12] == [26, 27, 21, 2, 20, 3, 54, 4, 57, 5, 56, 41]
    found = joined(firsts(numbered(20).batches(6, shuffle="full", seed=1)))
    assert found == [4, 5, 10, 0, 9, 2, 15, 17, 16, 8, 14, 19, 13, 6, 12, 1, 7, 11, 3, 18]


def test_readings_go_to_other_processes(ds):
    reading = pickle.loads(pickle.dumps(ds.batches(7, shuffle=True)._reading))
    again = [batch for _, batch in reading.batches(0)]
    assert firsts(again) == firsts(ds.batches(7, shuffle=True))


# -- loaders made anew -----------------------------------------------------------------------


def test_a_loader_made_anew_reads_nothing_again(tmp_path):
    """Of data that one window holds, as validation sets often are."""
    ds = hub.empty(str(tmp_path / "small"))
    ds.create_tensor("x").extend(np.arange(200).reshape(100, 2))
    ds.commit("first")
    before = [batch["x"].tolist() for batch in ds.batches(10, shuffle=True)]
    shutil.rmtree(tmp_path / "small" / "data")
    shared_cache.clear()
    again = ds.batches(10, shuffle=True)
    assert [batch["x"].tolist() for batch in again] == before
    with pytest.raises(SampleError, match="missing"):
        next(iter(ds[1:].batches(10)))  # other rows


def test_a_loader_made_anew_sees_what_was_written():
    ds = hub.empty("tests/made_anew")
    ds.create_tensor("x").extend([1, 2, 3])
    assert next(iter(ds.batches(3)))["x"].tolist() == [1, 2, 3]
    ds.x[0] = 7
    assert next(iter(ds.batches(3)))["x"].tolist() == [7, 2, 3]
    assert next(iter(ds[::-1].batches(3)))["x"].tolist() == [3, 2, 7]
    assert next(iter(ds[1:].batches(3)))["x"].tolist() == [2, 3]


def test_states_of_other_views_of_an_array_are_refused():
    a = hub.from_numpy(np.arange(40).reshape(20, 2), "tests/views_of_one_length")
    state = a[:10].batches(3, shuffle=True).state_dict()
    a[:10].batches(4, shuffle=True).load_state_dict(state)
    for other in (a[10:], a[:10, :1]):
        with pytest.raises(InvalidError, match="order"):
            other.batches(3, shuffle=True).load_state_dict(state)
