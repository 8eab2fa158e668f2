"""Libraries that stream samples into PyTorch, behind one small interface.

Each one as its documentation shows it, shuffled, with the settings that made it quickest
here: shards of 8 MB, so that each worker has several; batches by one call where the library
has one (`__getitems__`); workers that stay for the next epoch.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from loader_data import decoded

SHARD = 8 << 20
KEY = SECRET = "testing"
REGION = "us-east-1"
#: Packages that are installed by another name.
DISTRIBUTIONS = {"lance": "pylance", "streaming": "mosaicml-streaming"}


@dataclass(frozen=True)
class Place:
    """Where a data set lies.

    Parameters
    ----------
    path : str
        A folder, or ``s3://bucket/prefix``.
    endpoint : str, optional
        Of the object store.
    scratch : str, optional
        An empty folder for those that keep files of a remote data set.
    """

    path: str
    endpoint: str | None = None
    scratch: str | None = None


class Rival:
    """A library."""

    name = ""
    #: Packages that it needs.
    needs = ("torch",)
    #: Whether it reads from an object store.
    remote = False
    #: Whether worker processes can be had.
    workers = True
    #: Kinds of samples that it is measured with.
    kinds = ("raw", "jpeg")

    @classmethod
    def installed(cls):
        """Whether this interpreter has what it needs."""
        try:
            for name in cls.needs:
                importlib.metadata.version(DISTRIBUTIONS.get(name, name))
        except importlib.metadata.PackageNotFoundError:
            return False
        return True

    def prepare(self):
        """Import what it needs: not timed."""
        for name in self.needs:
            importlib.import_module(name)

    def build(self, path, data):
        """Store samples in a folder."""
        raise NotImplementedError

    def hints(self, path):
        """What `loader` must be told of a data set that was copied to an object store."""
        return {}

    def loader(self, place, data, batch, workers, **options):
        """An iterable of pairs: images and rows, shuffled."""
        raise NotImplementedError

    def state(self, place, data, batch, position):
        """What the library saves after so many samples of an epoch."""
        raise NotImplementedError

    def resumed(self, place, data, batch, state):
        """A new loader that goes on from there."""
        loader = self.loader(place, data, batch, 0)
        loader.load_state_dict(state)
        return loader


class Collate:
    """Samples of a batch as tensors; may travel to a worker."""

    def __init__(self, kind):
        self.kind = kind

    def __call__(self, samples):
        import torch

        if isinstance(samples[0], dict):
            samples = [(sample["x"], sample["y"]) for sample in samples]
        images, rows = zip(*samples, strict=True)
        if self.kind == "jpeg" and not isinstance(images[0], np.ndarray):
            images = [decoded(data) for data in images]
        return torch.from_numpy(np.stack(images)), torch.tensor(rows)


def map_loader(dataset, batch, workers, collate, **more):
    """PyTorch's own loader over something with a length and items."""
    from torch.utils.data import DataLoader

    return DataLoader(
        dataset, batch_size=batch, shuffle=True, num_workers=workers, collate_fn=collate,
        persistent_workers=bool(workers), **more,
    )  # fmt: skip


class Hubzarr(Rival):
    """ds.pytorch(), shuffled in windows."""

    name = "hubzarr"
    needs = ("torch", "hubzarr")
    remote = True
    kinds = ("raw", "jpeg", "tiny")
    storage: ClassVar = {}

    def prepare(self):
        super().prepare()
        # `import hubzarr` alone puts off nearly everything.
        importlib.import_module("hubzarr.api")

    def build(self, path, data):
        import hubzarr as hub

        ds = hub.empty(path)
        if data.kind == "jpeg":
            ds.create_tensor("x", htype="image", sample_compression="jpeg")
        else:
            values = data.arrays(0, 1)
            ds.create_tensor("x", dtype=values.dtype, **self.storage)
        ds.create_tensor("y", dtype="int64")
        with ds:
            for values, rows in data.blocks():
                if data.kind == "jpeg":
                    values = [hub.media.Sample(file) for file in values]
                ds.extend({"x": values, "y": rows})
        ds.close()

    def _open(self, place):
        import hubzarr as hub

        options = None
        if place.endpoint:
            options = {"endpoint_url": place.endpoint, "key": KEY, "secret": SECRET}
        return hub.load(place.path, mode="r", storage_options=options)

    def loader(self, place, data, batch, workers, **options):
        options = {"shuffle": True, **options}
        return self._open(place).pytorch(
            batch, tensors=["x", "y"], form="tuple", num_workers=workers, **options
        )

    def state(self, place, data, batch, position):
        return self.loader(place, data, batch, 0).state_dict() | {"position": position}


