"""Write deeplake-3.9.52.tar.xz or hub-2.8.5.tar.xz: run it where that release is installed.

``python make_hub.py`` in an environment with ``deeplake==3.9.52 numpy<2`` or ``hub==2.8.5
numpy<2``. Version control: ``main`` has commits "first" and "second" and changes after them,
``dev`` branches off from "second".
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from hub_samples import ROWS, newer_samples, picture, samples  # noqa: E402

try:
    import deeplake as hub
except ImportError:
    import hub


def fill(ds):
    new = hub.__version__.startswith("3.")
    tensors = samples() | (newer_samples() if new else {})
    for name, (options, values) in tensors.items():
        tiled = {"tiling_threshold": 20_000} if name == "large" and new else {}
        # One tensor keeps the hidden ones that Hub makes by default.
        lean = ("create_id_tensor", "create_shape_tensor", "create_sample_info_tensor")
        without = {} if name == "png" else dict.fromkeys(lean, False)
        ds.create_tensor(name, **options, **tiled, **without)
        ds[name].extend(values)
    if new:
        lean = {"create_shape_tensor": False, "create_sample_info_tensor": False}
        ds.create_tensor("links", "link[image]", sample_compression="jpeg", verify=False, **lean)
        ds.links.extend([hub.link(f"pictures/{i}.jpg") for i in range(ROWS)])
    ds.create_tensor("bare", htype="image", sample_compression="png")


def main():
    name = f"{'deeplake' if hub.__name__ == 'deeplake' else 'hub'}-{hub.__version__}"
    folder = Path(tempfile.mkdtemp()) / name
    ds = hub.empty(str(folder))
    ds.info.update(author="somebody")
    fill(ds)
    ds.rename_tensor("scalar", "number")
    ds.commit("first")
    ds.label[1] = 0
    ds.png[2] = picture(5)
    ds.commit("second")
    ds.checkout("dev", create=True)
    ds.label[0] = 2
    ds.commit("on dev")
    ds.checkout("main")
    ds.label[5] = 1
    ds.fixed[3] = np.ones((3, 4))
    ds.flush()
    shutil.make_archive(str(HERE / name), "xztar", folder)


if __name__ == "__main__":
    main()
