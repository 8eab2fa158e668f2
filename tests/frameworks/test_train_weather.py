"""The training example learns, and a kill in the middle of an epoch changes nothing."""

from __future__ import annotations

import importlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.realdata import real

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("PIL", reason="Pillow is not installed")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMALL = ["--epochs", "4", "--every", "2", "--checkpoint", "small.pt", "--device", "cpu"]
#: 128 of 160 skies are trained on, 32 at a time.
ROWS, STEPS = 128, 4

#: Runs the example, and kills itself before a step, or in the middle of saving a checkpoint.
CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import torch
import train_weather

torch.set_num_threads(1)  # sums are the same each time


def deadly(function, call):
    def wrapper(*args):
        wrapper.calls += 1
        if wrapper.calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)

    wrapper.calls = 0
    return wrapper


where, call = sys.argv[2], int(sys.argv[3])
if where == "step":
    train_weather.Training.step = deadly(train_weather.Training.step, call)
elif where == "replace":
    train_weather.os.replace = deadly(os.replace, call)
train_weather.main(sys.argv[4:])
"""


def run(folder: Path, *arguments: str, die: tuple[str, int] = ("never", 0)) -> tuple[int, str]:
    """Run the example in a process of its own; its exit status and what it printed."""
    where, call = die
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(EXAMPLES), where, str(call), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not done.stderr or done.returncode not in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout + done.stderr


def epochs(printed: str) -> list[str]:
    return re.findall(r"^epoch .*$", printed, re.MULTILINE)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is printed for each epoch when nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUBZARR_ROOT", str(folder / "root"))
        status, printed = run(folder, *SMALL, "--images", "40")
    assert status == 0, printed
    return epochs(printed)


def test_it_learns(undisturbed: list[str]) -> None:
    assert len(undisturbed) == 4
    found = re.search(r"accuracy ([\d.]+)%; 128 images, each once$", undisturbed[-1])
    assert found is not None, undisturbed[-1]
    assert float(found[1]) > 60  # 25 by chance


def test_it_learns_from_photographs(tmp_path: Path) -> None:
    """Two sizes, some of them grey."""
    photographs = str(real("images/weather4"))
    status, printed = run(tmp_path, *SMALL, "--data", photographs)
    assert status == 0, printed
    found = re.search(r"accuracy ([\d.]+)%; 288 images, each once$", epochs(printed)[-1])
    assert found is not None, printed
    assert float(found[1]) > 55  # 25 by chance, some 85 here


@pytest.mark.timeout(300)  # one process after the other imports PyTorch
def test_kill_and_resume(
    undisturbed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same skies, but from a folder of one's own.
    monkeypatch.syspath_prepend(str(EXAMPLES))
    skies = tmp_path / "skies"
    skies.mkdir()
    importlib.import_module("train_weather").draw_skies(skies, 40)
    small = [*SMALL, "--data", str(skies)]

    # Killed before the last step of epoch 1, which no checkpoint has.
    status, first = run(tmp_path, *small, die=("step", 2 * STEPS))
    assert status == -signal.SIGKILL, first
    assert stands_at(tmp_path) == (1, 96)

    # Killed with a checkpoint of epoch 2 half saved: the one before it counts.
    status, second = run(tmp_path, *small, "--resume", die=("replace", 4))
    assert status == -signal.SIGKILL, second
    assert "goes on in epoch 1 after 96 samples of it" in second
    assert stands_at(tmp_path) == (2, 32)

    status, third = run(tmp_path, *small, "--resume")
    assert status == 0, third
    assert "goes on in epoch 2 after 32 samples of it" in third
    # Each epoch says that it saw each image once, and all numbers are those of a run in peace.
    assert epochs(first) + epochs(second) + epochs(third) == undisturbed
    assert all(line.endswith(f"{ROWS} images, each once") for line in undisturbed)


def stands_at(folder: Path) -> tuple[int, int]:
    """Epoch and position of a checkpoint; of so many samples it has the rows."""
    state = torch.load(folder / "small.pt")
    position = state["loader"]["position"]
    assert len(set(state["seen"])) == len(state["seen"]) == position
    return state["loader"]["epoch"], position


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_why(tmp_path: Path) -> None:
    status, printed = run(tmp_path, "--device", "cuda")
    assert status == 1
    assert re.search(
        r"--device cuda: (this PyTorch is built without CUDA|no GPU is found)", printed
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch.cuda.is_available() is False")
def test_on_a_gpu(tmp_path: Path) -> None:
    small = [*SMALL, "--images", "40", "--device", "cuda"]
    status, _ = run(tmp_path, *small, die=("step", 2 * STEPS))
    assert status == -signal.SIGKILL
    status, printed = run(tmp_path, *small, "--resume")
    assert status == 0, printed
    assert "on cuda" in printed
    lines = epochs(printed)
    assert len(lines) == 3
    assert all(line.endswith("each once") for line in lines)
