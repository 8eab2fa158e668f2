"""The catalogue of a root, in Python and on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.cli import main
from hubzarr.storage import open_storage


def fill(prefix="", **options):
    a = hub.array(
        (40, 3), f"{prefix}alice/weather:v0", "int32", attributes={"unit": "Kelvin"}, **options
    )
    a[:] = 1
    a.commit("drift of the sensor removed")
    a.branch("v1")
    a.close()
    ds = hub.dataset(f"{prefix}bob/pets", **options)
    ds.create_tensor("photos", htype="image", sample_compression="png")
    ds.create_tensor("labels", htype="class_label", class_names=["cat", "Zwergpinscher"])
    ds.info["source"] = "farm"
    ds.append({"photos": np.zeros((8, 8, 3), "uint8"), "labels": "cat"})
    ds.commit("one cat")
    ds.close()
    hub.array((2,), f"{prefix}plain", **options).close()


@pytest.fixture
def run(capsys):
    def call(*words):
        code = main(["ls", *words])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return call


def names(entries):
    return [entry.name for entry in entries]


def test_entries():
    fill()
    weather, pets, plain = hub.catalog()
    assert (weather.name, weather.kind, weather.shape) == ("alice/weather", "array", (40, 3))
    assert (weather.dtype, weather.nbytes, weather.versions) == ("int32", 480, ["v0", "v1"])
    assert weather.commit.version == "v1"
    assert weather.attributes == {"unit": "Kelvin"}
    assert (pets.kind, pets.rows, pets.tensors) == ("dataset", 1, ["photos", "labels"])
    assert (pets.commit.message, pets.attributes) == ("one cat", {"source": "farm"})
    assert (plain.name, plain.problem) == ("plain", None)
    assert names(hub.catalog("alice")) == ["alice/weather"]
    assert hub.catalog("nobody") == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("KELVIN", ["alice/weather"]),
        ("sensor drift", ["alice/weather"]),  # of a version that is not the newest
        ("zwergpinscher", ["bob/pets"]),
        ("photos", ["bob/pets"]),
        ("farm cat", ["bob/pets"]),
        ("farm dog", []),
        ("bob/", ["bob/pets"]),
        ("array", ["alice/weather", "plain"]),
        ("  ", ["alice/weather", "bob/pets", "plain"]),
    ],
)
def test_search(words, found):
    fill()
    assert names(hub.catalog(search=words)) == found


def test_what_is_above_all_entries_is_not_searched(tmp_path):
    root = tmp_path / "shelves"
    fill(f"{root}/")
    assert names(hub.catalog(str(root), search="shelves")) == []
    assert names(hub.catalog(str(root), search="bob")) == [f"{root}/bob/pets"]
    assert names(hub.catalog(f"{root}/plain", search="plain")) == [f"{root}/plain"]


def test_damaged_ones_do_not_hide_others(tmp_path):
    fill()
    root = tmp_path / "root"
    manifest = next((root / "plain/versions/main").glob("*.json"))
    good = manifest.read_bytes()
    for bad in (good[:100], b"", b"[]", good.replace(b'"nodes"', b'"n0des"')):
        manifest.write_bytes(bad)
        found = {entry.name: entry for entry in hub.catalog()}
        assert found["plain"].problem
        assert found["plain"].kind is None
        assert found["alice/weather"].problem is None
    assert names(hub.catalog(search="plain")) == ["plain"]


def test_what_is_no_repository(tmp_path):
    fill()
    hub.delete("plain", force=True)
    root = tmp_path / "root"
    for name in ("empty", ".hidden/versions/main", "zarr/x/versions/main"):
        (root / name).mkdir(parents=True)
    (root / "zarr/zarr.json").write_text("{}")
    (root / "file").write_text("x")
    assert names(hub.catalog()) == hub.list() == ["alice/weather", "bob/pets"]


def test_writes_of_this_process_are_seen():
    a = hub.array((4,), "fresh", "int32")
    hub.configure(sync_interval=3600)
    try:
        a[:] = 1
        a.attributes["note"] = "not yet synced"
        (entry,) = hub.catalog("fresh")
        assert entry.attributes == {"note": "not yet synced"}
    finally:
        hub.configure(sync_interval=None)
        a.close()


@pytest.mark.parametrize("server", ["s3", "gcs"])
def test_on_an_object_store(server, request):
    store = request.getfixturevalue(server)
    url = store.url("hub")
    fill(f"{url}/", storage_options=store.options)
    found = hub.catalog(url, storage_options=store.options)
    assert names(found) == [f"{url}/{name}" for name in ("alice/weather", "bob/pets", "plain")]
    hub.configure(roots={"prod": {"url": url, **store.options}})
    try:
        assert names(hub.catalog("prod")) == ["prod/alice/weather", "prod/bob/pets", "prod/plain"]
        assert hub.list("hub://prod/bob") == ["prod/bob/pets"]
    finally:
        hub.configure(roots=None)


def test_requests_are_in_flight_together(s3, proxy):
    url = s3.url("hub")
    for number in range(24):
        hub.array((2,), f"{url}/x/{number:02d}", storage_options=s3.options).close()
    slow = proxy(s3, latency_ms=20)
    open_storage(url, slow.options).list_dir("")  # the connection is there
    slow.clear()
    assert len(hub.catalog(url, storage_options=slow.options)) == 24
    record = slow.record()
    assert record["max_in_flight"] >= 8
    assert record["requests"] <= 24 * 6


def test_the_table(run):
    fill()
    out = run().splitlines()
    assert out[0].split() == [
        "name", "versions", "shape", "dtype", "size", "last", "commit", "(UTC)", "message",
    ]  # fmt: skip
    assert out[1].startswith("alice/weather   v0 v1      40 × 3   int32       480 B   20")
    assert out[1].endswith("(started from v0@1)")
    assert "1 rows   2 tensors       –" in out[2]
    assert "Kelvin" in run("--long")
    assert "photos, labels" in run("-l", "bob")
    assert run("--search", "nonsense").startswith("nothing about 'nonsense' in ")


def test_the_document(run):
    fill()
    document = json.loads(run("--json", "--search", "farm"))
    (row,) = document["repositories"]
    assert (row["name"], row["kind"], row["rows"]) == ("bob/pets", "dataset", 1)
    assert row["last_commit"]["message"] == "one cat"
    assert row["attributes"] == {"source": "farm"}


def test_roots_on_the_command_line(run, tmp_path):
    hub.configure(roots={"prod": str(tmp_path / "prod")})
    try:
        fill("prod/")
        assert run("prod").splitlines()[1].startswith("prod/alice/weather ")
        assert run("--root", "prod").splitlines()[1].startswith("alice/weather ")
        assert run("prod/nobody") == f"nothing in {tmp_path}/prod/nobody\n"
    finally:
        hub.configure(roots=None)
