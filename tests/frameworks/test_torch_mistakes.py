"""Mistakes that users of PyTorch make, and what they are told."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import hubzarr as hub  # noqa: E402
from hubzarr.errors import InvalidError, InvalidTypeError, UnsupportedError  # noqa: E402


@pytest.fixture
def labels():
    made = hub.empty("mistakes/labels").create_tensor("labels", htype="class_label")
    made.extend([np.arange(i % 3 + 1) for i in range(6)])
    return made


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("buffer_size", "window="),
        ("collate_fn", "collate="),
        ("generator", "seed="),
        ("persistent_workers", "anyway"),
        ("prefetch_factor", "prefetch="),
        ("sampler", "MapDataset"),
        ("tobytes", "decode="),
        ("shufle", r"did you mean shuffle\?"),
        ("wibble", "options are batch_size"),
    ],
)
def test_options_of_other_loaders(labels, option, said):
    with pytest.raises(InvalidTypeError, match=f"no option '{option}': .*{said}"):
        labels.pytorch(4, **{option: 1})


@pytest.mark.parametrize("device", ["gpu", True, 3.5])
def test_devices_that_there_are_not(labels, device):
    with pytest.raises(InvalidError, match="expected a device of PyTorch, such as 'cuda'"):
        labels.pytorch(3, device=device)


@pytest.mark.parametrize("device", ["cuda:99", 99])
def test_gpus_that_there_are_not(labels, device):
    with pytest.raises(UnsupportedError, match="PyTorch finds"):
        labels.pytorch(3, device=device)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_labels_are_padded_with_what_losses_ignore(labels, num_workers):
    options = {"ragged": "pad", "num_workers": num_workers, "transform": np.sort}
    first, second = list(labels.pytorch(3, fill=-100, **options))
    assert first.dtype == torch.int64
    assert first.tolist() == second.tolist() == [[0, -100, -100], [0, 1, -100], [0, 1, 2]]
    assert next(iter(labels.pytorch(3, fill=7, **options))).tolist()[0] == [0, 7, 7]
    with pytest.raises(InvalidError, match=r"fill=0.5 .*can't hold it"):
        next(iter(labels.pytorch(3, fill=0.5, **options)))
