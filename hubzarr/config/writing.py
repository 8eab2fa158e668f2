"""Changing the config file: other settings and comments stay as they are."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from hubzarr.config.roots import check_root_name
from hubzarr.errors import InvalidError, StorageError

__all__ = ["changed_text", "toml_value", "write_file"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER: Final = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def changed_text(
    text: str,
    settings: Mapping[str, Any],
    roots: Mapping[str, Mapping[str, Any] | None],
) -> str:
    """Return the text of a config file with settings and roots changed.

    Parameters
    ----------
    text : str
        The file as it is.
    settings : mapping
        Settings to set; None removes one.
    roots : mapping
        By name, a table with ``url`` and options, which replaces the one there is; None
        removes it.

    Examples
    --------
    >>> print(changed_text("# mine\\nthreads = 2\\n", {"root": "lab"}, {"lab": {"url": "/lab"}}))
    # mine
    threads = 2
    root = "lab"
    <BLANKLINE>
    [roots.lab]
    url = "/lab"
    <BLANKLINE>
    """
    wanted = _parsed(text)
    lines = text.splitlines()
    for name, table in roots.items():
        wanted.setdefault("roots", {})
        lines = _with_root(lines, check_root_name(name), table)
        _put(wanted["roots"], name, None if table is None else copy.deepcopy(dict(table)))
    for key, value in settings.items():
        lines = _with_setting(lines, key, value)
        _put(wanted, key, value)
    made = "\n".join(lines).strip("\n") + "\n"
    if not wanted.get("roots"):
        wanted.pop("roots", None)
    # TOML can be written in ways that lines don't show; then the whole is written anew.
    try:
        found = tomllib.loads(made)
    except ValueError:
        found = None
    if found is not None and not found.get("roots"):
        found.pop("roots", None)
    return made if found == wanted else _emitted(wanted)


def write_file(path: str, text: str) -> None:
    """Write the config file all or nothing, readable by its owner alone."""
    path = os.path.realpath(path)  # keep a link that the user made
    folder = os.path.dirname(path)
    temporary = f"{path}.{os.urandom(6).hex()}.tmp"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise StorageError(
            f"can't write the config file {path!r}: {error.strerror or error}; name another one "
            "in HUBZARR_CONFIG, or correct the rights",
            path=path,
        ) from error


def toml_value(value: Any) -> str:
    """Return a value as TOML has it.

    Examples
    --------
    >>> print(toml_value({"region_name": 'a"b', "verify": True, "sizes": [1, 2.5]}))
    {region_name = "a\\"b", verify = true, sizes = [1, 2.5]}
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value))}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {toml_value(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise InvalidError(
        f"a value of type {type(value).__name__} can't stand in the config file: expected text, "
        "a number, true, false, a list or a table"
    )


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    control = ord(character) < 0x20 or ord(character) == 0x7F
    return f"\\u{ord(character):04x}" if control else character


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else toml_value(key)


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise InvalidError(
            f"the config file is not valid TOML: {error}; mend or remove it"
        ) from None


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _root_lines(name: str, table: Mapping[str, Any]) -> list[str]:
    pairs = ((key, value) for key, value in table.items() if value is not None)
    return [f"[roots.{name}]", *(f"{_key(key)} = {toml_value(value)}" for key, value in pairs)]


def _with_root(lines: list[str], name: str, table: Mapping[str, Any] | None) -> list[str]:
    """The lines with one root's table in place of the one there is, or at the end."""
    kept: list[str] = []
    place: int | None = None
    inside = False
    for line in lines:
        header = _HEADER.match(line)
        if header is not None:
            parts = [part.strip().strip("\"'") for part in header[1].split(".")]
            inside = parts[:2] == ["roots", name]
            if inside and place is None:
                place = len(kept)
        if not inside:
            kept.append(line)
    new = [] if table is None else _root_lines(name, table)
    if place is None:
        return [*_without_end(kept), "", *new] if new else kept
    behind = kept[place:]
    return [*kept[:place], *new, *([""] if new and behind else []), *behind]


def _with_setting(lines: list[str], key: str, value: Any) -> list[str]:
    """The lines with a setting of the top level in place of the old one, or the last of them."""
    end = next((n for n, line in enumerate(lines) if _HEADER.match(line)), len(lines))
    new = [] if value is None else [f"{_key(key)} = {toml_value(value)}"]
    for number in range(end):
        if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", lines[number]):
            return [*lines[:number], *new, *lines[number + 1 :]]
    top, below = _without_end(lines[:end]), lines[end:]
    return [*top, *new, *([""] if below else []), *below]


def _without_end(lines: list[str]) -> list[str]:
    """The lines without empty ones at the end."""
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


def _emitted(tables: Mapping[str, Any]) -> str:
    """A whole file from its values."""
    top = {key: value for key, value in tables.items() if key != "roots"}
    lines = [f"{_key(key)} = {toml_value(value)}" for key, value in top.items()]
    for name, table in tables.get("roots", {}).items():
        shown = table if isinstance(table, Mapping) else {"url": table}
        lines += ["", *_root_lines(name, shown)]
    return "\n".join(lines).strip("\n") + "\n"
