"""bfloat16 and floats of 8 bits from tensors of PyTorch and arrays of JAX."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install hubzarr[torch]")
pytest.importorskip("ml_dtypes", reason="needs ml_dtypes: pip install hubzarr[bfloat16]")

NAMES = pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])


@NAMES
def test_tensors_of_pytorch(name):
    given = torch.linspace(-3, 3, 12).reshape(4, 3).to(getattr(torch, name))
    wanted = given.to(torch.float32).numpy()
    ds = hub.empty("small/torch")
    ds.create_tensor("x", dtype=name)
    ds.create_tensor("wide", dtype="float32")
    ds.create_tensor("any")
    for row in given:
        ds.x.append(row)
        ds.any.append(row)
    ds.wide.extend(given)
    ds.x.extend(given.T.contiguous().T)
    for found in (ds.x.numpy()[:4], ds.x.numpy()[4:], ds.any.numpy()):
        assert found.dtype == np.dtype(name)
        np.testing.assert_array_equal(found.astype("f4"), wanted)
    np.testing.assert_array_equal(ds.wide.numpy(), wanted)
    a = hub.array((4, 3), "small/array", dtype=name)
    a[...] = given
    a[0] = given[1].requires_grad_(name == "bfloat16")
    np.testing.assert_array_equal(a[1:].compute().astype("f4"), wanted[1:])
    np.testing.assert_array_equal(a[0].compute().astype("f4"), wanted[1])


@NAMES
def test_arrays_of_jax(name):
    jnp = pytest.importorskip("jax.numpy", reason="needs JAX: pip install hubzarr[jax]")
    given = jnp.linspace(-3, 3, 12).reshape(4, 3).astype(name)
    a = hub.from_numpy(given, "small/jax")
    assert a.dtype == np.dtype(name)
    assert hub.array((3,), "small/jax2", dtype=getattr(jnp, name)).dtype == a.dtype
    np.testing.assert_array_equal(a[:].compute(), np.asarray(given))
    ds = hub.empty("small/jax3")
    ds.create_tensor("x", dtype=name)
    ds.x.extend(given)
    np.testing.assert_array_equal(ds.x.numpy(), np.asarray(given))
