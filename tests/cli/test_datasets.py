"""The command line on datasets: what is in them, and ways in and out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image

import hubzarr as hub
from hubzarr.cli import main
from hubzarr.cli.advice import in_arguments
from hubzarr.cli.command import option
from hubzarr.cli.completion import candidates
from hubzarr.cli.run import COMMANDS

type Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def pets() -> Iterator[hub.Dataset]:
    """alice/pets: three rows, one of them changed by the last commit."""
    ds = hub.empty("alice/pets")
    ds.create_tensor("images", htype="image", sample_compression="png")
    ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    ds.create_tensor("weight", dtype="float32")
    ds.create_tensor("note", htype="text")
    for i in range(3):
        picture = np.full((4 + i, 5, 3), i, "u1")
        ds.append({"images": picture, "labels": i % 2, "weight": i + 0.5, "note": f"n{i}, ok"})
    ds.info["source"] = "farm"
    ds.commit("three pets")
    ds.labels[0] = "dog"
    ds.commit("tom is a dog")
    yield ds
    ds.close()


def document(run: Run, *words: str, code: int = 0) -> dict[str, Any]:
    got, out, err = run(*words, "--json")
    assert got == code, err
    value = json.loads(out)
    assert isinstance(value, dict)
    return value


def test_ls_lists_arrays_and_datasets(run: Run, pets: hub.Dataset) -> None:
    hub.array((4, 2), "alice/numbers")
    rows = {row["name"]: row for row in document(run, "ls")["repositories"]}
    assert rows["alice/pets"]["kind"] == "dataset"
    assert rows["alice/pets"]["rows"] == 3
    assert rows["alice/pets"]["tensors"] == ["images", "labels", "weight", "note"]
    assert rows["alice/numbers"]["kind"] == "array"
    lines = run("ls")[1].splitlines()
    assert "3 rows" in lines[2]
    assert "4 tensors" in lines[2]


def test_info(run: Run, pets: hub.Dataset) -> None:
    found = document(run, "info", "alice/pets")
    assert (found["kind"], found["rows"], found["attributes"]) == ("dataset", 3, {"source": "farm"})
    tensors = {tensor["name"]: tensor for tensor in found["tensors"]}
    assert tensors["images"]["htype"] == "image"
    assert tensors["images"]["shape"] == [3, None, 5, 3]
    assert tensors["images"]["sample_compression"] == "png"
    assert tensors["labels"]["info"]["class_names"] == ["cat", "dog"]
    assert found["nbytes_stored"] is None
    assert document(run, "info", "alice/pets", "--stored")["nbytes_stored"] > 0
    _, out, _ = run("info", "alice/pets")
    assert "info source = farm" in out
    assert "3 × 4…6 × 5 × 3" in out
    assert "tom is a dog" in out


def test_info_of_a_plain_zarr_group(run: Run) -> None:
    store = hub.store("alice/group")
    group = zarr.open_group(store)
    group.create_array("x", data=np.arange(4))
    group.create_group("sub").create_array("y", data=np.ones((3, 2)))
    store.session.commit("x and y")
    found = document(run, "info", "alice/group")
    assert {t["name"]: t["shape"] for t in found["tensors"]} == {"x": [4], "sub/y": [3, 2]}
    assert run("ls")[0] == run("log", "alice/group")[0] == run("stats", "alice/group")[0] == 0


def test_log_and_diff(run: Run, pets: hub.Dataset) -> None:
    commits = document(run, "log", "alice/pets")["commits"]
    assert "appended" not in (shown := run("log", "alice/pets")[1])
    assert " rows" in shown
    assert [c["message"] for c in commits] == ["tom is a dog", "three pets", "created"]
    changed = document(run, "diff", "alice/pets")
    assert changed["changed"] is True
    assert list(changed["tensors"]) == ["labels"]
    assert changed["tensors"]["labels"]["data_updated"] == [[0, 1]]
    number = commits[1]["number"]
    whole = document(run, "diff", "alice/pets@0", f"@{number}")
    assert whole["tensors"]["images"]["data_added"] == [[0, 3]]
    assert "labels  changed" in run("diff", "alice/pets")[1]


def test_stats(run: Run, pets: hub.Dataset) -> None:
    found = document(run, "stats", "alice/pets")["statistics"]
    assert found["weight"] == pytest.approx(
        {"mean": 1.5, "std": np.std([0.5, 1.5, 2.5]), "min": 0.5, "max": 2.5}
    )
    assert found["images"] is None
    some = document(run, "stats", "alice/pets", "--slice", "1:")
    assert some["rows"] == 2
    assert some["statistics"]["weight"]["mean"] == 2.0
    pictures = document(run, "stats", "alice/pets", "--tensor", "images", "--axis", "channel")
    pixels = np.concatenate([image.reshape(-1, 3) for image in pets.images.numpy(aslist=True)])
    assert pictures["statistics"]["images"]["mean"] == pytest.approx(list(pixels.mean(axis=0)))
    assert "hubzarr stats alice/pets --tensor images" in run("stats", "alice/pets")[1]
    assert run("stats", "alice/pets", "--slice", "0,1")[0] == 1
    assert run("stats", "alice/pets", "--tensor", "nothing")[0] == 3


def test_changing_commands_take_datasets(run: Run, pets: hub.Dataset) -> None:
    assert document(run, "branch", "alice/pets", "dev")["version"] == "dev"
    copied = document(run, "cp", "alice/pets", "alice/copy")
    assert (copied["rows"], copied["tensors"][0]) == (3, "images")
    assert run("mv", "alice/copy", "alice/moved")[0] == 0
    assert run("seal", "alice/moved")[0] == 0
    assert run("rm", "--yes", "--force", "alice/moved")[0] == 0
    assert hub.list() == ["alice/pets"]


def test_query_of_rows(run: Run, pets: hub.Dataset) -> None:
    pytest.importorskip("duckdb")
    words = ("query", "alice/pets", "SELECT * WHERE labels = 'dog' ORDER BY weight DESC")
    found = document(run, *words)
    assert found["total"] == 2
    assert [row["row"] for row in found["rows"]] == [1, 0]
    assert found["rows"][0] == {
        "row": 1, "images": {"shape": [5, 5, 3]}, "labels": "dog", "weight": 1.5, "note": "n1, ok",
    }  # fmt: skip
    rows = list(csv.reader(io.StringIO(run(*words, "--csv")[1])))
    assert rows[0] == ["row", "images", "labels", "weight", "note"]
    assert rows[2] == ["0", "4 × 5 × 3", "dog", "0.5", "n0, ok"]
    out = run(*words, "-n", "1")[1]
    assert out.splitlines()[-1] == "2 rows, 1 of them not shown"


def test_query_of_values(run: Run, pets: hub.Dataset) -> None:
    pytest.importorskip("duckdb")
    words = ("query", "alice/pets", "SELECT labels, count(*) AS n GROUP BY labels ORDER BY labels")
    rows = [{"labels": "cat", "n": 1}, {"labels": "dog", "n": 2}]
    assert document(run, *words)["rows"] == rows
    assert run(*words)[1].splitlines()[-1] == "2 rows"


def test_bad_queries_say_what_is_wrong(run: Run, pets: hub.Dataset) -> None:
    pytest.importorskip("duckdb")
    code, _, err = run("query", "alice/pets", "DROP TABLE dataset")
    assert code == 1
    assert err.startswith("hubzarr: ")
    assert run("query", "alice/pets", "SELECT nothing")[0] == 3
    assert run("query", "alice/none", "SELECT *")[0] == 3
    assert run("query", "alice/pets", "SELECT *", "--json", "--csv")[0] == 2
    hub.array((2,), "alice/array")
    assert "an array" in run("query", "alice/array", "SELECT *")[2]


def folder_of_pictures(root: Path) -> Path:
    for name in ("cats/a", "cats/b", "dogs/c"):
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (len(name), 0, 0)).save(path)
    return root


def test_ingest_and_export(run: Run, tmp_path: Path) -> None:
    source = folder_of_pictures(tmp_path / "photos")
    made = document(run, "ingest", str(source), "alice/photos")
    assert (made["rows"], made["kind"], made["skipped"]) == (3, "folders", 0)
    out = document(run, "export", "alice/photos", str(tmp_path / "out"), "--format", "folder")
    assert (out["rows"], out["files"], out["left_out"]) == (3, 4, {})
    copies = sorted(p.read_bytes() for p in (tmp_path / "out").rglob("*.png"))
    assert copies == sorted(p.read_bytes() for p in source.rglob("*.png"))
    code, _, err = run("export", "alice/photos", str(tmp_path / "out"), "--format", "folder")
    assert (code, "--overwrite" in err) == (4, True)
    words = ("export", "alice/photos", str(tmp_path / "out"), "--format", "folder", "--overwrite")
    assert "3 rows as folder" in run(*words, "-o", "layout=flat")[1]
    assert (tmp_path / "out/labels.csv").is_file()


def test_ingest_reports_what_it_skips(run: Run, tmp_path: Path) -> None:
    source = folder_of_pictures(tmp_path / "photos")
    (source / "cats/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run("ingest", str(source), "alice/photos")[0] == 1
    made = document(
        run, "ingest", str(source), "alice/more", "--skip-broken", "--workers", "1", "-m", "photos"
    )
    assert made["skipped"] == 1
    assert "broken.png" in made["reasons"][0]["what"]
    assert hub.load("alice/more", "r").log()[0].message == "photos"
    assert run("ingest", str(source / "none"), "alice/x")[0] == 3
    assert run("ingest", str(source), "alice/x", "-o", "layout")[0] == 2


def test_export_of_a_query(run: Run, pets: hub.Dataset, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    target = tmp_path / "dogs.csv"
    words = ("export", "alice/pets", str(target), "--query", "SELECT * WHERE labels = 'dog'")
    assert document(run, *words, "--tensors", "labels,weight")["rows"] == 2
    assert target.read_text() == "labels,weight\ndog,0.5\ndog,1.5\n"
    table = ("--query", "SELECT count(*)")
    assert run("export", "alice/pets", str(tmp_path / "x.csv"), *table)[0] == 1


def test_completion_knows_the_commands(pets: hub.Dataset) -> None:
    assert {"ingest", "query", "export"} <= set(candidates([""], COMMANDS, ()))
    assert candidates(["query", "ali"], COMMANDS, ()) == ["alice/pets"]
    assert candidates(["export", "alice/pets", "t", "--fo"], COMMANDS, ()) == ["--format"]
    assert option("-o", help="", action="append").takes_value


def test_advice_is_in_the_words_of_the_command_line(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(3):
        Image.new("RGB", (8, 6)).save(folder / f"{n}.jpg")
    Image.fromarray(np.zeros((6, 8), "u2")).save(folder / "deep.png")
    code, _, err = run("ingest", str(folder), "alice/photos")
    assert code == 1
    assert "-o dtype=uint16 with -o sample_compression=png" in err
    assert "--skip-broken leaves out" in err
    code, out, _ = run("ingest", str(folder), "alice/photos", "--skip-broken")
    assert (code, "-o dtype=uint16" in out) == (0, True)
    code, _, err = run("ingest", str(tmp_path / "photos/0.jpg"), "alice/photos")
    assert (code, "--append adds" in err, "--overwrite starts" in err) == (1, True, True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.bin").write_bytes(b"...")
    code, out, _ = run("ingest", str(tmp_path / "files"), "alice/files", "--json")
    assert "--kind ..., one of" in json.loads(out)["error"]["message"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "choose with annotations=[...], or append=True",
            "choose with -o annotations=..., or --append",
        ),
        ("num_workers=... and whole=False", "--workers ... and -o whole=false"),
        ("hub.ingest(kind=...) at http://a.org/?kind=...", None),
        ("overwrite=False, create the tensor with chunk_compression='zstd'", None),
        ("no file named a-kind='x'", None),
    ],
)
def test_only_arguments_are_said_otherwise(text: str, expected: str | None) -> None:
    ingest = next(command for command in COMMANDS if command.name == "ingest")
    assert in_arguments(text, ingest) == (expected or text)


def test_commands_without_the_argument_keep_the_words() -> None:
    stats = next(command for command in COMMANDS if command.name == "stats")
    assert in_arguments("skip_broken=True", stats) == "skip_broken=True"
