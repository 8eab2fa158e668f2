"""Settings and where they come from: calls, environment, a file, defaults.

====================  ======================================================  =============
setting               meaning                                                 default
====================  ======================================================  =============
``root``              URL or folder under which plain names live              data folder
``cache_bytes``       memory for decoded chunks                               256 MiB
``buffer_bytes``      memory for written elements that are not stored yet     256 MiB
``sync_interval``     seconds after a write until it is stored                1.0
``threads``           threads that encode and decode chunks                   CPU count
``fsync``             wait until the device holds what was stored             False
``author``            who is named in new commits                             user@host
``progress``          show progress bars; None: on a terminal only            None
====================  ======================================================  =============

The strongest source wins: `configure` in this process; environment variables
(``HUBZARR_ROOT``, ``HUBZARR_CACHE_BYTES`` and so on); the file that ``HUBZARR_CONFIG``
names, else ``hubzarr/config.toml`` in the user's folder for settings; defaults.
"""

from __future__ import annotations

import getpass
import math
import os
import platform
import re
import sys
import threading
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hubzarr.errors import InvalidError

__all__ = [
    "Config",
    "config_path",
    "configure",
    "get_config",
    "parse_bytes",
    "reset_config",
]

_MEBIBYTE = 1 << 20
_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    _UNITS |= {_letter: 1000**_power, _letter + "b": 1000**_power, _letter + "ib": 1024**_power}
_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings in force; the module's table says what each one means.

    Examples
    --------
    >>> Config(root="s3://bucket/hub").cache_bytes
    268435456
    """

    root: str
    cache_bytes: int = 256 * _MEBIBYTE
    buffer_bytes: int = 256 * _MEBIBYTE
    sync_interval: float = 1.0
    threads: int = os.cpu_count() or 1
    fsync: bool = False
    author: str = "unknown"
    progress: bool | None = None


def get_config() -> Config:
    """Return the settings in force.

    Raises
    ------
    InvalidError
        A setting is unknown or has a bad value; the message names its source.

    Examples
    --------
    >>> get_config().sync_interval >= 0
    True
    """
    environment = tuple(map(os.environ.get, _CONSULTED))
    if _state.config is None or _state.environment != environment:
        with _state.lock:
            config = _gather(_state.changes)
            _state.environment, _state.config = environment, config
        return config
    return _state.config


def configure(**changes: Any) -> Config:
    """Change settings for this process and return the settings then in force.

    Parameters
    ----------
    **changes
        Settings by name. None takes an earlier change back. Numbers of bytes may be
        text such as ``"512MB"`` or ``"1GiB"``.

    Examples
    --------
    >>> configure(cache_bytes="1GiB").cache_bytes
    1073741824
    >>> configure(cache_bytes=None).cache_bytes == Config(root="").cache_bytes
    True
    """
    checked = {
        key: None if value is None else _checked(key, value, f"configure({key}=...)", os.getcwd())
        for key, value in changes.items()
        if value is not None or _known(key, f"configure({key}=...)")
    }
    with _state.lock:
        merged = _state.changes | checked
        merged = {key: value for key, value in merged.items() if value is not None}
        _state.config = _gather(merged)
        _state.changes = merged
        _state.environment = tuple(map(os.environ.get, _CONSULTED))
        return _state.config


def reset_config() -> None:
    """Forget all changes of `configure`, and read the config file again.

    Examples
    --------
    >>> before = get_config()
    >>> _ = configure(threads=7)
    >>> reset_config()
    >>> get_config() == before
    True
    """
    with _state.lock:
        _state.changes, _state.config = {}, None


def config_path() -> str:
    """Return the path of the config file, which need not exist.

    Examples
    --------
    >>> config_path().endswith(".toml")
    True
    """
    named = os.environ.get("HUBZARR_CONFIG")
    if named:
        return os.path.abspath(os.path.expanduser(named))
    return os.path.join(_user_folder("config"), "hubzarr", "config.toml")


def parse_bytes(value: int | str) -> int:
    """Return a number of bytes given as a number or as text with a unit.

    Examples
    --------
    >>> parse_bytes("512MB"), parse_bytes("1.5 GiB"), parse_bytes(4096)
    (512000000, 1610612736, 4096)
    """
    expected = "expected a number of bytes such as 1048576, '512MB' or '1GiB'"
    if isinstance(value, str):
        found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", value)
        if found is None or found[2].lower() not in _UNITS:
            raise InvalidError(f"bad size {value!r}: {expected}")
        digits, unit = found[1], _UNITS[found[2].lower()]
        return int(digits) * unit if digits.isdigit() else round(float(digits) * unit)
    number: Any = value  # callers may pass anything, whatever the annotation says
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise InvalidError(f"bad size {value!r}: {expected}")
    return number


class _State:
    """What `configure` changed, and the settings that were in force last."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changes: dict[str, Any] = {}
        self.environment: tuple[str | None, ...] = ()
        self.config: Config | None = None


_state = _State()


