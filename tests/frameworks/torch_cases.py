"""Data and functions for the tests of loaders for PyTorch; worker processes import them."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

import hubzarr as hub

ROWS = 103


def dataset(name="torch/cases", rows=ROWS):
    """Uniform numbers, images, text and ragged arrays, whose values tell the row."""
    ds = hub.empty(name)
    numbers = np.arange(rows)
    ds.create_tensor("x").extend(numbers)
    images = np.repeat(numbers.astype("u1"), 48 * 16).reshape(rows, 16, 16, 3)
    ds.create_tensor("image").extend(images)
    ds.create_tensor("text", htype="text").extend([f"row {i}" for i in range(rows)])
    ds.create_tensor("ragged").extend([np.full(i % 5 + 1, i, "f4") for i in range(rows)])
    ds.commit("cases")
    return ds


def listed(batch):
    """A batch as plain values that can be compared."""
    if isinstance(batch, dict):
        return {name: listed(value) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        return [listed(value) for value in batch]
    return batch.tolist() if hasattr(batch, "tolist") else batch


def same(sample):
    return sample


def doubled(sample):
    return {"x": sample["x"] * 2, "row": np.int64(sample["x"])}


def as_torch(sample):
    import torch

    return {"x": torch.tensor([float(sample["x"])] * 200), "image": torch.ones(2, 3, 3)}


def broken_at_7_and_50(sample):
    if sample["x"] in (7, 50):
        raise ValueError(f"bad {sample['x']}")
    return sample


def random_numbers(sample):
    return {"x": sample["x"], "random": np.random.random()}


def ended_at_40(sample):
    if sample["x"] == 40:
        os.kill(os.getpid(), signal.SIGKILL)
    return sample


def slow(sample):
    time.sleep(0.02)
    return sample


class Peculiar(Exception):
    """Can't be made from its message alone, so pickle can't bring it back."""

    def __init__(self, code, why):
        super().__init__(f"{code}: {why}")


def peculiar(sample):
    raise Peculiar(3, "odd")


def fail_in_worker(number):
    raise RuntimeError(f"no worker {number} here")


def leave_a_mark(number):
    (open(f"{os.environ['MARKS']}/{number}", "w")).close()
