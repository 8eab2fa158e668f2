"""Batches of PyTorch tensors, made in threads: dtypes, shapes, devices, ranks."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError, InvalidTypeError, UnsupportedError
from tests.frameworks import torch_cases as cases

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from hubzarr.loaders.torch import TorchFramework, TorchLoader  # noqa: E402
from hubzarr.loaders.torch import framework as framework_module  # noqa: E402
from hubzarr.loaders.torch.framework import as_tensor  # noqa: E402
from hubzarr.loaders.torch.moving import Arriving, arrived  # noqa: E402
from hubzarr.loaders.workers.packing import WorkerFramework  # noqa: E402


@pytest.fixture
def ds():
    return cases.dataset()


def test_a_batch_of_everything(ds):
    loader = ds.pytorch(4, ragged="pad", fill=-1, return_index=True)
    assert isinstance(loader, TorchLoader)
    batch = next(iter(loader))
    assert list(batch) == ["x", "image", "text", "ragged", "index"]
    assert batch["image"].shape == (4, 16, 16, 3)
    assert batch["image"].dtype == torch.uint8
    assert batch["x"].tolist() == batch["index"].tolist() == [0, 1, 2, 3]
    assert batch["text"] == ["row 0", "row 1", "row 2", "row 3"]
    assert batch["ragged"].tolist() == [
        [0, -1, -1, -1], [1, 1, -1, -1], [2, 2, 2, -1], [3, 3, 3, 3]
    ]  # fmt: skip


def test_every_source_has_batches(ds):
    array = hub.array((10, 4), "torch/array", dtype="f4")
    array[...] = np.arange(40).reshape(10, 4)
    assert [tuple(batch.shape) for batch in array.pytorch(4)] == [(4, 4), (4, 4), (2, 4)]
    assert torch.equal(next(iter(array[2:6, 1:3].pytorch(2))), torch.tensor([[9.0, 10], [13, 14]]))
    assert [batch["x"].tolist() for batch in ds[5:9].pytorch(3, tensors=["x"])] == [[5, 6, 7], [8]]
    assert next(iter(ds.x.pytorch(2))).tolist() == [0, 1]


@pytest.mark.parametrize("how", ["list", "nested"])
def test_ragged_batches(ds, how):
    batch = next(iter(ds.pytorch(4, tensors=["ragged"], ragged=how)))["ragged"]
    parts = batch if how == "list" else batch.unbind()
    assert [part.tolist() for part in parts] == [[0], [1, 1], [2, 2, 2], [3, 3, 3, 3]]
    if how == "nested":
        assert batch.layout == torch.jagged


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_of_several_ragged_axes():
    nested = TorchFramework().nested([np.ones((2, 3)), np.ones((4, 1))])
    assert nested.layout == torch.strided
    assert [tuple(one.shape) for one in nested.unbind()] == [(2, 3), (4, 1)]


def test_stacking_what_differs_names_the_rows(ds):
    with pytest.raises(InvalidError, match=r"tensor 'ragged' differ in shape.*row 0"):
        next(iter(ds.pytorch(4)))


@pytest.mark.parametrize(
    ("option", "hint"),
    [("num_worker", "did you mean num_workers"), ("collate_fn", "collate= takes")],
)
def test_options_that_there_are_not(ds, option, hint):
    with pytest.raises(InvalidTypeError, match=f"no option '{option}'.*{hint}"):
        ds.pytorch(4, **{option: 1})


# -- tensors of arrays ---------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "u1", "i2", "u2", "i4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]
)
def test_arrays_share_their_memory(dtype):
    array = np.array([0, 1, 1], dtype)
    tensor = as_tensor(array)
    assert tensor.numpy().dtype == array.dtype
    array[0] = 1
    assert tensor.tolist() == array.tolist()


@pytest.mark.parametrize("workers", [0, 1])
def test_class_labels_are_what_losses_take(workers):
    labels = hub.empty("torch/labels").create_tensor(
        "labels", htype="class_label", class_names=["Rain", "Shine"]
    )
    labels.extend(["Rain", "Shine", "Shine"])
    (batch,) = labels.pytorch(4, num_workers=workers)
    assert batch.dtype == torch.int64
    loss = torch.nn.functional.cross_entropy(torch.zeros(3, 2), batch)
    assert loss.item() == pytest.approx(np.log(2))


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats_stay_what_they_are(name):
    package = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    tensor = as_tensor(np.array([0.5, 2, -1], getattr(package, name)))
    assert tensor.dtype == getattr(torch, name)
    assert tensor.float().tolist() == [0.5, 2, -1]


@pytest.mark.parametrize("workers", [0, 1])
def test_bfloat16_from_the_store(workers):
    package = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    ds = hub.empty("torch/bfloat16")
    ds.create_tensor("x").extend(np.arange(3000).reshape(10, 300).astype(package.bfloat16))
    batches = [batch["x"] for batch in ds.pytorch(4, num_workers=workers)]
    assert {batch.dtype for batch in batches} == {torch.bfloat16}
    assert torch.equal(torch.cat(batches), torch.arange(3000).reshape(10, 300).bfloat16())


def test_dates_are_numbers():
    days = np.array(["1970-01-02", "2020-01-01"], "datetime64[D]")
    assert as_tensor(days).tolist() == [1, 18262]
    assert as_tensor(days[1] - days[0]).item() == 18261


def test_what_is_shared_only_as_a_copy():
    fixed = np.arange(6)
    fixed.flags.writeable = False
    for array in (fixed, fixed[::-1], np.arange(6, dtype=">i4"), np.arange(12)[::-2]):
        tensor = as_tensor(array)
        assert tensor.tolist() == array.tolist()
        tensor[0] = 100
        assert 100 not in array


def test_labels_can_be_used():
    labels = as_tensor(np.array([3, 1], "u4"))
    assert labels.dtype == torch.int64
    assert torch.arange(5)[labels].tolist() == [3, 1]


def test_strings_stay_strings():
    assert as_tensor(np.array(["a", "bc"])) == ["a", "bc"]
    assert as_tensor(np.array("abc")) == "abc"
    assert as_tensor(np.str_("abc")) == "abc"
    assert as_tensor(np.array([b"x"])) == [b"x"]


def test_dtypes_that_pytorch_lacks():
    with pytest.raises(InvalidTypeError, match="no dtype"):
        as_tensor(np.zeros(3, "f16"))
    with pytest.raises(InvalidTypeError, match="no dtype"):
        as_tensor(np.zeros(3, "i4,f4"))


def test_samples_of_several_kinds_are_converted_within():
    made = TorchFramework().convert([{"a": np.ones(2)}, (np.int64(3), "b"), None])
    assert made[0]["a"].tolist() == [1, 1]
    assert made[1][0].item() == 3
    assert made[1][1] == "b"
    assert made[2] is None


# -- transforms ----------------------------------------------------------------------


def test_transforms_may_give_tensors(ds):
    loader = ds.pytorch(3, tensors=["x"], transform=cases.as_torch)
    batch = next(iter(loader))
    assert batch["image"].shape == (3, 2, 3, 3)
    assert batch["x"][:, 0].tolist() == [0, 1, 2]
    scaled = ds.pytorch(3, tensors=["image"], transform={"image": _scaled})
    assert next(iter(scaled))["image"].dtype == torch.float32


def _scaled(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def test_tensors_of_transforms_may_be_padded_or_nested(ds):
    given = {"tensors": ["ragged"], "transform": {"ragged": torch.tensor}}
    padded = next(iter(ds.pytorch(3, ragged="pad", **given)))["ragged"]
    assert padded.tolist() == [[0, 0, 0], [1, 1, 0], [2, 2, 2]]
    nested = next(iter(ds.pytorch(3, ragged="nested", **given)))["ragged"]
    assert [one.tolist() for one in nested.unbind()] == [[0], [1, 1], [2, 2, 2]]


@pytest.mark.parametrize("to", [TorchFramework(), WorkerFramework(direct=True)])
def test_stacked_tensors_of_any_kind(to):
    for dtype in (torch.bfloat16, torch.bool, torch.float64, torch.complex64):
        parts = [torch.tensor([i, 1]).to(dtype) for i in range(3)]
        assert torch.equal(to.stack(parts), torch.stack(parts))
    scalars = [torch.tensor(float(i)) for i in range(3)]
    assert to.stack(scalars).tolist() == [0, 1, 2]
    assert to.stack([torch.ones(0, 3)] * 2).shape == (2, 0, 3)
    assert to.stack([torch.ones(2), torch.ones(2, dtype=torch.int64)]).dtype == torch.float32
    learned = torch.ones(2, requires_grad=True)
    assert to.stack([learned, learned]).requires_grad
    turned = torch.arange(6).reshape(2, 3).t()
    assert torch.equal(to.stack([turned, turned]), torch.stack([turned, turned]))


# -- devices -------------------------------------------------------------------------


def test_batches_go_to_a_device(ds):
    batch = next(iter(ds.pytorch(3, tensors=["x", "text"], device="meta")))
    assert batch["x"].device.type == "meta"
    assert batch["text"] == ["row 0", "row 1", "row 2"]
    assert next(iter(ds.pytorch(3, tensors=["x"], device="cpu")))["x"].tolist() == [0, 1, 2]


def test_pinning_is_a_switch(ds):
    with pytest.raises(InvalidTypeError, match="pin_memory='yes': expected True or False"):
        ds.pytorch(3, pin_memory="yes")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(ds):
    with pytest.raises(UnsupportedError, match="finds no GPU"):
        ds.pytorch(3, device="cuda")
    # Batches are as they are where nothing could copy them more quickly.
    assert next(iter(ds.pytorch(3, tensors=["x"], pin_memory=True)))["x"].tolist() == [0, 1, 2]


class FakeStream:
    """A stream of a device that copies only when somebody waits for it."""

    def __init__(self, log, device=None):
        self.log = log
        self.pending = []

    def record_event(self):
        self.log.append("recorded")
        return FakeEvent(self)

    def wait_event(self, event):
        self.log.append("waited")
        event.done = True


class FakeEvent:
    def __init__(self, stream):
        self.stream = stream
        self.done = False

    def query(self):
        return self.done


class FakeModule:
    """What torch.cuda is, of a device with streams."""

    def __init__(self):
        self.log = []
        self.current = FakeStream(self.log)

    def Stream(self, device):
        return FakeStream(self.log)

    @contextlib.contextmanager
    def stream(self, stream):
        self.log.append("entered")
        yield
        self.log.append("left")

    def current_stream(self, device):
        return self.current


@pytest.mark.parametrize("workers", [0, 2])
def test_copies_go_through_a_stream_of_their_own(ds, monkeypatch, workers):
    fake = FakeModule()
    recorded = []
    monkeypatch.setattr(torch, "meta", fake, raising=False)
    monkeypatch.setattr("hubzarr.loaders.torch.moving._STREAMS", ("meta",))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, s: recorded.append(s))
    loader = ds.pytorch(
        50, tensors=["x", "image"], device="meta", num_workers=workers, transform=cases.same
    )
    assert framework_module.has_streams(loader.device)
    batches = list(loader)
    assert [batch["x"].device.type for batch in batches] == ["meta"] * 3
    # The consumer's stream waits for each batch, and tells whose memory it uses.
    assert fake.log.count("waited") == 3
    assert recorded == [fake.current] * 6
    assert fake.log.index("recorded") < fake.log.index("waited")
    entered = [i for i, what in enumerate(fake.log) if what == "entered"]
    assert len(entered) == 3


def test_memory_is_kept_until_it_is_copied(monkeypatch):
    fake = FakeModule()
    monkeypatch.setattr(torch, "meta", fake, raising=False)
    monkeypatch.setattr("hubzarr.loaders.torch.moving._STREAMS", ("meta",))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, s: None)
    to = TorchFramework(torch.device("meta"))
    arriving = [to.finish({"x": torch.ones(3)}) for _ in range(3)]
    assert all(isinstance(one, Arriving) for one in arriving)
    assert len(to._mover._sources) == 3
    for one in arriving:
        assert arrived(one)["x"].device.type == "meta"
    to.finish({"x": torch.ones(3)})
    assert len(to._mover._sources) == 1
    assert arrived("as it is") == "as it is"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU at hand")
@pytest.mark.parametrize("workers", [0, 2])
def test_on_a_gpu(ds, workers):
    expected = [cases.listed(b) for b in ds.pytorch(8, tensors=["x", "image"], shuffle=True)]
    context = "spawn" if workers else None
    loader = ds.pytorch(8, tensors=["x", "image"], shuffle=True, device="cuda",
                        num_workers=workers, multiprocessing_context=context,
                        transform=cases.same)  # fmt: skip
    found = []
    for batch in loader:
        assert batch["image"].device == torch.device("cuda", torch.cuda.current_device())
        found.append({name: value.cpu().tolist() for name, value in batch.items()})
    assert found == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU at hand")
def test_pinned_memory(ds):
    batch = next(iter(ds.pytorch(8, tensors=["image"], pin_memory=True)))
    assert batch["image"].is_pinned()


# -- ranks ---------------------------------------------------------------------------


def test_ranks_of_the_environment(ds, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (ds.pytorch(4).options.rank, ds.pytorch(4).options.world_size) == (1, 2)
    given = ds.pytorch(4, rank=0, world_size=1)
    assert (given.options.rank, given.options.world_size) == (0, 1)
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(InvalidError, match="RANK=one"):
        ds.pytorch(4)
    monkeypatch.delenv("RANK")
    assert ds.pytorch(4).options.world_size == 1


def test_half_of_a_rank(ds):
    with pytest.raises(InvalidError, match="give both"):
        ds.pytorch(4, rank=1)
    with pytest.raises(InvalidError, match="numbered from 0 to 1"):
        ds.pytorch(4, rank=2, world_size=2)


def test_ranks_share_every_step(ds):
    loaders = [
        ds.pytorch(5, tensors=["x"], shuffle=True, rank=rank, world_size=3, num_workers=rank)
        for rank in range(3)
    ]
    seen = []
    for batches in zip(*loaders, strict=True):
        seen += [i for batch in batches for i in batch["x"].tolist()]
        states = [loader.state_dict() for loader in loaders]
        assert states[0] == states[1] == states[2]
        assert states[0]["position"] == len(seen)
    assert sorted(seen) == list(range(103))


@pytest.mark.parametrize("workers", [0, 2])
def test_collate(workers):
    ds = hub.empty("torch/collate")
    ds.create_tensor("x").extend([np.arange(i % 3 + 1) for i in range(20)])

    def collate(samples):
        lengths = [len(sample["x"]) for sample in samples]
        return {"flat": np.concatenate([sample["x"] for sample in samples]), "lengths": lengths}

    batches = list(
        ds.pytorch(5, num_workers=workers, multiprocessing_context="fork", collate=collate)
    )
    assert batches[0]["lengths"] == [1, 2, 3, 1, 2]
    assert all(isinstance(batch["flat"], torch.Tensor) for batch in batches)
    assert batches[0]["flat"].tolist() == [0, 0, 1, 0, 1, 2, 0, 0, 1]
