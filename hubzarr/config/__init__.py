"""Settings and where they come from: calls, environment, a file, defaults.

====================  ======================================================  =============
setting               meaning                                                 default
====================  ======================================================  =============
``root``              URL or folder under which plain names live, or the      data folder
                      name of one of the ``roots``
``roots``             named roots, ``[roots.NAME]`` with ``url`` and options  none
``cache_bytes``       memory for decoded chunks                               256 MiB
``cache_dir``         folder that keeps what slow stores sent; "off": none    off
``cache_size``        how much that folder may hold                           10 GiB
``buffer_bytes``      memory for written elements that are not stored yet     256 MiB
``sync_interval``     seconds after a write until it is stored                1.0
``threads``           threads that encode and decode chunks                   CPU count
``transport``         "obstore" or "fsspec" for object stores; "auto": what   auto
                      is installed and knows the options, obstore first
``offline``           use the disk cache alone, and no network                False
``fsync``             wait until the device holds what was stored             False
``author``            who is named in new commits                             user@host
``progress``          show progress bars; None: on a terminal only            None
====================  ======================================================  =============

The strongest source wins: `configure` in this process; environment variables
(``HUBZARR_ROOT``, ``HUBZARR_CACHE_BYTES`` and so on); the file that ``HUBZARR_CONFIG``
names, else ``hubzarr/config.toml`` in the user's folder for settings; defaults.

In the environment, ``HUBZARR_ROOTS="prod=s3://bucket/hub;lab=/mnt/lab"`` adds named roots,
and moves those of the file elsewhere; their options remain.
"""

from __future__ import annotations

from hubzarr.config.checks import parse_bytes
from hubzarr.config.places import config_path, user_folder
from hubzarr.config.roots import Root, check_root_name, is_root_name
from hubzarr.config.secrets import is_credential, is_secret, secrets_in
from hubzarr.config.settings import (
    Config,
    configure,
    get_config,
    merged_options,
    options_for,
    refuse_unknown_root,
    reset_config,
)
from hubzarr.config.writing import changed_text, write_file

__all__ = [
    "Config",
    "Root",
    "changed_text",
    "check_root_name",
    "config_path",
    "configure",
    "get_config",
    "is_credential",
    "is_root_name",
    "is_secret",
    "merged_options",
    "options_for",
    "parse_bytes",
    "refuse_unknown_root",
    "reset_config",
    "secrets_in",
    "user_folder",
    "write_file",
]
