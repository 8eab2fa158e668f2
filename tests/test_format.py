"""docs/format.md suffices: a reader made from it alone agrees with hubzarr, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numcodecs.zstd import decompress

import hubzarr as hub


class Reader:
    """Knows the page on the format and nothing else."""

    def __init__(self, repository: Path, version: str) -> None:
        self.repository = repository
        files = sorted((repository / "versions" / version).glob("*.json"))
        assert [f.stem for f in files] == [f"{n:012d}" for n in range(len(files))]
        self.manifests = [self._manifest(file) for file in files]
        self.head = self.manifests[-1]

    def _manifest(self, file: Path) -> dict[str, Any]:
        data = file.read_bytes()
        value: dict[str, Any] = json.loads(data)
        digest = hashlib.blake2b(data[:-45] + b"}", digest_size=16).hexdigest()
        assert list(value)[-1] == "digest"
        assert value["digest"] == digest
        assert value["hubzarr"] == 1
        return value

    def page(self, address: bytes) -> bytes:
        offset, length = int.from_bytes(address[8:13], "big"), int.from_bytes(address[13:], "big")
        pack = (self.repository / "pages" / address[:8].hex()).read_bytes()
        return pack[offset : offset + length]

    def content(self, page: bytes) -> Any:
        magic, layout, length, checksum = struct.unpack_from("<3sBI8s", page)
        rest = page[16:]
        assert (magic, layout) == (b"HZP", 1)
        assert hashlib.blake2b(rest, digest_size=8).digest() == checksum
        header, body = json.loads(rest[:length]), rest[length:]
        raw = bytes(decompress(body)) if body else b""
        if header == {"document": True}:
            return json.loads(raw)
        dtype = self._dtype(header["dtype"])
        octets = np.frombuffer(raw, "u1").reshape(dtype.itemsize, -1)
        rows = np.ascontiguousarray(octets.T).reshape(-1).view(dtype)
        return rows.reshape(header["shape"])

    def _dtype(self, spec: Any) -> np.dtype[Any]:
        if isinstance(spec, str):
            return np.dtype(spec)
        return np.dtype([(n, self._dtype(t), *map(tuple, s)) for n, t, *s in spec])

    def root(self, text: str) -> Any:
        how, _, rest = text.partition(":")
        page = base64.b64decode(rest) if how == "data" else self.page(bytes.fromhex(rest))
        return self.content(page)

    def log(self) -> Iterator[dict[str, Any]]:
        """Oldest first."""
        log = self.head["log"]

        def below(reference: dict[str, Any], level: int) -> Iterator[dict[str, Any]]:
            for item in self.content(self.page(bytes.fromhex(reference["page"]))):
                yield from below(item, level - 1) if level else [item]

        for level, references in reversed(list(enumerate(log.get("runs", [])))):
            for reference in references:
                yield from below(reference, level)
        yield from log.get("recent", [])

    def cells(self, table: dict[str, Any]) -> dict[tuple[int, ...], int]:
        """Write ids of all cells that have one."""
        block, grid, found = table["block"], table["grid"], {}

        def walk(rows: Any, level: int, at: tuple[int, ...]) -> None:
            for index in itertools.product(*map(range, rows.shape)):
                below = tuple(a * b + i for a, b, i in zip(at, block, index, strict=True))
                row = rows[index]
                if level == 0:
                    if row:
                        found[below] = int(row)
                elif row["hi"]:
                    words = int(row["hi"]), int(row["lo"])
                    page = self.page(b"".join(word.to_bytes(8, "big") for word in words))
                    walk(self.content(page), level - 1, below)
                elif row["lo"]:
                    sides = [range(i * b**level, (i + 1) * b**level)
                             for i, b in zip(below, block, strict=True)]  # fmt: skip
                    found.update(dict.fromkeys(itertools.product(*sides), int(row["lo"])))

        walk(self.root(table["cells"]), table["levels"] - 1, (0,) * len(grid))
        return found


def opened(array: hub.Array) -> Reader:
    array.flush()
    return Reader(Path(array.info["storage"].removeprefix("file://")), array.version)


@pytest.fixture
def array() -> hub.Array:
    a = hub.array((3000, 40), "format/a:v0", dtype="float32", chunks=(3, 10), fill_value=1)
    with a.transaction("a third"):
        a[:1000] = np.random.default_rng(0).normal(size=(1000, 40))
    for i in range(40):
        a[2000 + i, i] = i
        a.commit(f"element {i}")
    return a


def test_chunks(array: hub.Array, tmp_path: Path) -> None:
    reader = opened(array)
    node = reader.head["nodes"][""]
    cells = reader.cells(node["table"])
    assert node["table"]["levels"] > 1
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "zarr.json").write_text(json.dumps(node["document"]))
    for cell, write_id in cells.items():
        key = "c." + ".".join(map(str, cell))
        data = (reader.repository / "data" / f"{write_id:016x}" / node["home"] / key).read_bytes()
        (tmp_path / "plain" / key).write_bytes(data)
    plain = zarr.open_array(tmp_path / "plain", mode="r")
    assert np.array_equal(plain[:], np.asarray(array))


def test_statistics(array: hub.Array) -> None:
    reader = opened(array)
    table = reader.head["nodes"][""]["table"]
    fields = [("n", "<i8"), ("nan", "<i8"), ("sum", "<f8"), ("mean", "<f8"), ("m2", "<f8"),
              ("min", "<f4"), ("max", "<f4"), ("unknown", "<i8")]  # fmt: skip
    (total,) = np.frombuffer(base64.b64decode(table["total"]), fields)
    x = np.asarray(array, "f8")
    n = int(total["n"])
    assert total["unknown"] == total["nan"] == 0
    assert n == sum(min(3, 3000 - 3 * i) * 10 for i, _ in reader.cells(table)), (
        "only cells that were written count"
    )
    fills = x.size - n
    np.testing.assert_allclose((total["sum"] + fills) / x.size, x.mean(), rtol=1e-12)
    mean = (n * total["mean"] + fills) / x.size
    m2 = total["m2"] + n * (total["mean"] - mean) ** 2 + fills * (1 - mean) ** 2
    np.testing.assert_allclose(np.sqrt(m2 / x.size), x.std(), rtol=1e-12)
    root = reader.root(table["statistics"])
    assert root["roll"]["n"].sum() == n


def test_log_and_chain(array: hub.Array) -> None:
    reader = opened(array)
    digests = [None, *(m["digest"] for m in reader.manifests)]
    assert [m["parent_digest"] for m in reader.manifests] == digests[:-1]
    assert [c["number"] for c in reader.log()] == list(range(len(reader.manifests) - 1))
    assert len(reader.head["log"]["recent"]) < 32
    hint = reader.repository / "versions" / "v0" / "latest"
    assert int(hint.read_text()) == 40
    assert array.seal("the end").number == reader.head["number"] + 1
    assert opened(hub.load("format/a:v0")).head["state"] == "sealed"


def test_many_nodes(array: hub.Array) -> None:
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    for i in range(300):
        array._session.set_group(f"g{i}", group)
    reader = opened(array)
    pages = reader.head["node_pages"]
    assert "nodes" not in reader.head
    assert len(pages) == 8
    for number, address in enumerate(pages):
        for path in reader.content(reader.page(bytes.fromhex(address))):
            assert zlib.crc32(path.encode()) % len(pages) == number
