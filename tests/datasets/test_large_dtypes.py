"""Samples read box by box keep their values, or are refused: nothing is cut to a smaller dtype."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import SampleError


class Deep:
    """A picture of 16 bits."""

    shape, dtype, tile_shape = (300, 200, 3), np.dtype("uint16"), (100, 100, 3)

    def read(self, box):
        return np.full([s.stop - s.start for s in box], 3000, "uint16")


@pytest.mark.parametrize("options", [{}, {"sample_compression": "png"}], ids=["plain", "png"])
def test_a_dtype_that_is_too_small(options):
    ds = hub.empty("large/small")
    maps = ds.create_tensor("maps", htype="image", **options)
    with pytest.raises(SampleError, match=r"uint16 in a tensor of uint8; create .*dtype='uint16'"):
        maps.append(Deep())
    assert len(maps) == 0


@pytest.mark.parametrize(
    ("dtype", "compression"), [("uint16", "png"), ("uint16", None), ("float32", None)]
)
def test_a_dtype_that_holds_the_values(dtype, compression):
    options = {"sample_compression": compression}
    ds = hub.empty("large/deep")
    ds.create_tensor("maps", htype="image", dtype=dtype, **options).append(Deep())
    assert ds.maps[0].numpy().dtype == dtype
    assert ds.maps[0][250:260, 150:160].numpy().min() == 3000
