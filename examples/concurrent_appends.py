"""Several processes append to one array at the same time. Nothing is lost, and nobody waits."""

import multiprocessing

import numpy as np

import hubzarr as hub

NAME = "examples/measurements"
PROCESSES, BATCHES, ROWS = 4, 5, 10


def measure(worker: int) -> None:
    """Append batches of rows; each row says who wrote it, and which it was."""
    rows = hub.load(NAME)
    for batch in range(BATCHES):
        first = batch * ROWS
        rows.append([[worker, first + i] for i in range(ROWS)])
        rows.commit(f"batch {batch} of worker {worker}")
    rows.close()


def main() -> None:
    hub.array((0, 2), NAME, dtype="int32", chunks=(64, 2), overwrite=True)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=measure, args=(n,)) for n in range(PROCESSES)]
    for process in workers:
        process.start()
    for process in workers:
        process.join()

    rows = hub.load(NAME)
    table = np.asarray(rows)
    for worker in range(PROCESSES):
        mine = table[table[:, 0] == worker, 1]
        print(f"worker {worker}: {len(mine)} rows, in order: {bool((np.diff(mine) == 1).all())}")
    print("rows:", len(rows), "- commits:", len(rows.log()))


if __name__ == "__main__":
    main()
