"""Statistics come from compiled kernels or from NumPy; tests may ask for both."""

from __future__ import annotations

import pytest

from hubzarr.stats import native


@pytest.fixture(params=["compiled", "numpy"], scope="module")
def kernels(request):
    """Run the tests of a module with either kind of kernels."""
    if request.param == "compiled" and not native.AVAILABLE:
        pytest.skip("this installation has no compiled kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            native, "fill", native.compiled if request.param == "compiled" else native.refuse
        )
        yield request.param
