"""Training on several processes, kill and resume, Accelerate and Lightning."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import socket
import time
import warnings

import pytest

import hubzarr as hub
from tests.frameworks import torch_cases as cases

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from hubzarr.loaders.torch import IterableDataset  # noqa: E402

fork = multiprocessing.get_context("fork")


def _processes(function, count, *args):
    """Run a function in processes, with their number; give back exit codes."""
    processes = [fork.Process(target=_quietly, args=(function, i, *args)) for i in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    codes = [process.exitcode for process in processes]
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()
    return codes


def _quietly(function, *args):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # OpenMP's threads don't survive a fork
    function(*args)


def _rows_in(folder):
    rows = []
    for path in folder.glob("rows-*"):
        rows += [int(text) for text in path.read_text().split()]
    return rows


# -- DDP -----------------------------------------------------------------------------


def _train(rank, world, folder, stop):
    """A rank of a training that notes what it has seen, and is killed after a step."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world
    )
    # Rank and number of ranks come from torch.distributed; rank 1 has worker processes.
    loader = hub.load("torch/cases").pytorch(
        4, tensors=["x"], shuffle=True, window=30, num_workers=2 * rank
    )
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
    with (folder / f"rows-{rank}").open("w") as seen:
        for step, batch in enumerate(loader):
            model(batch["x"].float()[:, None]).sum().backward()
            seen.write(" ".join(map(str, batch["x"].tolist())) + "\n")
            seen.flush()
            if rank == 0:
                (folder / "state").write_text(json.dumps(loader.state_dict()))
            torch.distributed.barrier()
            if step == stop:
                os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.destroy_process_group()


def test_ddp_gives_each_sample_once(tmp_path):
    cases.dataset()
    assert _processes(_train, 2, 2, tmp_path, -1) == [0, 0]
    assert sorted(_rows_in(tmp_path)) == list(range(103))
    counts = [len((tmp_path / f"rows-{rank}").read_text().splitlines()) for rank in range(2)]
    assert counts == [13, 13]  # no rank waits for another


@pytest.mark.parametrize("world", [1, 3])
def test_killed_and_resumed_on_other_ranks(tmp_path, world):
    ds = cases.dataset()
    assert _processes(_train, 2, 2, tmp_path, 6) == [-signal.SIGKILL] * 2
    seen = _rows_in(tmp_path)
    assert len(seen) == 2 * 4 * 7
    state = json.loads((tmp_path / "state").read_text())
    loaders = [
        ds.pytorch(5, tensors=["x"], shuffle=True, window=30, rank=rank, world_size=world,
                   num_workers=rank)
        for rank in range(world)
    ]  # fmt: skip
    for loader in loaders:
        loader.load_state_dict(state)
    for batches in zip(*loaders, strict=True):
        seen += [i for batch in batches for i in batch["x"].tolist()]
    assert sorted(seen) == list(range(103))
    assert [loader.epoch for loader in loaders] == [1] * world


def _made_before_its_rank_is_known(rank, world, folder):
    loader = hub.load("torch/cases").pytorch(10, tensors=["x"], shuffle=True)
    data = IterableDataset(hub.load("torch/cases"), 10, tensors=["x"], shuffle=True)
    alone = hub.load("torch/cases").pytorch(10, tensors=["x"], rank=0, world_size=1)
    before = len(loader)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world
    )
    if (before, len(loader), len(alone)) != (11, 6, 11):
        os._exit(3)
    rows = [i for batch in loader for i in batch["x"].tolist()]
    for context in ("fork", "spawn"):
        data.set_epoch(0)
        mine = torch.utils.data.DataLoader(
            data, batch_size=None, num_workers=1, multiprocessing_context=context
        )
        if [i for batch in mine for i in batch["x"].tolist()] != rows:
            os._exit(4)
    (folder / f"rows-{rank}").write_text(" ".join(map(str, rows)))
    torch.distributed.destroy_process_group()


def test_ranks_that_are_known_late(tmp_path):
    cases.dataset()
    assert _processes(_made_before_its_rank_is_known, 2, 2, tmp_path) == [0, 0]
    assert sorted(_rows_in(tmp_path)) == list(range(103))


# -- Accelerate ----------------------------------------------------------------------


def _accelerated(rank, world, folder, port):
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    import accelerate

    accelerator = accelerate.Accelerator(cpu=True)
    loader = hub.load("torch/cases").pytorch(
        4, tensors=["x"], shuffle=True, device=accelerator.device, num_workers=rank
    )
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    model, optimizer, prepared = accelerator.prepare(model, optimizer, loader)
    if prepared is not loader or accelerator.num_processes != world:
        os._exit(3)
    with (folder / f"rows-{rank}").open("w") as seen:
        for batch in prepared:
            accelerator.backward(model(batch["x"].float()[:, None]).sum())
            optimizer.step()
            rows = accelerator.gather(batch["x"]) if len(batch["x"]) == 4 else batch["x"]
            if len(rows) not in (8, len(batch["x"])):
                os._exit(4)
            seen.write(" ".join(map(str, batch["x"].tolist())) + "\n")
    accelerator.wait_for_everyone()


def test_accelerate_leaves_the_loader_as_it_is(tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    cases.dataset(rows=104)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert _processes(_accelerated, 2, 2, tmp_path, port) == [0, 0]
    assert sorted(_rows_in(tmp_path)) == list(range(104))


# -- Lightning -----------------------------------------------------------------------


def _lightning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("lightning", reason="lightning is not installed")


def _module(package, saves=None):
    """A module that notes the rows that it sees, and saves a checkpoint after some steps."""

    class Module(package.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.seen = []

        def training_step(self, batch, number):
            self.seen.append((self.current_epoch, batch["x"].tolist()))
            return self.layer(batch["x"].float()[:, None]).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.0)

        def on_train_batch_end(self, outputs, batch, number):
            if saves is not None and len(self.seen) == 5:
                self.trainer.save_checkpoint(saves)

    return Module()


def _trainer(package, folder, **given):
    return package.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder, **given,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_resumes_within_an_epoch(tmp_path, workers):
    package = _lightning()
    ds = cases.dataset()
    given = {"tensors": ["x"], "shuffle": True, "num_workers": workers}
    plain = ds.pytorch(10, tensors=["x"], shuffle=True)
    expected = [(epoch, batch["x"].tolist()) for epoch in range(2) for batch in plain]
    first = _module(package, saves=tmp_path / "middle.ckpt")
    _trainer(package, tmp_path, max_epochs=2).fit(first, ds.pytorch(10, **given))
    assert first.seen == expected
    later = _module(package)
    _trainer(package, tmp_path, max_epochs=2).fit(
        later, ds.pytorch(10, **given), ckpt_path=tmp_path / "middle.ckpt", weights_only=False
    )
    assert later.seen == expected[5:]


@pytest.mark.filterwarnings("ignore")
def test_lightning_validates_with_a_loader(tmp_path):
    package = _lightning()
    ds = cases.dataset()
    module = _module(package)
    rows = []
    type(module).validation_step = lambda self, batch, number: rows.append(batch["x"].tolist())
    _trainer(package, tmp_path, max_epochs=1, num_sanity_val_steps=2).fit(
        module, ds.pytorch(50, tensors=["x"]), ds[:20].pytorch(10, tensors=["x"])
    )
    first, second = list(range(10)), list(range(10, 20))
    assert rows == [first, second, first, second]


@pytest.fixture(autouse=True)
def _no_processes_left():
    yield
    gc.collect()  # trainers and modules refer to each other
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert multiprocessing.active_children() == []
