"""A table in memory that counts what is read of it."""

import numpy as np
import pyarrow as pa

from hubzarr.querying import Bounds, QueryColumn


class MemoryTable:
    """Columns as Arrow arrays, with bounds per `chunk` rows of columns of numbers."""

    def __init__(self, chunk=None, **columns):
        self.columns = {}
        self.values = {}
        self.measures = {}
        self.chunk = chunk
        self.read_rows = {}
        for name, (column, values, *shapes) in columns.items():
            name = name.replace("__", "/")
            self.columns[name] = column
            self.values[name] = None if values is None else pa.array(values)
            self.measures[name] = np.asarray(shapes[0]) if shapes else None
        first = next(iter(self.columns))
        found = self.values[first] if self.values[first] is not None else self.measures[first]
        self.length = len(found)

    def _count(self, name, rows):
        n = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        self.read_rows[name] = self.read_rows.get(name, 0) + n

    def read(self, name, rows):
        self._count(name, rows)
        values = self.values[name]
        return values[rows] if isinstance(rows, slice) else values.take(pa.array(rows))

    def shapes(self, name, rows):
        self._count(name + ".shape", rows)
        return self.measures[name][rows]

    def bounds(self, name):
        if self.chunk is None:
            return None
        values = self.values[name].to_numpy(zero_copy_only=False)
        starts = np.arange(0, max(self.length, 1), self.chunk)
        pieces = [values[start : start + self.chunk] for start in starts]
        if values.dtype.kind == "f":
            pieces = [p[~np.isnan(p)] for p in pieces]
        pieces = [p if len(p) else np.array([np.nan]) for p in pieces]
        return Bounds(
            starts, np.array([p.min() for p in pieces]), np.array([p.max() for p in pieces])
        )


WEATHER = ("Cloudy", "Rain", "Shine", "Sunrise")


def weather(n=200, chunk=None, seed=0):
    """Images of which only shapes can be asked, labels, scores, texts and vectors."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n).astype("uint8")
    scores = rng.normal(size=n).astype("float32")
    shapes = np.stack([rng.integers(50, 200, n), rng.integers(50, 200, n), np.full(n, 3)], axis=1)
    vectors = rng.normal(size=(n, 4)).astype("float32")
    several = [rng.choice(4, rng.integers(0, 3), replace=False).tolist() for _ in range(n)]
    return MemoryTable(
        chunk,
        images=(QueryColumn("shape"), None, shapes),
        labels=(QueryColumn("label", "uint8", WEATHER, width=1), labels),
        score=(QueryColumn("number", "float32", width=4), scores),
        caption=(
            QueryColumn("text", width=50),
            [f"photo {i} of {WEATHER[k]}" for i, k in enumerate(labels)],
        ),
        meta=(
            QueryColumn("json", width=50),
            [f'{{"key": {i}, "who": {{"name": "n{i % 3}"}}}}' for i in range(n)],
        ),
        embedding=(
            QueryColumn("array", "float32", size=4, width=16),
            pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4),
            np.full((n, 1), 4),
        ),
        tags=(
            QueryColumn("label", "int32", WEATHER, several=True, width=16),
            pa.array(several, pa.list_(pa.int32())),
            np.array([[len(row)] for row in several]),
        ),
        boxes__size=(QueryColumn("number", "int64"), np.arange(n)),
    )
