"""The other process of the demo: it knows nothing but a name, and prints JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Final

import hubzarr as hub
from hubzarr.measure import measured

__all__ = ["SELECTIONS", "SLICE", "read"]

#: What is read: the astronaut's face, in the example of the demo.
SLICE: Final = (2, slice(60, 220), slice(160, 300))

#: Text that people read, and the same as an index. No picture is read twice: the chunks
#: that the process keeps would make the second time free.
SELECTIONS: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    ("images", (...,)),
    ("images[0:20]", (slice(0, 20),)),
    ("images[2]", (2,)),
    ("images[4, 100:300, 100:300]", (4, slice(100, 300), slice(100, 300))),
    ("images[5:20, 256]", (slice(5, 20), 256)),
)


def read(name: str) -> dict[str, Any]:
    """Open a name, read a slice, ask for statistics; what came out, and what it cost."""
    images = hub.load(name, "r")
    with measured(images) as cost:
        face = images[SLICE].compute()
    asked = []
    for title, key in SELECTIONS:
        # A handle of its own, because the first question reads the table of chunks.
        fresh = hub.load(name, "r")
        view = fresh[key]
        with measured(fresh) as spent:
            mean, std = float(view.mean()), float(view.std())
        row = {"selection": title, "nbytes": view.nbytes, "mean": mean, "std": std}
        asked.append({**row, **spent.to_dict()})
    return {
        "process": os.getpid(),
        "shape": images.shape,
        "slice": {"shape": face.shape, "checksum": int(face.sum()), **cost.to_dict()},
        "statistics": asked,
    }


if __name__ == "__main__":
    print(json.dumps(read(sys.argv[1])))