class HubzarrUncompressed(Hubzarr):
    """The same without a codec: what the others store."""

    name = "hubzarr-uncompressed"
    kinds = ("raw",)
    storage: ClassVar = {"chunk_compression": "none"}


class HubzarrFull(Hubzarr):
    """Any sample anywhere."""

    name = "hubzarr-full"

    def loader(self, place, data, batch, workers, **options):
        return super().loader(place, data, batch, workers, shuffle="full", **options)


class HubzarrNumpy(Hubzarr):
    """ds.batches(): NumPy arrays, without PyTorch."""

    name = "hubzarr-numpy"
    needs = ("hubzarr",)
    workers = False

    def loader(self, place, data, batch, workers, **options):
        options = {"shuffle": True, **options}
        return self._open(place).batches(batch, tensors=["x", "y"], form="tuple", **options)


class ArrayFile:
    """A memory-mapped array, sample by sample."""

    def __init__(self, path):
        self.path, self.x = path, None
        self.y = np.load(f"{path}/y.npy")

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        if self.x is None:
            self.x = np.load(f"{self.path}/x.npy", mmap_mode="r")
        return np.array(self.x[row]), int(self.y[row])


class ImageFiles:
    """A folder of files."""

    def __init__(self, path):
        self.files = sorted(str(file) for file in Path(path).iterdir())

    def __len__(self):
        return len(self.files)

    def __getitem__(self, row):
        with open(self.files[row], "rb") as file:
            return decoded(file.read()), int(os.path.basename(self.files[row])[:8])


class Files(Rival):
    """One .npy file, memory-mapped; or a folder of JPEG files: no format at all."""

    name = "files"

    def build(self, path, data):
        Path(path).mkdir()
        if data.kind == "raw":
            shutil.copy(data.file, f"{path}/x.npy")
            np.save(f"{path}/y.npy", data.rows(0, data.count))
        else:
            for file, row in data.samples():
                Path(path, f"{row:08d}.jpg").write_bytes(file)

    def loader(self, place, data, batch, workers, **options):
        kind = ArrayFile if data.kind == "raw" else ImageFiles
        return map_loader(kind(place.path), batch, workers, Collate("raw"))


class ZarrRows:
    """a[i] of zarr arrays."""

    def __init__(self, path, kind):
        import zarr

        self.path, self.kind, self.x = path, kind, None
        self.y = zarr.open_group(path, mode="r")["y"][:]

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        if self.x is None:
            import zarr

            self.x = zarr.open_group(self.path, mode="r")["x"]
        found = self.x[row]
        if self.kind == "jpeg":
            found = decoded(found.item() if isinstance(found, np.ndarray) else bytes(found))
        return found, int(self.y[row])


class Zarr(Rival):
    """zarr-python with chunks of 64 samples, zstd at level 3, and a[i] for each sample."""

    name = "zarr"
    needs = ("torch", "zarr")
    kinds = ("raw",)

    def build(self, path, data):
        import zarr

        group = zarr.open_group(path, mode="w")
        whole = data.arrays(0, data.count)
        array = group.create_array(
            "x", shape=whole.shape, dtype=whole.dtype, chunks=(64, *whole.shape[1:]),
            compressors=zarr.codecs.ZstdCodec(level=3),
        )  # fmt: skip
        array[:] = whole
        group.create_array("y", data=data.rows(0, data.count))

    def loader(self, place, data, batch, workers, **options):
        return map_loader(ZarrRows(place.path, data.kind), batch, workers, Collate("raw"))


