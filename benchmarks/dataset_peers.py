"""Datasets of images with labels in several libraries, behind one small interface.

Each library runs in a process of its own, under an interpreter that has it:
``python dataset_peers.py LIBRARY WORK FOLDER`` does one piece of work, as `datasets.py` asks
for it, and prints what it took as one line of JSON.
"""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

RANDOM = 400
ROWS = 1000
COMMITS = 100
PER_COMMIT = 10
QUERIED = 1_000_000
GENERATED = int(os.environ.get("HUBZARR_BENCH_BYTES", 10_000_000_000))


class Peer:
    """A library. Rows are pairs: bytes of a JPEG file, and its class as a number."""

    def ingest(self, path, folder):
        """Store the files of a folder of classes, as they are."""
        self.build(path, [(file.read_bytes(), label) for file, label in files_of(folder)])

    def build(self, path, rows):
        """Store rows at once, committed."""
        self.create(path)
        self.append(rows)
        self.commit("all")

    def create(self, path):
        """Begin an empty dataset."""
        raise NotImplementedError

    def append(self, rows):
        """Add rows."""
        raise NotImplementedError

    def commit(self, message):
        """Store what was added, as a version where the library has them."""

    def reader(self, path):
        """A function from the number of a row to its image, decoded."""
        raise NotImplementedError

    def verify(self, path, folder):
        """Store the files of a folder, and decode each."""
        raise NotImplementedError

    def numbers(self, path, labels, scores):
        """Store two columns of numbers."""
        raise NotImplementedError

    def found(self, path):
        """A function that counts the rows with label 7 and a score above 0.99."""
        raise NotImplementedError

    def generate(self, path, nbytes):
        """Store so many bytes of images that are made on the way."""
        raise NotImplementedError


class Decoder(Peer):
    """imagecodecs on bytes in memory: what decoding alone takes."""

    def __init__(self):
        import imagecodecs

        self.decode = imagecodecs.jpeg8_decode

    def build(self, path, rows):
        self.rows = [data for data, _ in rows]

    def reader(self, path):
        return lambda row: self.decode(self.rows[row])

    def verify(self, path, folder):
        files = [file for file, _ in files_of(folder)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda file: self.decode(file.read_bytes()), files, chunksize=16))


