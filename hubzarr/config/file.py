"""Reading the config file."""

from __future__ import annotations

import os
import re
import stat
import tomllib
import warnings
from collections.abc import Mapping
from typing import Any

from hubzarr.config.secrets import secrets_in
from hubzarr.errors import InvalidError

__all__ = ["line_of", "read_file"]


def read_file(path: str) -> tuple[dict[str, Any], str]:
    """Return the tables of the config file, and its text; both empty if there is none."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read().decode()
        settings = tomllib.loads(text)
    except FileNotFoundError:
        if os.environ.get("HUBZARR_CONFIG"):
            raise InvalidError(
                f"environment variable HUBZARR_CONFIG names {path!r}, which does not exist; "
                "create the file or unset the variable"
            ) from None
        return {}, ""
    except NotADirectoryError:
        return {}, ""
    except OSError as error:
        raise InvalidError(
            f"can't read the config file {path!r} ({error.strerror}); mend or remove it"
        ) from error
    except ValueError as error:
        raise InvalidError(f"{path}: not valid TOML: {error}; mend or remove it") from None
    _warn_of_readers(path, mode, settings.get("roots"))
    return settings, text


def line_of(key: str, text: str) -> int:
    """The line on which a setting or a table stands; the first one when in doubt."""
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}\b")
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if pattern.match(line)), 1)


def _warn_of_readers(path: str, mode: int, roots: Any) -> None:
    """Tell when other users of the machine can read secrets in the file."""
    if os.name == "nt" or not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return
    secrets = list(secrets_in(roots if isinstance(roots, Mapping) else {}, "roots."))
    if secrets:
        # Not refused: on clusters, files with secrets are often mounted so.
        warnings.warn(
            f"other users can read {path}, which holds secrets ({', '.join(secrets)}): "
            f"chmod 600 {path}",
            stacklevel=2,
        )
