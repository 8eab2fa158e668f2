"""First steps: create a named array, write to it, read from it, find it again."""

import numpy as np

import hubzarr as hub


def main() -> None:
    images = hub.array((1000, 64, 64), "examples/first-steps:v0", dtype="uint8", exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(20):
        images[i] = rng.integers(0, 256, (64, 64))
    images.commit("twenty random images")

    again = hub.load("examples/first-steps:v0")
    print(again)
    print("shape", again.shape, "- chunks", again.chunks)
    print("mean of the first image:", again[0].mean())
    print("mean of all:            ", again.mean())
    print("bytes in memory:", again.nbytes, "- bytes stored:", again.nbytes_stored)
    for commit in again.log():
        print(commit.number, commit.author, commit.message)


if __name__ == "__main__":
    main()
