"""Masks of COCO: the values wanted are those of pycocotools 2.0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hubzarr.errors import SampleError
from hubzarr.media.rle import (
    mask_of_polygons,
    mask_of_runs,
    pack_runs,
    runs_of_mask,
    unpack_runs,
)

# Height, width, polygon, and the run lengths of its mask.
DRAWN = [
    (29, 33, [21.0, 9.0, -2.0, 14.0, 15.0, -3.0], "<1k01O1O1O1O001O1O1O1O001O1000O10002N2N2M3Nd:"),
    (33, 8, [44.96, 27.62, 6.73, 16.75, 43.71, 39.88], "X8"),
    (33, 35, [20.0, 29.0, -2.0, 23.0, 9.0, 39.0], "h02o02N1O2O0O1O01O0000001O0000001O0O1O2Nd?"),
    (20, 13, [28.96, 38.5, 6.37, 39.77, 38.61, -4.07], "T8"),
    (
        32,
        30,
        [20.0, 17.0, 5.0, 11.0, 35.0, 11.0, 2.0, 30.0, 17.0, 35.0, 7.0, 11.0],
        "m31o01N1_ON33=1_ON13OKF38222KO5KF6109JF`0:JHJ8MF55K58NF23F2d041O100O100O100O1O100O100OF",
    ),
    (
        8,
        12,
        [20.35, 20.32, 6.81, -4.27, 41.66, -0.71, 37.25, 13.39, 42.55, 14.97, 41.82, 22.81],
        "X2172N1O",
    ),
    (29, 15, [29.0, 29.0, 18.0, 6.0, 27.0, 0.0, 30.0, 27.0], "c="),
    (
        31,
        37,
        [34.93, 4.7, 14.52, 34.9, 14.02, 30.66, 25.63, 42.05],
        "[b02l01N2O1N2O1N2O1N2O1N10M2O2M2N3M2Nm1",
    ),
    (
        29,
        39,
        [35.0, 3.0, 31.0, 37.0, 15.0, 23.0, 19.0, 43.0, 11.0, 15.0, -5.0, 16.0],
        ">2k0000O01000O10000O10002M4M4L3LMGF7;51N2O1O1N2O000O10000O10000O1000K4I8Gj3",
    ),
    (
        31,
        19,
        [41.75, 41.18, 11.37, 44.44, 4.38, 36.16, 2.86, 15.25, -1.33, 37.9, 36.44, 1.99],
        "l03g05J67IS3JRM1O1O1O1O1O1O1O1O1O1O1",
    ),
    (
        18,
        24,
        [20.0, 23.0, 0.0, 38.0, 9.0, 17.0, -2.0, -5.0, 5.0, 12.0, 41.0, 39.0, 19.0, 18.0],
        "01c0001O001OO1Od00[O2OO1OW6",
    ),
    (
        16,
        8,
        [37.94, 11.86, 34.68, 14.95, 24.7, 31.87, 20.07, 29.54, 29.87, -4.71, -3.05, 2.45],
        "21>101O00000O2O00",
    ),
]


@pytest.mark.parametrize(("height", "width", "polygon", "packed"), DRAWN)
def test_polygons_are_drawn_as_coco_does(height, width, polygon, packed):
    mask = mask_of_polygons([polygon], height, width)
    assert np.array_equal(mask, mask_of_runs(unpack_runs(packed), height, width))
    assert pack_runs(runs_of_mask(mask)) == packed


def test_parts_of_an_object_are_joined():
    left, right = [0, 0, 2, 0, 2, 2, 0, 2], [4, 0, 6, 0, 6, 2, 4, 2]
    mask = mask_of_polygons([left, right], 2, 6)
    assert mask.astype(int).tolist() == [[1, 1, 0, 0, 1, 1]] * 2
    assert not mask_of_polygons([], 2, 6).any()


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_runs_round_trip(mask):
    runs = runs_of_mask(mask)
    assert unpack_runs(pack_runs(runs)) == runs
    assert np.array_equal(mask_of_runs(runs, *mask.shape), mask)


@given(st.lists(st.integers(0, 10**7), min_size=1))
def test_packing_round_trips_for_large_runs(runs):
    assert unpack_runs(pack_runs(runs)) == runs


@given(st.binary(max_size=30))
def test_broken_packs_are_told(data):
    try:
        runs = unpack_runs(data)
    except SampleError:
        return
    assert unpack_runs(pack_runs(runs)) == runs


@pytest.mark.parametrize("runs", [[1, 2], [3, 4], [-1, 7], [[6]]])
def test_runs_must_fill_the_mask(runs):
    with pytest.raises(SampleError, match="broken run lengths"):
        mask_of_runs(runs, 2, 3)


@pytest.mark.parametrize("polygon", [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 1, 2, np.nan]])
def test_polygons_need_points(polygon):
    with pytest.raises(SampleError, match="broken polygon"):
        mask_of_polygons([polygon], 2, 3)