class LoadRaw:
    """Bytes of raw images, or JPEG files, of a Hugging Face batch as arrays."""

    def __init__(self, data):
        self.kind, self.shape = data.kind, data.shape

    def image(self, data):
        if self.kind == "jpeg":
            return decoded(data)
        return np.frombuffer(data, np.uint8).reshape(self.shape)

    def __call__(self, batch):
        if self.kind == "tiny":
            return batch
        return {"x": [self.image(data) for data in batch["x"]], "y": batch["y"]}


class HuggingFace(Rival):
    """datasets: Arrow files; map-style and batched; remote ones streamed."""

    name = "huggingface"
    needs = ("torch", "datasets")
    remote = True
    kinds = ("raw", "jpeg", "tiny")

    def build(self, path, data):
        import datasets

        datasets.disable_progress_bars()
        value = datasets.Value("int32" if data.kind == "tiny" else "binary")
        features = datasets.Features({"x": value, "y": datasets.Value("int64")})

        def columns():
            for values, rows in data.blocks():
                x = [v.tobytes() for v in values] if data.kind == "raw" else list(values)
                for pair in zip(x, rows.tolist(), strict=True):
                    yield dict(zip("xy", pair, strict=True))

        if data.kind == "tiny":
            pairs = {"x": data.arrays(0, data.count), "y": data.rows(0, data.count)}
            made = datasets.Dataset.from_dict(pairs, features=features)
        else:
            made = datasets.Dataset.from_generator(
                columns, features=features, cache_dir=f"{path}-cache"
            )
        made.save_to_disk(path, max_shard_size="8MB")
        shutil.rmtree(f"{path}-cache", ignore_errors=True)

    def loader(self, place, data, batch, workers, **options):
        import datasets

        if place.endpoint:
            return self._streamed(place, data, batch, workers)
        dataset = datasets.load_from_disk(place.path).with_transform(LoadRaw(data))
        return map_loader(dataset, batch, workers, Collate("raw"))

    def _streamed(self, place, data, batch, workers):
        import datasets
        from torch.utils.data import DataLoader

        dataset = datasets.load_dataset(
            "arrow", data_files=f"{place.path}/*.arrow", split="train", streaming=True,
            storage_options={"endpoint_url": place.endpoint, "key": KEY, "secret": SECRET},
        )  # fmt: skip
        dataset = dataset.shuffle(seed=0, buffer_size=1000).map(LoadRaw(data), batched=True)
        return DataLoader(
            dataset, batch_size=batch, num_workers=workers, collate_fn=Collate("raw"),
            persistent_workers=bool(workers),
        )  # fmt: skip

    def _stateful(self, place, batch):
        """torchdata's loader over the same dataset."""
        import datasets
        from torchdata.stateful_dataloader import StatefulDataLoader

        return StatefulDataLoader(
            datasets.load_from_disk(place.path), batch_size=batch, shuffle=True,
            collate_fn=Collate("raw"),
        )  # fmt: skip

    def state(self, place, data, batch, position):
        first = self._stateful(place, batch)
        next(iter(first))
        return advanced(first.state_dict(), batch, position)

    def resumed(self, place, data, batch, state):
        loader = self._stateful(place, batch)
        loader.load_state_dict(state)
        return loader


