"""The example of Hub Arrays, the ancestor of this package, runs but for the import."""

from __future__ import annotations

import numpy as np
import pytest


def test_example_of_hub_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    import hubzarr as hub

    image = np.random.default_rng(0).random((512, 512, 3))

    # Create a large array that you can read/write from anywhere.
    bigarray = hub.array((100000, 512, 512, 3), name="test/bigarray:v0")

    # Writing to one slice of the array. Automatically syncs to cloud.
    bigarray[0, :, :, :] = image

    # Load an existing array.
    bigarray = hub.load(name="test/bigarray:v0")

    # Slice array by memory-efficient numpy-like view, and plot it.
    a = bigarray
    shown = plt.imshow(a[0])
    mean, std = a[0].mean(), a[0].std()
    print(a[0])

    assert np.array_equal(shown.get_array(), image)
    np.testing.assert_allclose([mean, std], [image.mean(), image.std()], rtol=1e-12)
    np.testing.assert_allclose(bigarray.mean(), image.mean() / 100000, rtol=1e-12)
    assert capsys.readouterr().out == f"{image}\n"
    plt.close("all")
