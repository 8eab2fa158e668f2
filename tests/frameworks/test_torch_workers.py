"""Worker processes: the same batches, errors and states as without, and nothing left behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import (
    InvalidError,
    InvalidTypeError,
    NotFoundError,
    SampleError,
    TransformError,
)
from tests.frameworks import torch_cases as cases

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture
def ds():
    return cases.dataset()


@pytest.fixture(autouse=True)
def _always_workers(request, monkeypatch):
    """Workers also for what threads would do as well."""
    if "threads_where" not in request.node.name:
        monkeypatch.setattr(
            "hubzarr.loaders.torch.loader.has_work_for_workers", lambda source, options: True
        )


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    gc.collect()
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert multiprocessing.active_children() == []


def all_of(loader):
    return [cases.listed(batch) for batch in loader]


# -- the same batches --------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True, "full"])
def test_batches_are_the_same_for_any_number_of_workers(ds, shuffle):
    given = {"shuffle": shuffle, "seed": 5, "ragged": {"ragged": "pad"}, "window": 40}
    plain = ds.pytorch(8, return_index=True, **given)
    expected = [all_of(plain) for _ in range(2)]
    assert sorted(i for batch in expected[0] for i in batch["index"]) == list(range(103))
    for workers in (1, 2, 3):
        loader = ds.pytorch(8, return_index=True, num_workers=workers, **given)
        assert [all_of(loader) for _ in range(2)] == expected
        assert len(loader) == len(expected[0])


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_start_in_any_way(ds, context):
    given = {"shuffle": True, "ragged": "list", "transform": cases.doubled}
    expected = all_of(ds.pytorch(10, **given))
    loader = ds.pytorch(10, num_workers=2, multiprocessing_context=context, **given)
    assert all_of(loader) == expected


def test_single_samples_keep_their_order_and_kinds(ds):
    expected = all_of(ds.pytorch(None, shuffle=True))
    assert all_of(ds.pytorch(None, shuffle=True, num_workers=3)) == expected
    (first, *_) = ds.pytorch(None, num_workers=2)
    assert isinstance(first["x"], torch.Tensor)
    assert first["image"].shape == (16, 16, 3)
    assert first["text"] == "row 0"


def test_more_workers_than_batches(ds):
    loader = ds.pytorch(60, tensors=["x"], num_workers=4)
    assert [batch["x"].tolist() for batch in loader] == [list(range(60)), list(range(60, 103))]


@pytest.mark.parametrize("form", ["dict", "tuple"])
def test_forms_and_single_tensors(ds, form):
    given = {"form": form, "tensors": ["x", "text"]}
    assert all_of(ds.pytorch(50, num_workers=2, **given)) == all_of(ds.pytorch(50, **given))
    batch = next(iter(ds.x.pytorch(5, num_workers=1)))
    assert batch.tolist() == [0, 1, 2, 3, 4]


def test_dtypes_survive_the_way():
    dtypes = ["u1", "i2", "u2", "u4", "u8", "f2", "f8", "c8", "?"]
    ds = hub.empty("torch/dtypes")
    for dtype in dtypes:
        ds.create_tensor(f"t_{dtype.strip('?')}").extend(np.ones((4, 1000), dtype))
    for plain, batch in zip(ds.pytorch(2), ds.pytorch(2, num_workers=1), strict=True):
        assert {n: t.dtype for n, t in plain.items()} == {n: t.dtype for n, t in batch.items()}
        assert all(torch.equal(plain[name], batch[name]) for name in plain)


def test_tensors_of_transforms_and_nested_ones(ds):
    given = {"tensors": ["x"], "transform": cases.as_torch}
    for plain, batch in zip(
        ds.pytorch(7, **given), ds.pytorch(7, num_workers=2, **given), strict=True
    ):
        assert torch.equal(plain["x"], batch["x"])
        assert torch.equal(plain["image"], batch["image"])
    batch = next(iter(ds.pytorch(5, tensors=["ragged"], ragged="nested", num_workers=1)))
    assert batch["ragged"].is_nested
    assert [one.tolist() for one in batch["ragged"].unbind()] == [
        [float(i)] * (i + 1) for i in range(5)
    ]


def test_batches_belong_to_the_reader(ds):
    loader = ds.pytorch(8, tensors=["image"], num_workers=2, prefetch=1)
    kept = [batch["image"] for batch in loader]
    assert [one[:, 0, 0, 0].tolist() for one in kept] == [
        list(range(i, min(i + 8, 103))) for i in range(0, 103, 8)
    ]
    for one in kept:
        one += 1  # writable


def test_batches_may_grow():
    ds = hub.empty("torch/growing")
    ds.create_tensor("x").extend([np.full(n, n, "f8") for n in (10, 50_000, 3, 400_000, 7, 90)])
    loader = ds.pytorch(1, ragged="pad", num_workers=1, prefetch=1)
    for _ in range(2):
        assert [(len(b[0]), float(b[0].mean())) for b in (b["x"] for b in loader)] == [
            (n, float(n)) for n in (10, 50_000, 3, 400_000, 7, 90)
        ]


def test_threads_where_workers_have_nothing_to_do(ds):
    def workers(**given):
        return ds.pytorch(8, num_workers=2, **given).num_workers

    assert workers(tensors=["x", "image"]) == 0
    assert workers(tensors=["x", "ragged"], ragged="pad") == 0
    assert workers(tensors=["x"], collate=list) == 2
    assert workers(tensors=["x"], transform=cases.doubled) == 2
    assert workers(tensors=["x"], worker_init_fn=print) == 2


# -- errors ------------------------------------------------------------------------


def test_errors_keep_type_and_message(ds):
    for workers in (0, 2):
        loader = ds.pytorch(8, tensors=["x"], transform=cases.broken_at_7_and_50,
                            num_workers=workers)  # fmt: skip
        with pytest.raises(TransformError, match="row 7 of the dataset, transform: ValueError"):
            all_of(loader)
        # It goes on with the next epoch, and the workers with it.
        with pytest.raises(TransformError, match="row 7"):
            all_of(loader)
        assert loader.epoch == 1


def test_errors_come_where_their_batch_would(ds):
    loader = ds.pytorch(10, tensors=["x"], transform={"x": _no_50}, num_workers=2)
    seen = []
    with pytest.raises(TransformError, match=r"row 50 of the dataset, tensor 'x'") as caught:
        seen.extend(batch["x"].tolist() for batch in loader)
    assert [i for part in seen for i in part] == list(range(50))
    assert "In worker 1:" in "".join(caught.value.__notes__)


def _no_50(value):
    if value == 50:
        raise ValueError("it is 50")
    return value


def test_errors_that_pickle_does_not_take(ds):
    loader = ds.pytorch(8, tensors=["x"], transform=cases.peculiar, num_workers=1)
    with pytest.raises(TransformError, match="Peculiar: 3: odd"):
        all_of(loader)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_skipped_samples_come_back(ds, on_error, workers):
    loader = ds.pytorch(10, tensors=["x"], transform=cases.broken_at_7_and_50, on_error=on_error,
                        num_workers=workers)  # fmt: skip
    seen = [int(i) for batch in loader for i in batch["x"]]
    replaced = [{7: 8, 50: 51}.get(i, i) for i in range(103)]
    assert seen == [i for i in range(103) if i not in (7, 50)] if on_error == "skip" else replaced
    assert sorted(row for row, _, _ in loader.skipped) == [7, 50]
    assert all(isinstance(error, TransformError) for _, _, error in loader.skipped)


def test_steps_without_a_good_sample_are_left_out(ds):
    given = {"tensors": ["x"], "transform": {"x": _none_below_20}, "on_error": "skip"}
    expected = all_of(ds.pytorch(5, **given))
    assert all_of(ds.pytorch(5, num_workers=2, **given)) == expected
    assert expected[0]["x"] == [20, 21, 22, 23, 24]


def _none_below_20(value):
    if value < 20:
        raise ValueError("too small")
    return value


def test_damaged_samples_name_tensor_and_row(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), "u1")
    ds = hub.empty("torch/damaged")
    ds.create_tensor("photo", htype="image", sample_compression="png").extend([image] * 4)
    (whole, *_) = next(iter(ds.pytorch(1, decode=False)))["photo"]
    middle = len(whole) // 2
    (tmp_path / "bad.png").write_bytes(whole[:middle] + bytes(99) + whole[middle + 99 :])
    ds.photo.append(hub.read(str(tmp_path / "bad.png")))
    loader = ds.pytorch(2, num_workers=2)
    with pytest.raises(SampleError, match=r"row 4 of the dataset, tensor 'photo'"):
        all_of(loader)
    loader = ds.pytorch(2, num_workers=2, on_error="skip")
    assert [len(batch["photo"]) for batch in loader] == [2, 2]
    ((row, tensor, error),) = loader.skipped
    assert (row, tensor, type(error)) == (4, "photo", SampleError)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_data_that_is_gone(tmp_path, context):
    ds = hub.empty(f"file://{tmp_path}/data")
    ds.create_tensor("x").extend(np.arange(20))
    loader = ds.pytorch(4, num_workers=2, multiprocessing_context=context)
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(NotFoundError, match="gone"):
        all_of(loader)
    loader.close()


def test_workers_that_end_are_told_about(ds):
    loader = ds.pytorch(8, tensors=["x"], transform=cases.ended_at_40, num_workers=2)
    for _ in range(2):  # the next loop has new workers
        with pytest.raises(TransformError, match="was ended by signal SIGKILL"):
            all_of(loader)
    assert [batch["x"].tolist() for _, batch in zip(range(2), loader, strict=False)] == [
        list(range(8)), list(range(8, 16))
    ]  # fmt: skip
    loader = ds.pytorch(8, tensors=["x"], num_workers=2)
    assert len(all_of(loader)) == len(loader)


def test_functions_that_spawn_does_not_take(ds):
    loader = ds.pytorch(8, transform=lambda s: s, num_workers=1, multiprocessing_context="spawn")
    with pytest.raises(InvalidTypeError, match="functions of a module"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"num_workers": -1}, InvalidError),
        ({"num_workers": "2"}, InvalidTypeError),
        ({"num_workers": True}, InvalidTypeError),
        ({"worker_init_fn": 3}, InvalidTypeError),
        ({"num_wokers": 2}, InvalidTypeError),
    ],
)
def test_wrong_options(ds, given, error):
    with pytest.raises(error):
        ds.pytorch(8, **given)


def test_wrong_contexts(ds):
    loader = ds.pytorch(8, num_workers=1, multiprocessing_context="thread")
    with pytest.raises(InvalidError, match="expected one of"):
        next(iter(loader))


# -- workers -----------------------------------------------------------------------


def test_workers_are_set_up(ds, tmp_path, monkeypatch):
    monkeypatch.setenv("MARKS", str(tmp_path))
    loader = ds.pytorch(8, tensors=["x"], num_workers=2, worker_init_fn=cases.leave_a_mark)
    all_of(loader)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.isdigit()) == ["0", "1"]
    loader = ds.pytorch(8, tensors=["x"], num_workers=2, worker_init_fn=cases.fail_in_worker)
    with pytest.raises(RuntimeError, match="no worker 0 here"):
        all_of(loader)


def test_random_numbers_differ_by_worker_and_epoch_and_come_again(ds):
    def drawn(seed):
        loader = ds.pytorch(10, tensors=["x"], transform=cases.random_numbers, num_workers=2,
                            seed=seed)  # fmt: skip
        return [all_of(loader) for _ in range(2)]

    once, again, other = drawn(1), drawn(1), drawn(2)
    assert once == again
    assert once != other
    assert once[0] != once[1]
    assert once[0][0]["random"] != once[0][1]["random"]


def test_workers_stay_for_the_next_epoch(ds):
    loader = ds.pytorch(8, tensors=["x"], num_workers=2)
    all_of(loader)
    pids = {process.pid for process in multiprocessing.active_children()}
    assert len(pids) == 2
    all_of(loader)
    assert {process.pid for process in multiprocessing.active_children()} == pids
    loader.close()
    assert multiprocessing.active_children() == []
    assert len(all_of(loader)) == len(loader)


def test_loops_that_are_left_and_begun_again(ds):
    loader = ds.pytorch(4, tensors=["x", "image"], shuffle=True, num_workers=2)
    plain = ds.pytorch(4, tensors=["x", "image"], shuffle=True)
    for stop in (1, 5, 2):
        for one in (loader, plain):
            for count, _ in enumerate(one):
                if count == stop:
                    break
    assert loader.epoch == plain.epoch
    assert all_of(loader) == all_of(plain)


def test_two_loops_at_once(ds):
    loader = ds.pytorch(10, tensors=["x"], num_workers=1)
    pairs = [(a["x"].tolist(), b["x"].tolist()) for a, b in zip(loader, loader, strict=True)]
    assert all(a == b for a, b in pairs)
    assert len(pairs) == len(loader)


def test_a_forked_child_uses_workers_of_its_own(ds):
    loader = ds.pytorch(10, tensors=["x"], num_workers=1)
    expected = all_of(loader)
    pid = os.fork()
    if not pid:
        os._exit(0 if all_of(loader) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert all_of(loader) == expected


@pytest.mark.parametrize("workers", [(0, 2), (2, 0), (2, 3)])
def test_states_fit_any_number_of_workers(ds, workers):
    given = {"tensors": ["x"], "shuffle": True, "window": 30}
    first = ds.pytorch(6, num_workers=workers[0], **given)
    seen = []
    for _ in range(2):
        seen = []
        for count, batch in enumerate(first):
            seen += batch["x"].tolist()
            if count == 4 and first.epoch == 1:
                break
    state = first.state_dict()
    assert (state["epoch"], state["position"]) == (1, 30)
    later = ds.pytorch(9, num_workers=workers[1], **given)
    all_of(later)  # its workers knew another epoch
    later.load_state_dict(state)
    seen += [i for batch in later for i in batch["x"].tolist()]
    assert sorted(seen) == list(range(103))
    assert later.epoch == 2


def test_states_bring_their_seed_to_workers(ds):
    first = ds.pytorch(10, tensors=["x"], shuffle=True, seed=9)
    expected = all_of(first)
    later = ds.pytorch(10, tensors=["x"], shuffle=True, seed=1, num_workers=2)
    assert all_of(later) != expected
    fresh = ds.pytorch(10, tensors=["x"], shuffle=True, seed=9)
    later.load_state_dict(fresh.state_dict())
    assert all_of(later) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_shared_memory_has_no_name(ds):
    loader = ds.pytorch(40, tensors=["image"], num_workers=2)
    all_of(loader)
    shared = {
        line.split(maxsplit=5)[5].strip()
        for line in Path("/proc/self/maps").read_text().splitlines()
        if " rw-s " in line
    }
    assert "/memfd:hubzarr-batches (deleted)" in shared
    assert not any(place.startswith("/dev/shm/") and "(deleted)" not in place for place in shared)


# -- ends --------------------------------------------------------------------------

SCRIPT = """
    import os, sys, time
    import hubzarr as hub
    from tests.frameworks import torch_cases as cases

    if __name__ == "__main__":
        hub.configure(root=sys.argv[1])
        ds = hub.load("torch/cases")
        workers = int(sys.argv[2])
        loader = ds.pytorch(2, tensors=["x", "image"], transform=cases.slow, num_workers=workers)
        for _ in range(100):
            for batch in loader:
                print("batch", flush=True)