def advanced(state, batch, position):
    """A state of torchdata's loader after one batch, as it would be at a position."""
    numbers = {1: position // batch, batch: position}
    if isinstance(state, dict):
        return {
            key: numbers.get(value, value)
            if key in ("_num_yielded", "_sampler_iter_yielded", "samples_yielded", "yielded")
            else advanced(value, batch, position)
            for key, value in state.items()
        }
    return state


class LitData(Rival):
    """litdata: StreamingDataset and StreamingDataLoader."""

    name = "litdata"
    needs = ("torch", "litdata")
    remote = True
    kinds = ("raw", "jpeg", "tiny")

    def build(self, path, data):
        os.environ.setdefault("DATA_OPTIMIZER_NUM_WORKERS", "1")
        from litdata.streaming.writer import BinaryWriter

        Path(path).mkdir()
        writer = BinaryWriter(path, chunk_bytes=SHARD)
        for row, (x, y) in enumerate(data.samples()):
            writer[row] = {"x": int(x) if data.kind == "tiny" else x, "y": y}
        writer.done()
        writer.merge()

    def loader(self, place, data, batch, workers, **options):
        import litdata

        more = {}
        if place.endpoint:
            # The server has no TLS, on which litdata's quick way to read chunks insists.
            litdata.streaming.downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True
            more = {
                "cache_dir": place.scratch,
                "storage_options": {
                    "endpoint_url": place.endpoint, "aws_access_key_id": KEY,
                    "aws_secret_access_key": SECRET, "region_name": REGION,
                },
            }  # fmt: skip
        dataset = litdata.StreamingDataset(place.path, shuffle=True, **more)
        return litdata.StreamingDataLoader(
            dataset, batch_size=batch, num_workers=workers, collate_fn=Collate(data.kind),
            persistent_workers=bool(workers),
        )  # fmt: skip

    def state(self, place, data, batch, position):
        first = self.loader(place, data, batch, 0)
        next(iter(first))
        state = first.state_dict()
        state["num_samples_yielded"] = position
        state["dataset"] |= {"num_samples_yielded": position, "sample_in_epoch": position}
        return state


class Mds(Rival):
    """mosaicml-streaming: MDS shards and StreamingDataset."""

    name = "mds"
    needs = ("torch", "streaming")
    remote = True
    kinds = ("raw", "jpeg", "tiny")

    def build(self, path, data):
        import streaming

        shape = ",".join(map(str, data.shape))
        x = {"raw": f"ndarray:uint8:{shape}", "jpeg": "bytes", "tiny": "int32"}[data.kind]
        columns = {"x": x, "y": "int"}
        with streaming.MDSWriter(out=path, size_limit=SHARD, columns=columns) as writer:
            for values, row in data.samples():
                writer.write({"x": values, "y": row})

    def _dataset(self, place, batch):
        import streaming

        streaming.base.util.clean_stale_shared_memory()
        where = {"local": place.path}
        if place.endpoint:
            os.environ |= {
                "S3_ENDPOINT_URL": place.endpoint, "AWS_ACCESS_KEY_ID": KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION,
            }  # fmt: skip
            where = {"remote": place.path, "local": place.scratch}
        return streaming.StreamingDataset(**where, shuffle=True, batch_size=batch)

    def loader(self, place, data, batch, workers, **options):
        from torch.utils.data import DataLoader

        return DataLoader(
            self._dataset(place, batch), batch_size=batch, num_workers=workers,
            collate_fn=Collate(data.kind), persistent_workers=bool(workers),
        )  # fmt: skip

    def state(self, place, data, batch, position):
        first = self.loader(place, data, batch, 0)
        next(iter(first))
        return first.dataset.state_dict(position, True)

    def resumed(self, place, data, batch, state):
        loader = self.loader(place, data, batch, 0)
        loader.dataset.load_state_dict(state)
        return loader


class Decode:
    """Image and row of a sample of a WebDataset."""

    def __init__(self, data):
        self.load = LoadRaw(data)

    def __call__(self, sample):
        return self.load.image(sample["img"]), int(sample["cls"])


class WebDataset(Rival):
    """webdataset: tar files, shuffled through a buffer of 1,000 samples."""

    name = "webdataset"
    needs = ("torch", "webdataset")
    remote = True

    def build(self, path, data):
        import webdataset

        Path(path).mkdir()
        limits = {"maxsize": SHARD, "maxcount": 1_000_000, "verbose": 0}
        with webdataset.ShardWriter(f"{path}/%05d.tar", **limits) as writer:
            for x, row in data.samples():
                image = x if data.kind == "jpeg" else x.tobytes()
                writer.write({"__key__": f"{row:08d}", "img": image, "cls": str(row).encode()})

    def hints(self, path):
        # A web server doesn't list.
        return {"shards": sorted(file.name for file in Path(path).glob("*.tar"))}

    def loader(self, place, data, batch, workers, **options):
        import webdataset

        if place.endpoint:
            folder = f"{place.endpoint}/{place.path.removeprefix('s3://')}"
            shards = [f"{folder}/{name}" for name in options["shards"]]
        else:
            shards = sorted(str(file) for file in Path(place.path).glob("*.tar"))
        dataset = webdataset.WebDataset(
            shards, shardshuffle=100, nodesplitter=None, empty_check=False
        )
        dataset = (
            dataset.shuffle(1000).map(Decode(data)).batched(batch, collation_fn=Collate("raw"))
        )
        return webdataset.WebLoader(
            dataset, batch_size=None, num_workers=workers, persistent_workers=bool(workers)
        )


class LanceRows:
    """One take() for a batch."""

    def __init__(self, path, storage, data):
        import lance

        self.path, self.storage, self.data, self.table = path, storage, data, None
        self.count = lance.dataset(path, storage_options=storage).count_rows()

    def __len__(self):
        return self.count

    def __getitems__(self, rows):
        if self.table is None:
            import lance

            self.table = lance.dataset(self.path, storage_options=self.storage)
        found = self.table.take([int(row) for row in rows])
        if self.data.kind == "jpeg":
            x = np.stack([decoded(value.as_buffer()) for value in found["x"]])
        else:
            flat = found["x"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            x = flat.reshape(-1, *self.data.shape)
        return x, found["y"].to_numpy()


def tensors(arrays):
    """A batch that is two arrays already."""
    import torch

    return tuple(torch.from_numpy(np.array(each)) for each in arrays)


class Lance(Rival):
    """pylance: a column of fixed-size lists or of bytes; workers are not forked."""

    name = "lance"
    needs = ("torch", "lance")
    remote = True

    def build(self, path, data):
        import lance
        import pyarrow as pa

        def tables():
            for values, rows in data.blocks():
                if data.kind == "jpeg":
                    x = pa.array(values, pa.binary())
                else:
                    size = int(np.prod(data.shape))
                    flat = pa.array(np.asarray(values).reshape(-1))
                    x = pa.FixedSizeListArray.from_arrays(flat, size)
                yield pa.RecordBatch.from_pydict({"x": x, "y": pa.array(rows)})

        first = next(iter(tables()))
        lance.write_dataset(tables(), path, schema=first.schema, data_storage_version="2.1")

    def loader(self, place, data, batch, workers, **options):
        storage = None
        if place.endpoint:
            storage: ClassVar = {
                "aws_endpoint": place.endpoint, "aws_access_key_id": KEY, "allow_http": "true",
                "aws_secret_access_key": SECRET, "aws_region": REGION,
            }  # fmt: skip
        more = {"multiprocessing_context": "forkserver"} if workers else {}
        return map_loader(LanceRows(place.path, storage, data), batch, workers, tensors, **more)


class DeepLake(Rival):
    """deeplake 4: ds.pytorch() in PyTorch's loader."""

    name = "deeplake"
    needs = ("torch", "deeplake")
    remote = True

    def build(self, path, data):
        import deeplake

        ds = deeplake.create(path)
        if data.kind == "jpeg":
            ds.add_column("x", deeplake.types.Image(sample_compression="jpeg"))
        else:
            ds.add_column("x", deeplake.types.Array("uint8", shape=list(data.shape)))
        ds.add_column("y", "int64")
        for values, rows in data.blocks():
            ds.append({"x": values if data.kind == "jpeg" else np.asarray(values), "y": rows})
        ds.commit()

    def loader(self, place, data, batch, workers, **options):
        import deeplake

        creds = {}
        if place.endpoint:
            creds = {
                "endpoint_url": place.endpoint, "aws_access_key_id": KEY,
                "aws_secret_access_key": SECRET, "aws_region": REGION,
            }  # fmt: skip
        ds = deeplake.open_read_only(place.path, creds=creds)
        return map_loader(ds.pytorch(), batch, workers, collate_rows)


def collate_rows(rows):
    """Rows of deeplake, decoded already, as tensors."""
    import torch

    images = np.stack([np.asarray(row["x"]) for row in rows])
    return torch.from_numpy(images), torch.tensor([int(row["y"]) for row in rows])


RIVALS = {
    rival.name: rival for rival in (
        Hubzarr, HubzarrUncompressed, HubzarrFull, HubzarrNumpy, Files, Zarr, HuggingFace,
        LitData, Mds, WebDataset, Lance, DeepLake,
    )
}  # fmt: skip
