"""Lazy statistics are dask arrays that give what the eager ones give."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.arrays import lazy as module
from hubzarr.arrays.handle import source_of
from hubzarr.arrays.lazy import lazy
from hubzarr.arrays.reductions import NAMES, reduce
from hubzarr.codecs import array_document
from hubzarr.errors import UnsupportedError
from hubzarr.indexing import apply, identity
from hubzarr.session.opening import create_repository, open_session
from hubzarr.storage import open_storage
from tests.arrays.engines import random_array, random_axis, random_key

pytest.importorskip("dask.array")


def computed(array):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return array.compute(scheduler="sync")


@given(st.integers(0, 2**32), st.sampled_from(["u1", "i8", "f4", "f8", "c16"]))
def test_equals_eager(seed, dtype):
    rng = np.random.default_rng(seed)
    engine, x = random_array(rng, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "open_engine", lambda source: source)
        patch.setattr(module, "TASK_BYTES", int(rng.choice([64, 512, 1 << 26])))
        patch.setattr(module, "LEAST_BYTES", int(rng.choice([64, 512, 1 << 26])))
        patch.setattr("hubzarr.arrays.streaming.TILE", int(rng.choice([4, 1 << 17])))
        for _ in range(3):
            key = random_key(rng, x.shape)
            t, y = apply(identity(x.shape), key), x[key]
            name = str(rng.choice(["mean", "std", "sum", "count", "nanvar"]))
            options = {"axis": random_axis(rng, y.ndim), "keepdims": bool(rng.random() < 0.3)}
            if dtype == "c16" and options["axis"] == ():
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = lazy(engine, engine, t, name, **options)
                want = reduce(engine, t, name, **options)
            got = computed(made)
            assert (made.shape, made.dtype) == (np.shape(want), np.asarray(want).dtype)
            assert (np.shape(got), np.asarray(got).dtype) == (made.shape, made.dtype)
            atol = 1e-6 if dtype == "f4" else 1e-9
            np.testing.assert_allclose(got, want, rtol=1e-6 if dtype == "f4" else 1e-12, atol=atol)
            np.testing.assert_array_equal(computed(lazy(engine, engine, t, None)), y)


@pytest.fixture
def committed(tmp_path):
    """A session with a committed array of 9 chunks, and its elements."""
    storage = open_storage(str(tmp_path / "repository"))
    document = array_document((30, 30), "f8", (10, 10), None)
    create_repository(storage, "main", document, author="ada")
    session = open_session(storage, "main")
    x = np.random.default_rng(0).normal(size=(30, 30))
    session.array("").engine.write(identity((30, 30)), x)
    session.commit("numbers")
    yield session, x
    session.close()


@pytest.mark.parametrize("name", NAMES)
def test_tasks_can_be_pickled(committed, name):
    session, x = committed
    engine = session.array("").engine
    source = source_of(session, "")
    for key in ((), slice(3, 30), slice(None, None, 2)):
        t = apply(identity(x.shape), key)
        for axis in (None, 1):
            made = lazy(source, engine, t, name, axis=axis)
            want = reduce(engine, t, name, axis=axis)
            np.testing.assert_allclose(pickle.loads(pickle.dumps(made)).compute(), want, rtol=1e-12)


def test_whole_array_is_one_constant(committed):
    session, x = committed
    made = lazy(source_of(session, ""), session.array("").engine, identity(x.shape), "mean")
    assert len(made.dask) == 2
    assert made.compute() == pytest.approx(x.mean(), rel=1e-13)


def test_elements_have_chunks_of_whole_stored_ones(committed, monkeypatch):
    session, x = committed
    monkeypatch.setattr(module, "_block_bytes", lambda nbytes: 8 * 10 * 30)
    t = apply(identity(x.shape), slice(5, 30))
    made = lazy(source_of(session, ""), session.array("").engine, t, None)
    assert made.chunks == ((5, 10, 10), (30,))
    np.testing.assert_array_equal(made.compute(), x[5:])


def test_without_dask_the_error_says_what_to_install(committed, monkeypatch):
    session, x = committed
    monkeypatch.setitem(__import__("sys").modules, "dask.array", None)
    with pytest.raises(UnsupportedError, match=r"pip install"):
        lazy(source_of(session, ""), session.array("").engine, identity(x.shape), "mean")