"""


def _running(tmp_path, workers):
    cases.dataset()
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT))
    root = Path(hub.__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, str(script), hub.configure().root, str(workers)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        # Test runners may ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    for _ in range(3):
        assert process.stdout.readline() == "batch\n"
    return process


def _session_of(pid):
    """Processes of a session, which its worker processes belong to."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks into /proc")


@needs_proc
@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_ends_all(tmp_path, workers):
    process = _running(tmp_path, workers)
    assert len(_session_of(process.pid)) == workers + 1
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - begun < 10
    assert process.returncode in (-signal.SIGINT, 130, 1)
    assert "KeyboardInterrupt" in said
    assert _session_of(process.pid) == []


@needs_proc
@pytest.mark.parametrize("consumer", ["main", "daemon"])
def test_leaving_python_in_a_loop(consumer):
    script = f"""
    import threading, time, numpy as np, hubzarr as hub
    ds = hub.empty("memory://leaving")
    ds.create_tensor("x").extend(np.arange(2000))
    loader = ds.pytorch(
        10, num_workers=2, transform=lambda x: time.sleep(0.001) or x,
        multiprocessing_context="fork",
    )
    begun = threading.Event()
    def consume():
        for batch in loader:
            begun.set()
    if {consumer!r} == "main":
        batches = iter(loader)
        next(batches)
    else:
        threading.Thread(target=consume, daemon=True).start()
        begun.wait()
    """
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    process = _running(tmp_path, 2)
    process.kill()
    process.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while _session_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _session_of(process.pid) == []
