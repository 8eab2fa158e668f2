"""``python -m hubzarr.demo``, which takes the options of ``hubzarr demo``."""

from __future__ import annotations

import argparse
import sys

from hubzarr.demo import run
from hubzarr.errors import HubzarrError

if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m hubzarr.demo", description="A tour of hubzarr.")
    parser.add_argument("--out", default="demo-output", help="folder for its store and picture")
    try:
        run(parser.parse_args().out, sys.stdout)
    except HubzarrError as error:
        sys.exit(f"hubzarr demo: {error.message}")
