"""The tour: what hubzarr is for, on real photographs and an empty local store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

import hubzarr as hub
from hubzarr.demo.figure import Comparison, save_figure
from hubzarr.demo.pictures import SIDE, Picture, pictures
from hubzarr.demo.place import own_root
from hubzarr.demo.reader import SELECTIONS, SLICE
from hubzarr.demo.story import Story
from hubzarr.errors import SealedError, StorageError
from hubzarr.measure import measured
from hubzarr.wording import say_bytes, say_seconds

__all__ = ["run"]

NAME: Final = "test/bigarray"
COUNT: Final = 100_000
LAST: Final = COUNT - 1
FLOWER, ASTRONAUT, CHELSEA = 1, 2, 3


def run(out: str | os.PathLike[str], to: TextIO) -> dict[str, Any]:
    """Give the tour.

    Parameters
    ----------
    out : str or path
        Folder for a store, made anew each time, and for ``hubzarr-demo.png``.
    to : text stream
        Where the story goes.

    Returns
    -------
    dict
        The numbers of the tour.
    """
    started = time.perf_counter()
    story, folder = Story(to), Path(out)
    story.say("hubzarr: arrays of any size, with names, versions and statistics")
    photographs = list(pictures())
    with own_root(folder) as store:
        images = _create(story, store)
        written = _write(story, store, images, photographs)
        other = _read_elsewhere(story, store, photographs)
        v1 = _second_version(story)
        changes = _who_changed_what(story, v1)
        _seal(story)
        picture = _draw(story, folder, photographs)
        seconds = time.perf_counter() - started
        story.say(
            f"\nThe whole tour took {say_seconds(seconds)}; its store takes "
            f"{say_bytes(_disk(store)[1])}. Look around in it:\n"
        )
        for command in ("ls", f"log {NAME}:v1", f"diff {NAME}:v0 :v1", f"stats {NAME} -s 0:20"):
            shown = command.replace(f"{NAME} ", f"{NAME}:v1 ")
            story.say(f"   hubzarr --root {store} {shown}")
        return {
            "store": str(store), "picture": str(picture), "pictures": len(photographs),
            "nbytes": images.nbytes, "nbytes_disk": _disk(store)[1], "seconds": seconds,
            **written, **other, **changes,
        }  # fmt: skip


def _disk(folder: Path) -> tuple[int, int]:
    """How many files there are and how many bytes they hold."""
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file() and p.name[0] != "."]
    return len(sizes), sum(sizes)


def _files(n: int) -> str:
    return f"{n:,} file{'' if n == 1 else 's'}"


def _create(story: Story, store: Path) -> hub.Array:
    start = time.perf_counter()
    # One object for each picture, so that history tells of single pictures.
    images = hub.array(
        (COUNT, SIDE, SIDE, 3), f"{NAME}:v0", "uint8", chunks=(1, SIDE, SIDE, 3), shards=None
    )
    seconds = time.perf_counter() - start
    files, size = _disk(store)
    story.chapter(
        f"{COUNT:,} pictures on paper: {say_bytes(images.nbytes)}, {say_bytes(size)} on disk"
    )
    story.code(
        "import hubzarr as hub",
        f'images = hub.array((100_000, 512, 512, 3), "{NAME}:v0", "uint8",',
        "                   chunks=(1, 512, 512, 3), shards=None)",
    )
    story.say(
        f"\n   Made in {say_seconds(seconds)}: {_files(files)}, no server, no account. What was "
        "never\n   written takes no space and reads as 0."
    )
    return images


def _write(
    story: Story, store: Path, images: hub.Array, photographs: list[Picture]
) -> dict[str, Any]:
    story.chapter(f"Write {len(photographs)} real photographs, one by one")
    story.code(
        "for i, photograph in enumerate(photographs):",
        "    images[i] = photograph",
        f"images[{LAST:_}] = photographs[0]     # the far end costs nothing more",
        'images.commit("photographs")',
    )
    story.say()
    names = [f"{i:2} {p.title} {p.shape[0]}×{p.shape[1]}" for i, p in enumerate(photographs)]
    rows = [names[i : i + 3] for i in range(0, len(names), 3)]
    story.table([row + [""] * (3 - len(row)) for row in rows], indent="   ")
    slowest = 0.0
    with measured(images) as cost:
        for i, photograph in enumerate(photographs):
            start = time.perf_counter()
            images[i] = photograph.pixels
            slowest = max(slowest, time.perf_counter() - start)
        images[LAST] = photographs[0].pixels
        commit = images.commit("photographs")
    pixels = (len(photographs) + 1) * photographs[0].pixels.nbytes
    files, size = _disk(store)
    story.say(
        f"\n   {say_bytes(pixels)} of pixels written and committed in {say_seconds(cost.seconds)} "
        f"(slowest write\n   {say_seconds(slowest)}): {_files(files)}, {say_bytes(size)}, "
        f"commit {commit.number} ({commit.id})"
    )
    return {"write_seconds": cost.seconds, "slowest_write_seconds": slowest}


def _read_elsewhere(story: Story, store: Path, photographs: list[Picture]) -> dict[str, Any]:
    story.chapter("Another process needs nothing but the name")
    environment = {**os.environ, "HUBZARR_ROOT": str(store.resolve())}
    command = [sys.executable, "-m", "hubzarr.demo.reader", f"{NAME}:v0"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        raise StorageError(f"the reading process of the demo failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    part, face = found["slice"], photographs[ASTRONAUT].pixels[SLICE[1:]]
    same = list(face.shape) == part["shape"] and int(face.sum()) == part["checksum"]
    story.code(
        f'images = hub.load("{NAME}:v0")',
        "face = images[2, 60:220, 160:300].compute()    # the astronaut's",
    )
    story.say(
        f"\n   Process {found['process']} got {' × '.join(map(str, part['shape']))} bytes in "
        f"{say_seconds(part['seconds'])}, reading "
        f"{say_bytes(part['read_bytes'])}.\n   Equal to what process {os.getpid()} wrote: "
        f"{'yes' if same else 'NO'}."
    )
    story.chapter("Mean and std of anything, at the price of almost nothing")
    rows = [("", "size", "mean", "std", "time", "requests", "bytes read")]
    rows += [
        (
            row["selection"], say_bytes(row["nbytes"]), f"{row['mean']:.4f}", f"{row['std']:.4f}",
            say_seconds(row["seconds"]), str(row["reads"]), say_bytes(row["read_bytes"]),
        )
        for row in found["statistics"]
    ]  # fmt: skip
    story.table(rows, right=1, indent="   ")
    worst = _worst_error(found["statistics"], photographs)
    story.say(
        "\n   Each commit keeps the statistics of each chunk, so only chunks that a slice cuts are"
        f"\n   read. NumPy, on the pictures in memory, finds the same to {worst:.0e}."
    )
    return {"slice": part | {"equal": same}, "statistics": found["statistics"]}


def _worst_error(rows: list[dict[str, Any]], photographs: list[Picture]) -> float:
    """Largest relative difference from what NumPy finds in memory."""
    memory = np.stack([p.pixels for p in photographs] + [photographs[0].pixels])
    worst = 1e-16
    for (_, key), row in zip(SELECTIONS, rows, strict=True):
        chosen = memory[:20][key] if key != (...,) else memory
        values = chosen.astype(np.float64)
        mean, square = values.mean(), (values**2).mean()
        if key == (...,):  # all the others are 0
            mean, square = mean * len(memory) / COUNT, square * len(memory) / COUNT
        for got, right in ((row["mean"], mean), (row["std"], np.sqrt(square - mean**2))):
            worst = max(worst, abs(got / right - 1))
    return float(worst)


def _second_version(story: Story) -> hub.Array:
    story.chapter("A second version: shares every picture with the first, copies none")
    story.code(
        'images.branch("v1")',
        f'hub.configure(author="ann@lab"); v1 = hub.load("{NAME}:v1")',
        "v1[3] = v1[3, :, ::-1].compute()               # Chelsea looks the other way",
        'v1.commit("mirrored Chelsea")',
        f'hub.configure(author="ben@lab"); v1 = hub.load("{NAME}:v1")',
        "v1[1, 128:384, 128:384] = 255 - v1[1, 128:384, 128:384].compute()",
        "v1[2, :128, :128] = 0                          # a dark corner for the astronaut",
        'v1.commit("inverted the flower, darkened a corner")',
    )
    hub.load(f"{NAME}:v0").branch("v1")
    hub.configure(author="ann@lab")
    v1: hub.Array = hub.load(f"{NAME}:v1")
    v1[CHELSEA] = v1[CHELSEA, :, ::-1].compute()
    v1.commit("mirrored Chelsea")
    hub.configure(author="ben@lab")
    v1 = hub.load(f"{NAME}:v1")
    window = (FLOWER, slice(128, 384), slice(128, 384))
    with measured(v1) as cost:
        v1[window] = 255 - v1[window].compute()
        v1[ASTRONAUT, :128, :128] = 0
        v1.commit("inverted the flower, darkened a corner")
    story.say(
        f"\n   Ben's commit took {say_seconds(cost.seconds)} and stored "
        f"{say_bytes(cost.write_bytes)}: the two pictures that he\n   touched."
    )
    return v1


def _who_changed_what(story: Story, v1: hub.Array) -> dict[str, Any]:
    story.chapter("What changed, and who changed it last")
    story.code('v1.diff(":v0", values=True)')
    start = time.perf_counter()
    diff = v1.diff(":v0", values=True)
    seconds = time.perf_counter() - start
    story.say()
    for row in repr(diff).splitlines():
        story.say("   " + row)
    elements = sum(node.elements or 0 for node in diff)
    story.say(
        f"\n   {elements:,} of {v1.size:,} numbers differ; found in {say_seconds(seconds)}.\n"
    )
    story.code("v1.blame(slice(0, 20))")
    story.say()
    rows = [("pictures", "last changed by", "in", "with")]
    entries = []
    for entry in v1.blame(slice(0, 20)):
        where = ", ".join(
            f"{box[0][0]}" if box[0][1] - box[0][0] == 1 else f"{box[0][0]}–{box[0][1] - 1}"
            for box in entry.boxes
        )
        commit = entry.commit
        if commit is not None:
            rows.append((where, commit.author, commit.address, commit.message or ""))
            entries.append({"pictures": where, "author": commit.author, "commit": commit.address})
    story.table(rows, indent="   ")
    return {"elements_changed": elements, "diff_seconds": seconds, "blame": entries}


def _seal(story: Story) -> None:
    story.chapter("Seal version 0: nobody changes it again")
    story.code(f'hub.load("{NAME}:v0").seal("as published")', "images[0] = 0")
    hub.load(f"{NAME}:v0").seal("as published")
    images = hub.load(f"{NAME}:v0")
    try:
        images[0] = 0
    except SealedError as error:
        story.say(f"\n   SealedError: {error}")


def _draw(story: Story, folder: Path, photographs: list[Picture]) -> Path:
    story.chapter("A picture of it all")
    before, after = hub.load(f"{NAME}:v0", "r"), hub.load(f"{NAME}:v1", "r")
    gallery = [(f"{i} {p.title}", before[i].compute()) for i, p in enumerate(photographs[:12])]
    changed: list[Comparison] = [
        (f"{i} {photographs[i].title}", before[i].compute(), after[i].compute())
        for i in (FLOWER, ASTRONAUT, CHELSEA)
    ]
    path = folder / "hubzarr-demo.png"
    title = f"{NAME}:v0: the first {len(gallery)} of {len(before):,} pictures"
    save_figure(path, gallery, changed, (title, "v0", "v1"))
    story.say(f"   {path}: pictures of both versions and the difference between them.")
    return path
