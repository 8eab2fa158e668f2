"""Write the golden repository of the current format. Run by hand, once per format number.

    python tests/formats/make_golden.py tests/formats/format-1.tar.gz

No test runs this: `test_golden.py` reads the archive as it was written on the day that the
format was fixed. Never overwrite an archive; a new format gets a new one.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

import hubzarr as hub


def build(root: str) -> None:
    """Arrays of many kinds, with a history that uses every part of the format."""
    hub.configure(root=root, author="golden")
    many_cells()
    images()
    special_values()
    for name, values in other_types().items():
        hub.from_numpy(values, f"types/{name}")
    history()
    nodes()


def many_cells() -> None:
    """300 cells: two levels of pages, one block uniform, one not."""
    a = hub.array((600, 2), "many:v0", dtype="int16", chunks=(2, 2), codec="none")
    a[...] = np.arange(1200).reshape(600, 2)
    a.commit("all")
    a[7] = -1
    a[599] = 99
    a.commit("two rows")
    a.resize((601, 2))
    a.commit("one row of fill")


def images() -> None:
    """Shards, channels, a cell never written, a lost inner chunk that is fill."""
    a = hub.array((6, 8, 8, 3), "images", dtype="uint8", chunks=(1, 8, 8, 3), shards=(2, 8, 8, 3))
    a.attributes["made by"] = "hubzarr"
    a[0] = np.arange(192).reshape(8, 8, 3)
    a[5] = 200
    a.commit("two pictures")


def special_values() -> None:
    """NaN, infinities, -0.0, a fill value that is not zero."""
    a = hub.array((3, 4), "special", dtype="float64", chunks=(1, 4), fill_value=-1.5, codec="lz4")
    a[0] = [np.nan, np.inf, -np.inf, -0.0]
    a[1] = [1, 2, 3, np.nan]
    a.commit("special")


def other_types() -> dict[str, np.ndarray]:
    """Arrays of dtypes with and without statistics."""
    pair = np.dtype([("x", "<i4"), ("y", "<f8")])
    return {
        "bool": np.array([True, False, True]),
        "complex": np.array([1 + 2j, -3j]),
        "date": np.array(["2026-11-21", "NaT"], "datetime64[D]"),
        "text": np.array(["zarr", "ζ", ""], "U4"),
        "strings": np.array(["a", "longer text", ""], object),
        "struct": np.array([(1, 2.5), (-3, 0.0)], pair),
        "zero": np.array(7.25, "float32"),
        "half": np.array([0.5, 65504], "float16"),
        "wide": np.array([2**64 - 1, 1], "uint64"),
    }


def history() -> None:
    """Branches, a merge, appends, a seal, a deleted version, enough commits for log pages."""
    main = hub.array((0,), "history", dtype="int32", chunks=(50,))
    for i in range(40):
        main.append([i])
        main.commit(f"row {i}")
    dev = main.branch("dev")
    dev[0] = 1000
    dev.commit("dev changes row 0")
    main[1] = 2000
    main.commit("main changes row 1")
    main.merge("dev", message="merge dev")
    main.branch("gone")
    hub.delete("history:gone")
    dev.seal("sealed")


def nodes() -> None:
    """More groups than a manifest holds inline."""
    import zarr

    store = hub.store("nodes")
    root = zarr.open_group(store)
    for i in range(260):
        root.create_group(f"g{i:03d}", attributes={"number": i})
    root["g007"].create_array("x", data=np.arange(5))
    store.session.commit("260 groups and an array")


def main(target: str) -> None:
    """Build in a temporary folder and pack it."""
    if Path(target).exists():
        sys.exit(f"{target} exists: a golden repository is never written again")
    with tempfile.TemporaryDirectory() as folder:
        build(folder)
        with tarfile.open(target, "w:gz") as archive:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    entry = tarfile.TarInfo(str(path.relative_to(folder)))
                    data = path.read_bytes()
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))


if __name__ == "__main__":
    main(sys.argv[1])
