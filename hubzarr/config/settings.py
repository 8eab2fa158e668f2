"""The settings in force, gathered from all sources."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from hubzarr.config.checks import CHECKS, check_root
from hubzarr.config.file import line_of, read_file
from hubzarr.config.places import config_path, default_author, default_root
from hubzarr.config.roots import (
    Root,
    is_root_name,
    is_same_kind,
    nearest_root,
    parse_roots,
    roots_of,
)
from hubzarr.config.secrets import is_credential
from hubzarr.errors import InvalidError, NotFoundError

__all__ = [
    "Config",
    "configure",
    "get_config",
    "merged_options",
    "options_for",
    "refuse_unknown_root",
    "reset_config",
]

_MEBIBYTE = 1 << 20
_KNOWN = ("root", "roots", *(key for key in CHECKS if key != "root"))
# A change of one of these makes get_config() gather the settings anew.
_CONSULTED = (
    *(f"HUBZARR_{key.upper()}" for key in (*_KNOWN, "config")),
    *("XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME", "APPDATA", "LOCALAPPDATA"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings in force; the table in `hubzarr.config` says what each one means.

    Examples
    --------
    >>> Config(root="s3://bucket/hub").cache_bytes
    268435456
    """

    root: str
    roots: Mapping[str, Root] = field(default_factory=dict)
    cache_bytes: int = 256 * _MEBIBYTE
    cache_dir: str | None = None
    cache_size: int = 10 * 1024 * _MEBIBYTE
    buffer_bytes: int = 256 * _MEBIBYTE
    sync_interval: float = 1.0
    threads: int = os.cpu_count() or 1
    transport: str = "auto"
    offline: bool = False
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
        text such as ``"512MB"`` or ``"1GiB"``. ``roots`` is a dict of URLs, or of dicts
        with ``url`` and storage options.

    Examples
    --------
    >>> configure(cache_bytes="1GiB").cache_bytes
    1073741824
    >>> configure(cache_bytes=None).cache_bytes == Config(root="").cache_bytes
    True
    >>> configure(roots={"lab": {"url": "s3://lab/hub", "profile": "lab"}}, root="lab").root
    's3://lab/hub'
    >>> _ = configure(roots=None, root=None)
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


def options_for(url: str) -> dict[str, Any]:
    """Return the storage options of the configured root under which a URL lies.

    So handles, which never carry secrets, find them again on a worker that has the
    same config file.

    Examples
    --------
    >>> _ = configure(roots={"lab": {"url": "s3://lab/hub", "profile": "lab"}})
    >>> options_for("s3://lab/hub/alice/x"), options_for("s3://other/x")
    ({'profile': 'lab'}, {})
    >>> _ = configure(roots=None)
    """
    roots = get_config().roots
    root = nearest_root(url, roots) if roots else None
    return {} if root is None else copy.deepcopy(dict(root.options))


def merged_options(url: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return storage options for a URL: those given, and those of its root for the rest.

    Who gives credentials of any kind gets none of the root's.

    Examples
    --------
    >>> _ = configure(roots={"lab": {"url": "s3://lab/hub", "profile": "lab", "region": "eu"}})
    >>> merged_options("s3://lab/hub/x", {"anon": True})
    {'anon': True, 'client_kwargs': {'region_name': 'eu'}}
    >>> _ = configure(roots=None)
    """
    options, own = options_for(url), dict(given or {})
    if any(is_credential(key, value) for key, value in own.items()):
        options = {key: value for key, value in options.items() if not is_credential(key, value)}
    return _with_region(url, options | own)


def _with_region(url: str, options: dict[str, Any]) -> dict[str, Any]:
    """``region`` of an S3 store in the place where its libraries look for it."""
    if "region" in options and url.lower().startswith(("s3://", "s3a://")):
        region, inner = options.pop("region"), options.get("client_kwargs") or {}
        options["client_kwargs"] = {"region_name": region, **inner}
    return options


def refuse_unknown_root(word: str, what: str = "root or folder") -> NoReturn:
    """Raise the error for a word that names nothing, with the roots that there are.

    Examples
    --------
    >>> refuse_unknown_root("nosuch")
    Traceback (most recent call last):
    ...
    hubzarr.errors.NotFoundError: there is no root or folder 'nosuch'; configured roots: ...
    """
    known = ", ".join(sorted(get_config().roots)) or "none"
    raise NotFoundError(
        f"there is no {what} {word!r}; configured roots: {known}. A folder that is to be made is "
        f"called './{word}', and `hubzarr configure` adds a root"
    )


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


@dataclass(frozen=True, slots=True)
class _Word:
    """A root given by one word: the name of a root, else a folder."""

    text: str
    folder: str
    source: str

    def resolved(self, roots: Mapping[str, Root]) -> str:
        if self.text in roots:
            return roots[self.text].url
        return str(_named(self.source, check_root, self.text, self.folder))


def _gather(changes: Mapping[str, Any]) -> Config:
    sources = (_from_file(config_path()), _from_environment(), dict(changes))
    roots: dict[str, Root] = {}
    settings: dict[str, Any] = {}
    for source in sources:
        for name, root in source.pop("roots", {}).items():
            roots[name] = root if isinstance(root, Root) else _moved(roots.get(name), name, root)
        settings |= source
    if isinstance(settings.get("root"), _Word):
        settings["root"] = settings["root"].resolved(roots)
    defaults = Config(root=default_root(), author=default_author())
    return replace(defaults, roots=roots, **settings)


def _moved(root: Root | None, name: str, url: str) -> Root:
    """A root at another URL; its options stay, as long as they can mean the same there."""
    if root is None or not is_same_kind(root.url, url):
        return Root(name, url)
    return replace(root, url=url)


def _from_environment() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in _KNOWN:
        variable = f"HUBZARR_{key.upper()}"
        value = os.environ.get(variable)
        if not value:
            continue
        source = f"environment variable {variable}"
        if key == "roots":
            urls = _named(source, parse_roots, value)
            made = _checked(key, urls, source, os.getcwd())
            found[key] = {name: root.url for name, root in made.items()}
        else:
            found[key] = _checked(key, value, source, os.getcwd())
    return found


def _from_file(path: str) -> dict[str, Any]:
    tables, text = read_file(path)
    folder = os.path.dirname(path)
    found: dict[str, Any] = {}
    for key, value in tables.items():
        source = f"{path}:{line_of(key, text)}"
        if key == "roots" and isinstance(value, Mapping):
            found[key] = {}
            for name, entry in value.items():
                line = line_of(f"roots.{name}", text)
                where = f"{path}:{line}" if line > 1 else source
                found[key] |= _checked(key, {name: entry}, where, folder)
        else:
            found[key] = _checked(key, value, source, folder)
    return found


def _known(key: str, source: str) -> bool:
    if key not in _KNOWN:
        raise InvalidError(f"{source}: unknown setting {key!r}; known ones: {', '.join(_KNOWN)}")
    return True


def _checked(key: str, value: Any, source: str, folder: str) -> Any:
    _known(key, source)
    if key == "root" and isinstance(value, str) and is_root_name(value):
        return _Word(value, folder, source)
    return _named(source, roots_of if key == "roots" else CHECKS[key], value, folder)


def _named(source: str, check: Any, *values: Any) -> Any:
    """Check a value; errors begin with where it came from."""
    try:
        return check(*values)
    except InvalidError as error:
        raise InvalidError(f"{source}: {error.message}") from None
