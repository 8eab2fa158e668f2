"""The work that libraries are compared on; each function adds rows to a `Bench`."""

from __future__ import annotations

import numpy as np
import probes
from measuring import disk_usage, images, scalars, settle, timed, timed_read

from hubzarr.measure import measured
from hubzarr.wording import say_bytes

__all__ = ["WORKLOADS"]

#: Libraries that only a workload of their own compares.
VERSIONED = ("tensorstore-txn", "tensorstore-ocdbt")


def whole(bench):
    """A whole array, 16 images per chunk: written, then read."""
    data = images(bench.sizes.images, bench.sizes.side)
    chunks = (16, *data.shape[1:])
    for codec in ("zstd", "lz4", "none"):

        def work(rival, codec=codec):
            path = bench.path()

            def write():
                a = rival.create(path, data.shape, data.dtype, chunks, codec)
                rival.write(a, ..., data)
                rival.finish(a)
                rival.close(a)

            seconds = {"write": timed(write)}
            a = rival.open(path)
            seconds["read"] = timed_read(rival, a, ..., data)
            rival.close(a)
            bench.remove(path)
            return seconds

        found = bench.turns(bench.those(codec, leave_out=VERSIONED), work)
        for label, seconds in found.items():
            bench.add("Whole array, 16 images per chunk", f"{label}, {codec}", seconds, data.nbytes)


def samples(bench):
    """Images one by one: ``a[i] = image``; seconds per image."""
    sizes = bench.sizes
    leave_out = ("tensorstore", "tensorstore-ocdbt", "zarr-zarrs", "tiledb")
    rivals = bench.those(leave_out=leave_out)
    big = images(sizes.samples, sizes.side)
    small = np.ascontiguousarray(images(256, 28)[..., 0])
    title = "Sample by sample (`a[i] = image`), zstd; time per image"

    def one_by_one(rival, data, count, total, chunks):
        path = bench.path()

        def write():
            a = rival.create(path, (total, *data.shape[1:]), data.dtype, chunks)
            for i in range(count):
                rival.write(a, i, data[i % len(data)])
            rival.finish(a)
            rival.close(a)

        seconds = timed(write)
        bench.remove(path)
        return seconds / count

    def large(rival):
        return {"": one_by_one(rival, big, len(big), len(big), (16, *big.shape[1:]))}

    def tiny(rival):
        slow = rival.name in ("zarr", "zarr-fused", "icechunk")
        count = sizes.slow_samples if slow else sizes.small_samples
        return {"": one_by_one(rival, small, count, sizes.small_samples, (256, 28, 28))}

    side = sizes.side
    found = bench.turns(rivals, large, rounds=min(3, sizes.rounds))
    bench.add(title, f"{len(big)} of {side}×{side}×3, 16 per chunk", found[""])
    found = bench.turns(rivals, tiny, rounds=min(3, sizes.rounds), warmup=0)
    notes = {
        name: f"first {sizes.slow_samples} only"
        for name in ("zarr", "zarr-fused", "icechunk")
        if name in found[""] and sizes.slow_samples < sizes.small_samples
    }
    bench.add(title, f"{sizes.small_samples} of 28×28, 256 per chunk", found[""], notes=notes)


def random(bench):
    """Single images at random places; seconds per image."""
    data = images(bench.sizes.images, bench.sizes.side)
    rng = np.random.default_rng(11)
    indices = rng.permutation(len(data))[: bench.sizes.random].tolist()
    title = "One image at a random place; time per image"
    one, many = (1, *data.shape[1:]), (16, *data.shape[1:])
    for codec, chunks, label in [
        ("zstd", one, "1 image per chunk"),
        ("none", one, "1 image per chunk"),
        ("zstd", None, "16 per chunk; hubzarr: its own choice"),
    ]:
        rivals = bench.those(codec, leave_out=VERSIONED)
        paths = {}
        for rival in rivals:
            paths[rival.name] = path = bench.path()
            auto = chunks is None
            ours = auto and rival.name == "hubzarr"
            with rival.active():
                a = rival.create(
                    path, data.shape, data.dtype, "auto" if ours else (many if auto else chunks),
                    codec, "auto" if ours else None,
                )  # fmt: skip
                rival.write(a, ..., data)
                rival.finish(a)
                rival.close(a)

        def work(rival, paths=paths):
            a = rival.open(paths[rival.name])

            def read():
                for i in indices:
                    rival.read(a, i)

            first, again = timed(read), timed(read)
            rival.close(a)
            return {"first touch": first / len(indices), "again": again / len(indices)}

        found = bench.turns(rivals, work)
        for touch, seconds in found.items():
            bench.add(title, f"{label}, {codec}, {touch}", seconds)
        for path in paths.values():
            bench.remove(path)


