"""Small floats where ml_dtypes, which has them, is not installed."""

from __future__ import annotations

import configparser
import importlib
import sys
from pathlib import Path

import pytest
from zarr.dtype import data_type_registry

import hubzarr as hub
from hubzarr.codecs import compile_codec
from hubzarr.dtypes import SMALL_FLOATS, as_dtype, is_small_float, kind_of
from hubzarr.errors import UnsupportedError
from hubzarr.stats import stats_dtype

NAMES = pytest.mark.parametrize("name", SMALL_FLOATS)


@pytest.fixture
def without(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)


@NAMES
@pytest.mark.usefixtures("without")
def test_the_error_names_the_extra(name):
    message = rf"dtype {name} needs the package ml_dtypes: pip install 'hubzarr\[bfloat16\]'"
    dataset = hub.dataset("small/none")
    document = {
        "data_type": name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }
    for call in (
        lambda: hub.array((3,), "small/array", dtype=name),
        lambda: dataset.create_tensor("x", dtype=name),
        lambda: compile_codec(document),
        lambda: as_dtype(name),
        lambda: stats_dtype(name),
    ):
        with pytest.raises(UnsupportedError, match=message):
            call()


@pytest.mark.parametrize("name", ["float32", "float16", "uint8", "U3", "M8[s]", "f4,i2", "V2"])
@pytest.mark.usefixtures("without")
def test_other_dtypes_need_no_package(name):
    dtype = as_dtype(name)
    assert not is_small_float(dtype)
    assert kind_of(dtype) == dtype.kind


def test_zarr_finds_the_data_types_by_entry_points():
    config = configparser.ConfigParser()
    config.read(Path(__file__).resolve().parents[2] / "setup.cfg")
    lines = config["options.entry_points"]["zarr.data_type"].split("\n")
    found = dict(line.split(" = ") for line in lines if line)
    assert sorted(found) == sorted(SMALL_FLOATS)
    for name, target in found.items():
        module, _, attribute = target.partition(":")
        assert getattr(importlib.import_module(module), attribute)._zarr_v3_name == name
        assert data_type_registry.get(name)._zarr_v3_name == name
