"""Statistics of arrays and slices, and how few chunks they read."""

import numpy as np

import hubzarr as hub


def main() -> None:
    name = "examples/temperature"
    temperature = hub.array((365, 180, 360), name, dtype="float32", chunks=(30, 90, 90),
                            overwrite=True, dimension_names=("day", "lat", "lon"))  # fmt: skip
    rng = np.random.default_rng(0)
    with temperature.transaction("one year"):
        for start in range(0, 365, 30):
            days = min(30, 365 - start)
            temperature[start : start + days] = rng.normal(15, 8, (days, 180, 360))

    print("whole year, from the manifest:", temperature.mean(), temperature.std())
    print("whole chunks, from the manifest too:", temperature[30:60, :90].mean())
    print("any box, only chunks at its border are read:", temperature[25:70, 10:50].max())
    print("along an axis, chunks stream through:", temperature.mean(axis=(1, 2))[:3])
    counts, edges = temperature[:30].histogram(bins=5)
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        print(f"{low:8.2f} to {high:8.2f}: {count}")


if __name__ == "__main__":
    main()
