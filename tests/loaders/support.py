"""Datasets with tensors of every kind, and what their samples are."""

from __future__ import annotations

import io
import secrets
import threading
import time

import numpy as np
from PIL import Image

import hubzarr as hub

#: Rows of the gallery.
ROWS = 23
NAMES = ("uniform", "number", "flag", "label", "ragged", "text", "document", "image", "sequence",
         "link")  # fmt: skip


def fresh_url():
    return f"memory://loaders-{secrets.token_hex(6)}"


def picture(number, height=6, width=5):
    """Pixels that no two numbers have in common."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def encoded(pixels, form="png", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def sample(name, number):
    """What a loader gives of a tensor of the gallery."""
    found = {
        "uniform": np.arange(6, dtype="f4").reshape(2, 3) + 6 * number,
        "number": np.int64(number),
        "flag": np.bool_(number % 2 == 0),
        "label": np.uint32(number % 3),
        "ragged": np.full((1 + number % 4, 2), number, "i4"),
        "text": f"row {number}",
        "document": {"row": number, "list": [1, None]},
        "image": picture(number, 5 + number % 3),
        "sequence": [picture(number + i, 4) for i in range(number % 3)],
        "link": picture(1000 + number, 5 + number % 2),
    }
    return found[name]


def gallery(folder, url=None, rows=ROWS):
    """A dataset whose row n holds `sample(name, n)`; linked files lie in the folder."""
    ds = hub.empty(url or fresh_url())
    ds._session.sync_interval = ds._session.interval = None

    def column(name):
        return [sample(name, number) for number in range(rows)]

    def add(name, values, **options):
        ds.create_tensor(name, **options).extend(values)

    for name in ("uniform", "number", "flag"):
        add(name, np.stack(column(name)))
    add("label", [["cat", "dog", "elk"][i % 3] for i in range(rows)],
        htype="class_label", class_names=["cat", "dog", "elk"])  # fmt: skip
    add("ragged", column("ragged"), dtype="int32", ragged=True)
    add("text", column("text"), htype="text")
    add("document", column("document"), htype="json")
    add("image", column("image"), htype="image", sample_compression="png")
    add("sequence", column("sequence"), htype="sequence[image]", sample_compression="png")
    paths = [folder / f"{number}.png" for number in range(rows)]
    for number, path in enumerate(paths):
        path.write_bytes(encoded(sample("link", number)))
    add("link", [hub.link(str(path)) for path in paths], htype="link[image]")
    ds.commit("created")
    return ds


def numbered(rows, shape=(4,), url=None, **options):
    """A dataset of one tensor of uint16, all elements of row n being n."""
    ds = hub.empty(url or fresh_url())
    values = np.broadcast_to(np.arange(rows).reshape(-1, *[1] * len(shape)), (rows, *shape))
    if rows:
        ds.create_tensor("x", dtype="uint16", **options).extend(values.astype("u2"))
    else:
        ds.create_tensor("x", dtype="uint16", **options)
    ds.commit("created")
    return ds


def same(found, expected):
    """Whether samples are equal, dtypes and shapes of arrays included."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, np.ndarray | np.generic):
        return (
            found.dtype == expected.dtype and found.shape == expected.shape
            and bool((found == expected).all())
        )  # fmt: skip
    return type(found) is type(expected) and found == expected


def firsts(batches):
    """The numbers of the rows of `numbered`, batch by batch."""
    return [np.asarray(batch["x"]).reshape(len(batch["x"]), -1)[:, 0].tolist() for batch in batches]


def joined(lists):
    return [item for each in lists for item in each]


def loader_threads():
    return [one for one in threading.enumerate() if one.name.startswith("loader-")]


def threads_are_gone():
    """Whether all threads of loaders end, within a while."""
    until = time.monotonic() + 10
    while loader_threads() and time.monotonic() < until:
        time.sleep(0.01)
    return not loader_threads()
