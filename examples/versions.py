"""Versions: branch, look at the difference, merge, travel back, seal."""

import numpy as np

import hubzarr as hub


def main() -> None:
    name = "examples/grid"
    if hub.exists(name):
        hub.delete(name, force=True)  # it was sealed
    grid = hub.from_numpy(np.arange(24.0).reshape(6, 4), name, chunks=(2, 4))

    fix = grid.branch("fix")
    fix[2:4] *= 10
    fix.commit("unit of rows 2 and 3 was wrong")
    grid[5, 0] = -1
    grid.commit("last row is invalid")

    print(grid.diff("main", "fix", values=True))
    grid.merge("fix")
    print(grid)
    for entry in grid.blame():
        print(entry.commit.message, entry.boxes)

    before = grid.at(1)
    print("row 2 before the merge:", before[2].tolist(), "- after:", grid[2].tolist())
    grid.seal("as published")
    print([(v.name, v.sealed) for v in hub.versions(name)])


if __name__ == "__main__":
    main()
