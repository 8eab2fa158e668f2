"""A process that evaluates with checkpoints and may die: dataset, inputs, fatal input, workers."""

from __future__ import annotations

import os
import signal
import sys

import hubzarr as hub


@hub.compute
def mortal(sample_in, sample_out):
    if sample_in == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    sample_out.append({"x": sample_in, "y": [sample_in] * (sample_in % 3)})


def main() -> None:
    inputs, workers = range(int(sys.argv[2])), int(sys.argv[4])
    report = mortal().eval(inputs, hub.load(sys.argv[1]), workers, checkpoint_interval=10)
    print(report.resumed)


if __name__ == "__main__":
    main()
