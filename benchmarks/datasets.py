"""Datasets of images with labels, side by side: ``python benchmarks/datasets.py --help``.

Each library works in processes of its own, which take turns; so they may be installed for
different interpreters::

    python benchmarks/datasets.py --python deeplake=/envs/deeplake/bin/python

The 2,000 JPEG files (256 × 256) are made anew for each run, always the same ones.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from dataset_peers import PEERS
from measuring import images, say

HERE = Path(__file__).parent
COUNT, CLASSES, SIDE = 2000, 4, 256

#: Title, work, libraries, and what is timed: "wall" is divided by the number of pieces.
TABLES = {
    "ingest": (
        "2,000 JPEGs in class folders, bytes kept; per image", "wall",
        ("hubzarr", "hubzarr-extend", "deeplake", "mds", "lance"),
    ),
    "verify": (
        "The same, each decoded and measured; per image", "wall", ("hubzarr", "decoder"),
    ),
    "random": (
        "One decoded JPEG at a random place", "wall",
        ("hubzarr", "decoder", "deeplake", "mds", "lance"),
    ),
    "append": (
        "One row at a time, one commit in the end; per row", "wall",
        ("hubzarr", "deeplake", "tensorstore-ocdbt"),
    ),
    "append-commit": (
        "One row at a time, a commit for each; per row", "median",
        ("hubzarr", "deeplake", "lance", "tensorstore-ocdbt"),
    ),
    "commits": (
        "100 commits of 10 rows; per commit", "median",
        ("hubzarr", "deeplake", "lance", "tensorstore-ocdbt"),
    ),
    "query": (
        "Rows of a million with a label and a score above 0.99, after open", "wall",
        ("hubzarr", "deeplake", "lance"),
    ),
    "memory": ("10 GB of generated images", "wall", ("hubzarr",)),
}  # fmt: skip


def make_folder(folder):
    """Write the JPEG files."""
    from PIL import Image

    noise = np.random.default_rng(6).normal(0, 5, (8, SIDE, SIDE, 3))
    for number, smooth in enumerate(images(COUNT, SIDE, seed=5)):
        # As noisy as photographs are, which makes files of about 13 KB.
        pixels = np.clip(smooth + noise[number % len(noise)], 0, 255).astype(np.uint8)
        place = Path(folder, f"class_{number % CLASSES}")
        place.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:05d}.jpg", quality=90)


def run(python, name, work, folder):
    """What one process of a library measured; None where it can't do that."""
    command = [python, str(HERE / "dataset_peers.py"), name, work, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name} {work}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def table(title, key, found):
    """Medians, best samples, and ratios to hubzarr, as Markdown."""

    def times(samples, key):
        return [s[key] / (s["count"] if key != "median" else 1) for s in samples]

    ours = statistics.median(times(found["hubzarr"], key))
    cpu = statistics.median(times(found["hubzarr"], "cpu"))
    lines = [f"### {title}", "", "| | median | best | processor | |", "| --- |" + " --- |" * 4]
    for name, samples in found.items():
        wall, used = times(samples, key), statistics.median(times(samples, "cpu"))
        ratio = f"{statistics.median(wall) / ours:.2f}×, processor {used / cpu:.2f}×"
        notes = "" if name == "hubzarr" else ratio
        if "stored" in samples[0] and "appended" in samples[0]:
            notes += f" stored {samples[0]['stored'] / samples[0]['appended']:.2f}× the rows"
            growth = statistics.median(s["last"] / s["first"] for s in samples)
            notes += f", last 20 {growth:.2f}× the first"
        if "peak_mb" in samples[0]:
            notes += f"peak {samples[0]['peak_mb']:.0f} MB, {samples[0]['before_mb']:.0f} before"
        cells = [name, say(statistics.median(wall)), say(min(wall)), say(used), notes]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main():
    """Measure, print tables, and keep all samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(TABLES), help="some of: %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--python", action="append", default=[], metavar="LIBRARY=PATH",
        help="interpreter that has a library; this one has hubzarr",
    )  # fmt: skip
    parser.add_argument("--output", default="build/benchmarks/datasets.json")
    args = parser.parse_args()
    pythons = dict.fromkeys(("hubzarr", "hubzarr-extend", "decoder"), sys.executable)
    pythons |= dict(each.split("=", 1) for each in args.python)
    if unknown := set(pythons) - set(PEERS):
        parser.error(f"no library {', '.join(unknown)}; there are {', '.join(PEERS)}")
    everything = {}
    with tempfile.TemporaryDirectory() as folder:
        make_folder(folder)
        for work in args.only.split(","):
            title, key, names = TABLES[work]
            found = {name: [] for name in names if name in pythons}
            for _ in range(args.rounds if work != "memory" else 1):
                for name, samples in found.items():
                    samples.append(run(pythons[name], name, work, folder))
            found = {name: [s for s in samples if s] for name, samples in found.items()}
            found = {name: samples for name, samples in found.items() if samples}
            everything[work] = found
            if "hubzarr" in found:
                print(table(title, key, found))
                print(f"load {os.getloadavg()[0]:.1f}\n", flush=True)
    output = Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