def small_chunks(bench):
    """A float32 field in chunks of 64×64, plain and 16×16 of them in a shard."""
    data = scalars(bench.sizes.field)
    title = "Small chunks: float32, 64×64"
    for codec in ("zstd", "none"):
        for shards in (None, (min(1024, len(data)),) * 2):

            def work(rival, codec=codec, shards=shards):
                path = bench.path()

                def write():
                    a = rival.create(path, data.shape, data.dtype, (64, 64), codec, shards)
                    rival.write(a, ..., data)
                    rival.finish(a)
                    rival.close(a)

                seconds = {"write": timed(write)}
                a = rival.open(path)
                seconds["read"] = timed_read(rival, a, ..., data)
                rival.close(a)
                bench.remove(path)
                return seconds

            rivals = bench.those(codec, shards is not None, VERSIONED)
            found = bench.turns(rivals, work, rounds=min(3, bench.sizes.rounds))
            how = "plain" if shards is None else "in shards"
            for label, seconds in found.items():
                bench.add(title, f"{label}, {codec}, {how}", seconds, data.nbytes)


def statistics_(bench):
    """Mean and std: from what is stored beside the chunks, by dask, by blocks in NumPy."""
    data = images(bench.sizes.images, bench.sizes.side)
    n, side = len(data), bench.sizes.side
    aligned = (slice(16, n // 32 * 16 + 16),)
    cut = (slice(5, n - 3), slice(side // 4, side // 2), slice(side // 4, side // 2))
    selections = {
        "whole": ((), None),
        f"aligned, [16:{aligned[0].stop}]": (aligned, None),
        f"cut, [5:{n - 3}, {side // 4}:{side // 2}, {side // 4}:{side // 2}]": (cut, None),
        "whole, per channel": ((), (0, 1, 2)),
    }
    names = ("hubzarr", "zarr-fused", "tensorstore")
    rivals = [bench.rivals[name] for name in names if name in bench.rivals]
    paths = {}
    for rival in rivals:
        paths[rival.name] = bench.path()
        with rival.active():
            a = rival.create(paths[rival.name], data.shape, data.dtype, (16, *data.shape[1:]))
            rival.write(a, ..., data)
            rival.finish(a)
            rival.close(a)
    reads = {}

    def work(rival):
        seconds = {}
        for label, (key, axis) in selections.items():
            a = rival.open(paths[rival.name])
            if rival.name == "hubzarr":
                with measured(a) as cost:
                    a[key].mean(axis=axis), a[key].std(axis=axis)
                seconds[label] = cost.seconds
                reads[label] = cost.read_bytes
            elif rival.name == "zarr-fused":
                seconds[label] = timed(by_dask, a, key, axis)
            else:
                seconds[label] = timed(by_blocks, rival, a, key, axis)
            rival.close(a)
        return seconds

    for label, seconds in bench.turns(rivals, work).items():
        bench.add(
            "Mean and std, zstd, 16 images per chunk", label,
            {TOOLS.get(name, name): values for name, values in seconds.items()},
            notes={"hubzarr": f"reads {say_bytes(reads[label])}"},
        )  # fmt: skip
    for path in paths.values():
        bench.remove(path)


TOOLS = {"zarr-fused": "dask on zarr-fused", "tensorstore": "tensorstore + NumPy"}


def by_dask(a, key, axis):
    """Mean and std of a zarr array as its users compute them."""
    import dask
    import dask.array

    x = dask.array.from_zarr(a)[key]
    return dask.compute(x.mean(axis=axis), x.std(axis=axis))


def by_blocks(rival, a, key, axis):
    """Mean and std by float32 pieces that fit into a processor's cache."""
    rows = key[0] if key else slice(0, a.shape[0])
    channels = 1 if axis is None else a.shape[-1]
    total, squares, count = np.zeros(channels), np.zeros(channels), 0
    for start in range(rows.start, rows.stop, 64):
        block = rival.read(a, (slice(start, min(start + 64, rows.stop)), *key[1:]))
        flat = np.ascontiguousarray(block).reshape(-1, channels)
        step = (1 << 16) // channels
        for i in range(0, len(flat), step):
            x = flat[i : i + step].astype(np.float32)
            total += x.sum(axis=0, dtype=np.float64)
            squares += np.einsum("ij,ij->j", x, x)
        count += len(flat)
    mean = total / count
    return mean, np.sqrt(squares / count - mean**2)


def commits(bench):
    """One changed chunk of many (16 int32 each), a cold open, a branch, a diff."""
    for grid in bench.sizes.grids:
        names = ["hubzarr", "tensorstore-ocdbt"]
        if grid <= bench.sizes.icechunk_grid:
            names.append("icechunk")
        _commits_of(bench, grid, [bench.rivals[n] for n in names if n in bench.rivals])


def _commits_of(bench, grid, rivals):
    title = f"History of an array of {grid:,} chunks"
    data = np.arange(grid * 16, dtype=np.int32)
    paths, handles, before = {}, {}, {}
    for rival in rivals:
        path = paths[rival.name] = bench.path()
        a = rival.create(path, data.shape, data.dtype, (16,), "none")
        rival.write(a, ..., data)
        handles[rival.name] = rival.commit(a)
        before[rival.name] = disk_usage(path)
    rng = np.random.default_rng(5)
    values = np.zeros(16, np.int32)
    done = 0

    def work(rival):
        nonlocal done
        done += 1
        at = int(rng.integers(grid)) * 16
        values[:] = -done

        def write_and_commit():
            a = handles[rival.name]
            rival.write(a, slice(at, at + 16), values)
            handles[rival.name] = rival.commit(a)

        return {"": timed(write_and_commit)}

    rounds = bench.sizes.commits
    found = bench.turns(rivals, work, rounds=rounds, warmup=2)
    stored = {
        name: f"{say_bytes((disk_usage(path) - before[name]) / (rounds + 2))} stored"
        for name, path in paths.items()
    }
    bench.add(title, "write and commit one chunk", found[""], notes=stored)
    _branch_and_diff(bench, title, handles)
    cold = bench.turns(
        rivals,
        lambda rival: {"": probes.call("cold", rival.name, paths[rival.name], grid // 2 * 16)},
        rounds=min(5, rounds),
        warmup=1,
    )
    bench.add(title, "open in a new process and read one element", cold[""])
    for rival in rivals:
        rival.close(handles[rival.name])
        bench.remove(paths[rival.name])


def _branch_and_diff(bench, title, handles):
    ours = handles["hubzarr"]
    log = ours.log(limit=2)
    points = [commit.number for commit in log]
    branch = {"hubzarr": [timed(ours.branch, f"b{i}") for i in range(5)]}
    diff = {"hubzarr": [timed(ours.diff, points[1], points[0]) for _ in range(5)]}
    if "icechunk" in handles:
        repository = bench.rivals["icechunk"].repository(handles["icechunk"])
        newest, older = [x.id for x in repository.ancestry(branch="main")][:2]
        branch["icechunk"] = [timed(repository.create_branch, f"b{i}", newest) for i in range(5)]

        def compare():
            return repository.diff(from_snapshot_id=older, to_snapshot_id=newest)

        diff["icechunk"] = [timed(compare) for _ in range(5)]
    bench.add(title, "new version (branch)", branch)
    bench.add(title, "diff of neighbouring commits", diff)


def append(bench):
    """Ten rows at the end, and a commit where the library has commits."""
    names = ("hubzarr", "zarr", "zarr-fused", "tensorstore-ocdbt", "icechunk", "h5py")
    rivals = [bench.rivals[name] for name in names if name in bench.rivals]
    rows = np.ascontiguousarray(images(10, 28)[..., 0])
    handles, paths = {}, {}
    for rival in rivals:
        path = paths[rival.name] = bench.path()
        codec = "zstd" if "zstd" in rival.codecs else "none"
        with rival.active():
            a = rival.create(path, (1000, 28, 28), np.uint8, (256, 28, 28), codec)
            handles[rival.name] = rival.commit(a)

    def work(rival):
        def append_and_commit():
            a = rival.append(handles[rival.name], rows)
            handles[rival.name] = rival.commit(a)

        return {"": timed(append_and_commit)}

    found = bench.turns(rivals, work, rounds=bench.sizes.commits, warmup=2)
    versioned = {n: "no commits" for n in ("zarr", "zarr-fused", "h5py") if n in found[""]}
    bench.add("Append", "10 rows of 28×28 and a commit", found[""], notes=versioned)
    for rival in rivals:
        rival.close(handles[rival.name])
        bench.remove(paths[rival.name])


def imports(bench):
    """Seconds inside a new interpreter."""
    for label, ours, theirs in [
        ("import", "hubzarr", "zarr"),
        ("import all that reads and writes", "hubzarr.api", "zarr"),
    ]:
        seconds = {"hubzarr": [], "zarr": []}
        for turn in range(-1, max(3, bench.sizes.rounds)):
            for name, module in (("hubzarr", ours), ("zarr", theirs)):
                value = probes.call("import", module)
                if turn >= 0:
                    seconds[name].append(value)
        bench.add("Import", label, seconds)


def memory(bench):
    """Peak memory above that of an idle process, beside the limits that were set."""
    sizes = bench.sizes
    path = bench.path()
    total, limit = sizes.memory, sizes.buffer
    title = f"Peak memory, array of {say_bytes(total)}, cache and buffer of {say_bytes(limit)} each"
    for what in ("write", "read", "std"):
        settle()
        found = probes.call("memory", what, path, total, limit)
        peak, seconds = found["peak"], found["seconds"]
        text = f"{say_bytes(peak)} = {peak / (2 * limit):.2f} of the two limits"
        bench.add(title, LABELS[what], {"hubzarr": [seconds]}, total, {"hubzarr": text})
    bench.remove(path)


LABELS = {
    "write": "write, 16 MiB at a time",
    "read": "read, 16 MiB at a time",
    "std": "std of a slice that cuts every chunk",
}

WORKLOADS = {
    "whole": whole,
    "samples": samples,
    "random": random,
    "small": small_chunks,
    "statistics": statistics_,
    "commits": commits,
    "append": append,
    "import": imports,
    "memory": memory,
}
