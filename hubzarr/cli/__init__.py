"""The command ``hubzarr``: arrays and datasets, their versions, and other formats, from a terminal.

=====  ===============================================================
code   meaning
=====  ===============================================================
0      done
1      an error, told on standard error; ``--debug`` shows where
2      the command line can't be understood
3      there is nothing of that name
4      it exists already, is sealed, or somebody else changed the same
5, 6   of doctor: a store for one writer at a time; a read-only one
130    stopped with Ctrl-C
141    whoever read the output stopped reading
=====  ===============================================================

``--json`` prints exactly one JSON document on standard output, for errors too.
"""

from __future__ import annotations

from hubzarr.cli.run import main

__all__ = ["main"]
