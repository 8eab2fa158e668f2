"""The compiled kernels; everything else about the package is in setup.cfg."""

import sysconfig

from setuptools import Extension, setup

# Builds of Python without a global lock have no stable binary interface.
stable = not sysconfig.get_config_var("Py_GIL_DISABLED")

kernels = Extension(
    "hubzarr.stats._kernels",
    sources=["hubzarr/stats/_kernels.c"],
    depends=[f"hubzarr/stats/_kernels_{name}.h" for name in ("int", "wide", "float")],
    define_macros=[("Py_LIMITED_API", "0x030C0000")] if stable else [],
    # Without contraction every processor gives the same bits; the pragmas make loops vectorise.
    extra_compile_args=["-O3", "-g0", "-ffp-contract=off", "-fno-trapping-math", "-fopenmp-simd"],
    py_limited_api=stable,
    optional=True,  # without a compiler, NumPy does the same, more slowly
)

setup(
    ext_modules=[kernels],
    options={"bdist_wheel": {"py_limited_api": "cp312"}} if stable else {},
)