class Hubzarr(Peer):
    """hub.ingest; or ds.append, ds.extend and ds.commit."""

    def __init__(self):
        import hubzarr as hub
        from hubzarr.media import Sample

        self.hub, self.sample = hub, Sample

    def ingest(self, path, folder):
        self.hub.ingest(folder, path, progressbar=False)

    def create(self, path):
        self.ds = self.hub.empty(path)
        self.ds.create_tensor("images", htype="image", sample_compression="jpeg")
        self.ds.create_tensor("labels", htype="class_label", class_names=list("abcd"))

    def append(self, rows):
        sample = self.sample
        if len(rows) == 1:
            data, label = rows[0]
            self.ds.append({"images": sample(data), "labels": label})
        else:
            columns = {"images": [sample(data) for data, _ in rows], "labels": [y for _, y in rows]}
            self.ds.extend(columns)

    def commit(self, message):
        self.ds.commit(message)

    def reader(self, path):
        ds = self.hub.load(path, mode="r")
        return lambda row: ds.images[row].numpy()

    def verify(self, path, folder):
        self.hub.ingest(folder, path, progressbar=False, verify=True, statistics=True)

    def numbers(self, path, labels, scores):
        ds = self.hub.empty(path)
        names = [f"class {i}" for i in range(100)]
        ds.create_tensor("labels", htype="class_label", class_names=names)
        ds.create_tensor("scores", dtype="float32")
        with ds:
            ds.extend({"labels": labels, "scores": scores})

    def found(self, path):
        ds = self.hub.load(path, mode="r")
        return lambda: len(ds.query("SELECT * WHERE labels = 'class 7' AND scores > 0.99"))

    def generate(self, path, nbytes):
        ds = self.hub.empty(path)
        ds.create_tensor("x", chunk_compression="none")
        block = np.random.default_rng(0).integers(0, 256, (64, 256, 256, 3), np.uint8)
        for _ in range(nbytes // block.nbytes):
            ds.extend({"x": block})
        ds.commit("all")


class HubzarrExtend(Hubzarr):
    """ds.extend of hub.read, in place of hub.ingest."""

    def ingest(self, path, folder):
        self.create(path)
        files = files_of(folder)
        with self.ds:
            samples = [self.hub.read(file) for file, _ in files]
            self.ds.extend({"images": samples, "labels": [label for _, label in files]})


class DeepLake(Peer):
    """deeplake 4: an Image column of JPEGs and a column of int64."""

    def __init__(self):
        import deeplake

        self.deeplake = deeplake

    def create(self, path):
        self.ds = self.deeplake.create(path)
        self.ds.add_column("x", self.deeplake.types.Image(sample_compression="jpeg"))
        self.ds.add_column("y", "int64")
        self.ds.commit()

    def append(self, rows):
        self.ds.append({"x": [data for data, _ in rows], "y": [label for _, label in rows]})

    def commit(self, message):
        self.ds.commit(message)

    def reader(self, path):
        self.ds = self.deeplake.open_read_only(path)  # kept: its columns end with it
        column = self.ds["x"]
        return lambda row: column[row]

    def numbers(self, path, labels, scores):
        self.ds = self.deeplake.create(path)
        self.ds.add_column("labels", "int32")
        self.ds.add_column("scores", "float32")
        self.ds.append({"labels": labels, "scores": scores})
        self.ds.commit()

    def found(self, path):
        ds = self.deeplake.open_read_only(path)
        return lambda: len(ds.query("SELECT * WHERE labels == 7 AND scores > 0.99"))


class Lance(Peer):
    """pylance: a binary column and a column of int64; decoded by Pillow."""

    def __init__(self):
        import lance
        import pyarrow

        self.lance, self.arrow = lance, pyarrow

    def create(self, path):
        self.path, self.mode = path, "create"

    def append(self, rows):
        images = self.arrow.array([data for data, _ in rows], self.arrow.binary())
        table = self.arrow.table({"x": images, "y": [label for _, label in rows]})
        self.lance.write_dataset(table, self.path, mode=self.mode)
        self.mode = "append"

    def reader(self, path):
        ds = self.lance.dataset(path)
        return lambda row: decoded(ds.take([row], columns=["x"])["x"][0].as_py())

    def numbers(self, path, labels, scores):
        self.lance.write_dataset(self.arrow.table({"labels": labels, "scores": scores}), path)

    def found(self, path):
        ds = self.lance.dataset(path)
        return lambda: len(ds.to_table(filter="labels = 7 AND scores > 0.99", columns=["labels"]))


class Mds(Peer):
    """mosaicml-streaming: shards of bytes, without versions; decoded by Pillow."""

    def __init__(self):
        import streaming

        self.streaming = streaming

    def build(self, path, rows):
        columns = {"x": "bytes", "y": "int"}
        writer = self.streaming.MDSWriter(out=path, columns=columns, size_limit=1 << 23)
        with writer as out:
            for data, label in rows:
                out.write({"x": data, "y": label})

    def reader(self, path):
        self.streaming.base.util.clean_stale_shared_memory()
        ds = self.streaming.StreamingDataset(local=path, shuffle=False, batch_size=1)
        return lambda row: decoded(ds[row]["x"])


class Ocdbt(Peer):
    """TensorStore's OCDBT: a key for each image and one for the labels of a batch."""

    def __init__(self):
        import tensorstore

        self.tensorstore = tensorstore

    def create(self, path):
        nodes = {"max_decoded_node_bytes": 65536}
        spec = {"driver": "ocdbt", "base": f"file://{path}/", "config": nodes}
        context = self.tensorstore.Context({"file_io_sync": False})
        self.store = self.tensorstore.KvStore.open(spec, context=context).result()
        self.count, self.batch = 0, []

    def append(self, rows):
        self.batch += rows

    def commit(self, message):
        with self.tensorstore.Transaction() as transaction:
            store = self.store.with_transaction(transaction)
            for data, _ in self.batch:
                store.write(f"x/{self.count:08d}", data).result()
                self.count += 1
            labels = np.array([label for _, label in self.batch], np.int64)
            store.write(f"y/{self.count:08d}", labels.tobytes()).result()
        self.batch = []


PEERS = {
    "decoder": Decoder, "hubzarr": Hubzarr, "hubzarr-extend": HubzarrExtend,
    "deeplake": DeepLake, "lance": Lance, "mds": Mds, "tensorstore-ocdbt": Ocdbt,
}  # fmt: skip


def files_of(folder):
    """Files of a folder of classes, with the numbers of their classes."""
    classes = sorted(entry.name for entry in Path(folder).iterdir() if entry.is_dir())
    return [
        (file, number)
        for number, name in enumerate(classes)
        for file in sorted(Path(folder, name).iterdir())
    ]


def decoded(data):
    """An image as users of Pillow decode it."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


class Clock:
    """Seconds that passed, and seconds of the processor that this process used."""

    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self):
        """The two, as a dict."""
        return {
            "wall": time.perf_counter() - self.wall, "cpu": time.process_time() - self.cpu
        }  # fmt: skip


def ingest(peer, folder, work):
    """Seconds to store all files of the folder."""
    warm = work / "some"
    for file, label in files_of(folder)[::20]:
        (warm / f"class_{label}").mkdir(parents=True, exist_ok=True)
        shutil.copy(file, warm / f"class_{label}")
    peer.ingest(str(work / "warm"), str(warm))
    clock = Clock()
    peer.ingest(str(work / "all"), folder)
    return clock.stop() | {"count": len(files_of(folder)), "stored": disk_usage(work / "all")}


def random_access(peer, folder, work):
    """Seconds of one image at a random place, and of decoding it and no more."""
    rows = [(file.read_bytes(), label) for file, label in files_of(folder)]
    peer.build(str(work / "all"), rows)
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    read = peer.reader(str(work / "all"))
    for row in order[:50]:
        read(row)
    order = order[50 : 50 + RANDOM]
    clock = Clock()
    for row in order:
        read(row)
    return clock.stop() | {"count": len(order)}


def append(peer, folder, work):
    """Seconds of one row at a time, with one commit in the end."""
    rows = [(file.read_bytes(), label) for file, label in files_of(folder)[:ROWS]]
    peer.create(str(work / "warm"))
    for row in rows[:50]:
        peer.append([row])
    peer.commit("warm")
    peer.create(str(work / "all"))
    clock = Clock()
    for row in rows:
        peer.append([row])
    peer.commit("all")
    return clock.stop() | {"count": len(rows)}


def append_commit(peer, folder, work):
    """Seconds of one row at a time, with a commit for each."""
    return commits(peer, folder, work, 1)


def commits(peer, folder, work, size=PER_COMMIT):
    """Seconds of each commit of some rows."""
    rows = [(file.read_bytes(), label) for file, label in files_of(folder)]
    peer.build(str(work / "warm"), rows[:10])
    peer.create(str(work / "all"))
    seconds = []
    clock = Clock()
    for number in range(COMMITS):
        begin = time.perf_counter()
        peer.append(rows[number * size : (number + 1) * size])
        peer.commit(f"commit {number}")
        seconds.append(time.perf_counter() - begin)
    found = clock.stop()
    appended = sum(len(data) for data, _ in rows[: COMMITS * size])
    return found | {
        "count": COMMITS, "median": float(np.median(seconds)),
        "first": float(np.median(seconds[:20])), "last": float(np.median(seconds[-20:])),
        "stored": disk_usage(work / "all"), "appended": appended,
    }  # fmt: skip


def verify(peer, folder, work):
    """Seconds to store and decode all files of the folder."""
    peer.verify(str(work / "warm"), folder)
    clock = Clock()
    peer.verify(str(work / "all"), folder)
    return clock.stop() | {"count": len(files_of(folder))}


def query(peer, folder, work):
    """Seconds of a query over a million rows, on a dataset just opened."""
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 100, QUERIED, np.int32), rng.random(QUERIED, np.float32)
    for name, count in (("warm", 1000), ("all", QUERIED)):
        peer.numbers(str(work / name), labels[:count], scores[:count])
    peer.found(str(work / "warm"))()
    ask = peer.found(str(work / "all"))
    clock = Clock()
    found = ask()
    seconds = clock.stop()
    expected = int(((labels == 7) & (scores > 0.99)).sum())
    if found != expected:
        raise RuntimeError(f"{found} rows found, expected {expected}")
    return seconds | {"count": 1}


def memory(peer, folder, work):
    """Seconds to store generated images, and the most memory that the process had."""
    peer.generate(str(work / "warm"), 64 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock = Clock()
    peer.generate(str(work / "all"), GENERATED)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return clock.stop() | {"count": 1, "before_mb": before / 1024, "peak_mb": peak / 1024}


def disk_usage(path):
    """Bytes of all files below a path."""
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())


WORK = {
    "ingest": ingest, "random": random_access, "append": append, "append-commit": append_commit,
    "commits": commits, "verify": verify, "query": query, "memory": memory,
}  # fmt: skip


def main():
    """Do one piece of work, and print what it took."""
    name, work, folder = sys.argv[1:]
    place = Path(tempfile.mkdtemp(prefix="hubzarr-bench-"))
    try:
        found = WORK[work](PEERS[name](), folder, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(json.dumps(found | {"load": os.getloadavg()[0]}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
