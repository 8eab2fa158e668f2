"""``python -m hubzarr.cli``."""

from __future__ import annotations

import sys

from hubzarr.cli import main

if __name__ == "__main__":
    sys.exit(main())