def _renew_lock() -> None:
    # Another thread of the parent may have held it while this one forked.
    _state.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _gather(changes: Mapping[str, Any]) -> Config:
    defaults = Config(root=os.path.join(_user_folder("data"), "hubzarr"), author=_default_author())
    return replace(defaults, **(_from_file(config_path()) | _from_environment() | dict(changes)))


def _from_environment() -> dict[str, Any]:
    found = {}
    for key in _CHECKS:
        variable = f"HUBZARR_{key.upper()}"
        value = os.environ.get(variable)
        if value:
            source = f"environment variable {variable}"
            found[key] = _checked(key, value, source, os.getcwd())
    return found


def _from_file(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read().decode()
        settings = tomllib.loads(text)
    except FileNotFoundError:
        if os.environ.get("HUBZARR_CONFIG"):
            raise InvalidError(
                f"environment variable HUBZARR_CONFIG names {path!r}, which does not exist; "
                "create the file or unset the variable"
            ) from None
        return {}
    except NotADirectoryError:
        return {}
    except OSError as error:
        raise InvalidError(
            f"can't read the config file {path!r} ({error.strerror}); mend or remove it"
        ) from error
    except ValueError as error:
        raise InvalidError(f"{path}: not valid TOML: {error}; mend or remove it") from None
    folder = os.path.dirname(path)
    return {
        key: _checked(key, value, f"{path}:{_line_of(key, text)}", folder)
        for key, value in settings.items()
    }


def _line_of(key: str, text: str) -> int:
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}\b")
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if pattern.match(line)), 1)


def _known(key: str, source: str) -> bool:
    if key not in _CHECKS:
        raise InvalidError(f"{source}: unknown setting {key!r}; known ones: {', '.join(_CHECKS)}")
    return True


def _checked(key: str, value: Any, source: str, folder: str) -> Any:
    _known(key, source)
    if key == "root" and isinstance(value, str):
        value = _absolute(value, folder)
    try:
        return _CHECKS[key](value)
    except InvalidError as error:
        raise InvalidError(f"{source}: {error.message}") from None


def _absolute(root: str, folder: str) -> str:
    """Fix a relative folder, so that changing the directory does not move the root."""
    if not root or "://" in root:
        return root
    return os.path.normpath(os.path.join(folder, os.path.expanduser(root)))


def _check_root(value: Any) -> str:
    expected = "expected a URL or folder such as 's3://bucket/hub' or '~/hub'"
    if isinstance(value, os.PathLike):
        value = os.path.abspath(os.fspath(value))
    if not isinstance(value, str) or not value or value.startswith("hub://"):
        raise InvalidError(f"bad root {value!r}: {expected}")
    if re.search(r"://[^/]*:[^/]*@", value):
        raise InvalidError("the root contains a password: put it in the store's own settings")
    return value if re.fullmatch(r"/+|.*://", value) else value.rstrip("/")


def _check_number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise InvalidError(f"bad value {value!r}: expected a number of seconds, 0 or more")
    return number


def _check_threads(value: Any) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidError(f"bad value {value!r}: expected a whole number of threads, 1 or more")
    return value


def _check_flag(value: Any) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if isinstance(word, bool):
        return word
    if isinstance(word, str) and word in _WORDS:
        return _WORDS[word]
    raise InvalidError(f"bad value {value!r}: expected true or false")


def _check_author(value: Any) -> str:
    if isinstance(value, str) and value.strip() and value.isprintable():
        return value.strip()
    raise InvalidError(f"bad author {value!r}: expected one line of text such as 'ann@lab'")


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "root": _check_root,
    "cache_bytes": parse_bytes,
    "buffer_bytes": parse_bytes,
    "sync_interval": _check_number,
    "threads": _check_threads,
    "fsync": _check_flag,
    "author": _check_author,
    "progress": _check_flag,
}
# A change of one of these makes get_config() gather the settings anew.
_CONSULTED = (
    *(f"HUBZARR_{key.upper()}" for key in (*_CHECKS, "config")),
    *("XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME", "APPDATA", "LOCALAPPDATA"),
)


def _default_author() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may have no such user
        user = "unknown"
    return f"{user}@{platform.node() or 'localhost'}"


def _user_folder(kind: str) -> str:
    """Return the user's folder for 'data' or 'config', as the system has it."""
    home = os.path.expanduser("~")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Application Support")
    if os.name == "nt":
        variable, usual = {
            "data": ("LOCALAPPDATA", os.path.join(home, "AppData", "Local")),
            "config": ("APPDATA", os.path.join(home, "AppData", "Roaming")),
        }[kind]
        return os.environ.get(variable) or usual
    variable, usual = {
        "data": ("XDG_DATA_HOME", os.path.join(home, ".local", "share")),
        "config": ("XDG_CONFIG_HOME", os.path.join(home, ".config")),
    }[kind]
    named = os.environ.get(variable, "")
    return named if os.path.isabs(named) else usual  # the XDG standard ignores relative ones
