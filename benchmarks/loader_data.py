"""Samples that the benchmark of loaders stores in each library: the same for everybody.

A sample is an image and the number of its row, so that what comes out of a loader tells
whether each sample came once, and in what order.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import images

#: Samples that data sets are made and stored in at a time.
BLOCK = 4096
#: Extent of a raw image and of a JPEG; a tiny sample is one number.
SIDES = {"raw": 64, "jpeg": 256}


@dataclass(frozen=True)
class Data:
    """Images of one kind in a folder.

    Parameters
    ----------
    kind : {"raw", "jpeg", "tiny"}
    folder : str
    count : int
    side : int
    """

    kind: str
    folder: str
    count: int
    side: int = 0

    @property
    def shape(self):
        """Of a sample that comes out of a loader."""
        return () if self.kind == "tiny" else (self.side, self.side, 3)

    @property
    def file(self):
        """Where the samples lie: an array, or JPEG files one after the other."""
        return Path(self.folder, f"{self.kind}.npy")

    def make(self):
        """Write the samples."""
        if self.kind == "raw":
            # A bank of images over and over: nobody removes duplicates, and it is made quickly.
            bank = images(min(self.count, 1000), self.side, seed=2)
            shape = (self.count, *bank.shape[1:])
            out = np.lib.format.open_memmap(self.file, "w+", bank.dtype, shape)
            for start in range(0, self.count, len(bank)):
                out[start : start + len(bank)] = bank[: self.count - start]
            out.flush()
        elif self.kind == "jpeg":
            files = [encoded(image) for image in photographs(min(self.count, 1000), self.side)]
            files = [files[row % len(files)] for row in range(self.count)]
            np.save(self.file, np.frombuffer(b"".join(files), np.uint8))
            np.save(self._ends, np.cumsum([len(file) for file in files]))

    @property
    def _ends(self):
        return self.file.with_suffix(".ends.npy")

    def rows(self, start, stop):
        """Numbers of rows, which are the second column."""
        return np.arange(start, min(stop, self.count), dtype=np.int64)

    def arrays(self, start, stop):
        """Raw or tiny samples."""
        if self.kind == "tiny":
            return self.rows(start, stop).astype(np.int32)
        return np.load(self.file, mmap_mode="r")[start:stop]

    def files(self, start, stop):
        """JPEG files as bytes."""
        ends = np.load(self._ends)
        data = np.load(self.file, mmap_mode="r")
        begins = np.append(0, ends)
        return [data[begins[i] : ends[i]].tobytes() for i in range(start, min(stop, self.count))]

    def blocks(self):
        """Pairs of samples and numbers of rows, some thousands at a time."""
        get = self.files if self.kind == "jpeg" else self.arrays
        for start in range(0, self.count, BLOCK):
            yield get(start, start + BLOCK), self.rows(start, start + BLOCK)

    def samples(self):
        """Pairs of a sample and the number of its row."""
        for values, rows in self.blocks():
            yield from zip(values, rows.tolist(), strict=True)

    def check(self, batch, rows):
        """Whether a batch holds the images of its rows.

        Raises
        ------
        RuntimeError
            It holds something else.
        """
        if tuple(batch.shape) != (len(rows), *self.shape):
            raise RuntimeError(f"a batch of {len(rows)} samples has shape {tuple(batch.shape)}")
        for place in range(0, len(rows), 16):
            row = int(rows[place])
            if self.kind == "jpeg":
                # Decoders differ by rounding.
                difference = batch[place].astype(int) - decoded(self.files(row, row + 1)[0])
                same = np.abs(difference).mean() < 2
            else:
                same = np.array_equal(batch[place], self.arrays(row, row + 1)[0])
            if not same:
                raise RuntimeError(f"the sample of row {row} is not what was stored")


def photographs(count, side):
    """Images as noisy as photographs are, which makes files of about 13 KB at 256×256."""
    noise = np.random.default_rng(6).normal(0, 5, (8, side, side, 3))
    for number, smooth in enumerate(images(count, side, seed=5)):
        yield np.clip(smooth + noise[number % len(noise)], 0, 255).astype(np.uint8)


def encoded(image):
    """A JPEG file of an image."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=90)
    return out.getvalue()


def decoded(data):
    """An image as users of Pillow decode it."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
