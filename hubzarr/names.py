r"""Names of repositories, versions and points in their history.

The grammar is ``[namespace/]base[:version][@point]``; a URL or a path may stand in
place of ``namespace/base``:

>>> name = parse_name("alice/weather:v1@7")
>>> name.repository, name.version, name.point
('alice/weather', 'v1', '7')
>>> parse_name("s3://bucket/team/mnist:v1@2026-01-31T12:00:00Z").root
's3://bucket/team/mnist'
>>> parse_name(r"C:\data\mnist:v1").root
'C:\\data\\mnist'

The first part of ``hub://prod/alice/x``, with or without ``hub://``, may be the name of
a configured root; otherwise it is a namespace under the default root.

A path is told from a name by its start: ``/``, ``./``, ``../``, ``~`` or a drive letter.
Only the last part of a URL or path is searched for ``:`` and ``@``; where the
directory itself has one of them in its name, end it with a slash: ``/data/me@work/:v1``.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NewType

from hubzarr.errors import InvalidNameError, InvalidTypeError

__all__ = ["DEFAULT_VERSION", "CommitId", "Name", "check_segment", "parse_name", "parse_point"]

DEFAULT_VERSION = "main"
"""The version that a name without one means."""

CommitId = NewType("CommitId", str)
"""Id of a commit: 16 hexadecimal digits in lower case."""

_EXAMPLES = "good names are 'mnist', 'alice/weather:v1', 's3://bucket/team/mnist:v1@7', './x:v0'"
_POINTS = "a point is a commit number (7), a commit id (16 hex digits) or a time (2026-01-31)"
_RESERVED = frozenset({"data", "forks", "pages", "versions"})
_MAX_CHARACTERS = 128
# The limit of common file systems, reached earlier by letters beyond ASCII.
_MAX_BYTES = 255
_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9_-])?")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_NUMBER = re.compile(r"[0-9]{1,12}")
_COMMIT_ID = re.compile(r"[0-9a-fA-F]{16}")
# Without a path, what follows ':' or '@' in these is a port or an account.
_WITH_HOST = frozenset(
    {"http", "https", "ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs", "webdav"}
    | {"abfs", "abfss", "az", "adl"}
)


@dataclass(frozen=True, slots=True)
class Name:
    """What to open: a repository, a version of it, a point in its history.

    Attributes
    ----------
    root : str or None
        URL or path in front; None for the configured root.
    path : str
        ``base`` or ``namespace/base`` below the root; '' if `root` is the repository.
    version : str or None
        None where the name has none; it then means `DEFAULT_VERSION`.
    point : str or None
        Commit number, commit id or ISO time, as text; see `parse_point`.

    Examples
    --------
    >>> name = Name(path="alice/weather", version="v1")
    >>> str(name), name.repository, name.address("s3://bucket/hub")
    ('alice/weather:v1', 'alice/weather', 's3://bucket/hub/alice/weather')
    """

    root: str | None = None
    path: str = ""
    version: str | None = None
    point: str | None = None

    def __post_init__(self) -> None:
        if self.root is not None:
            _check_root(self.root)
        elif not self.path:
            raise InvalidNameError(f"the name of the array is missing; {_EXAMPLES}")
        if self.path:
            for segment in self.path.split("/"):
                _require_normal(segment, check_segment(segment, "name"))
                if segment in _RESERVED:
                    raise InvalidNameError(
                        f"{segment!r} is reserved for folders inside a repository; "
                        f"choose another name, such as {'my-' + segment!r}"
                    )
        if self.version is not None:
            _require_normal(self.version, check_segment(self.version, "version"))
        if self.point is not None:
            parse_point(self.point)

    @property
    def repository(self) -> str:
        """The name without version and point."""
        if self.root is None:
            return self.path
        return _join(self.root, self.path)

    def address(self, root: str) -> str:
        """Return the URL or path of the repository, for a configured root."""
        return _join(root if self.root is None else self.root, self.path)

    def __str__(self) -> str:
        repository, suffix = self.repository, ""
        if self.version is not None:
            suffix += f":{self.version}"
        if self.point is not None:
            suffix += f"@{self.point}"
        text = repository + suffix
        if self.root is None or _split_place(text) == (repository, suffix):
            return text
        return f"{repository}/{suffix}"  # a ':' or '@' before the slash is the directory's


def parse_name(text: str | os.PathLike[str] | Name) -> Name:
    """Split a name, URL or path into root, path, version and point.

    Parameters
    ----------
    text : str, path or Name
        A `pathlib.Path` always means a path on the local disk.

    Raises
    ------
    InvalidNameError
        It names the part that breaks a rule.

    Examples
    --------
    >>> parse_name("hub://alice/weather:v1") == parse_name("alice/weather:v1")
    True
    >>> parse_name("mnist@2026-01-31T12:00:00Z").point
    '2026-01-31T12:00:00Z'
    >>> parse_name("a/../b")
    Traceback (most recent call last):
    ...
    hubzarr.errors.InvalidNameError: bad name 'a/../b': '..' would leave the root...
    """
    if isinstance(text, Name):
        return text
    text = _as_text(text)
    if text.startswith("hub://"):
        root, (path, suffix) = None, _split_name(text.removeprefix("hub://"))
    elif _is_place(text):
        path, (root, suffix) = "", _split_place(text)
    else:
        root, (path, suffix) = None, _split_name(text)
    version, point = _split_suffix(suffix)
    try:
        return Name(
            root,
            unicodedata.normalize("NFC", path),
            None if version is None else unicodedata.normalize("NFC", version),
            point,
        )
    except InvalidNameError as error:
        shown = _without_secrets(text)
        raise InvalidNameError(f"bad name {shown!r}: {error.message}", name=shown) from None


def parse_point(text: str) -> int | CommitId | datetime:
    """Return the commit number, commit id or time (UTC) that a point means.

    A time without a zone is UTC, a date is its first moment.

    Examples
    --------
    >>> parse_point("7"), parse_point("00c0ffee00c0ffee")
    (7, '00c0ffee00c0ffee')
    >>> parse_point("2026-01-31T12:00:00+02:00").isoformat()
    '2026-01-31T10:00:00+00:00'
    """
    if _NUMBER.fullmatch(text):
        return int(text)
    if _COMMIT_ID.fullmatch(text):
        return CommitId(text.lower())
    try:
        # The compact forms that fromisoformat also takes look like numbers or ids.
        if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ]|$)", text):
            raise InvalidNameError(f"bad point {text!r}: {_POINTS}", point=text)
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidNameError(f"bad point {text!r}: {_POINTS}", point=text) from None


def check_segment(text: str, what: str = "name") -> str:
    """Return a part of a name in normal form (NFC) if it keeps the rules, else raise.

    Letters, digits, ``_``, ``-`` and ``.`` are allowed, a dot neither first nor last.

    Examples
    --------
    >>> check_segment("weather-2026.v1")
    'weather-2026.v1'
    """
    if _PLAIN_SEGMENT.fullmatch(text):
        return text
    text = unicodedata.normalize("NFC", text)
    if not text:
        raise InvalidNameError(f"a {what} is empty (doubled or stray separator?); {_EXAMPLES}")
    if text == "..":
        raise InvalidNameError("'..' would leave the root; name the place in full")
    if text[0] == "." or text[-1] == ".":
        raise InvalidNameError(f"the {what} {text!r} starts or ends with a dot; remove it")
    for character in text:
        if character not in "_-." and unicodedata.category(character)[0] not in "LMN":
            raise InvalidNameError(
                f"the {what} {text!r} contains {character!r}; "
                "use letters, digits, '_', '-' and '.' only"
            )
    if len(text) > _MAX_CHARACTERS or len(text.encode()) > _MAX_BYTES:
        raise InvalidNameError(
            f"the {what} {text[:20] + '…'!r} is {len(text)} characters and {len(text.encode())} "
            f"bytes long; at most {_MAX_CHARACTERS} characters and {_MAX_BYTES} bytes are allowed"
        )
    return text


def _as_text(text: str | os.PathLike[str]) -> str:
    if isinstance(text, str):
        return text
    if isinstance(text, os.PathLike):
        path = os.fspath(text)
        if isinstance(path, str):
            return path if _is_place(path) else "./" + path
    raise InvalidTypeError(f"a name is a string or a path, not {type(text).__name__}; {_EXAMPLES}")


def _is_place(text: str) -> bool:
    return (
        text.startswith(("/", "./", "../", "~", ".\\", "..\\", "\\"))
        or text in (".", "..")
        or _DRIVE.match(text) is not None
        or _URL.fullmatch(text) is not None
    )


def _split_name(text: str) -> tuple[str, str]:
    """Split ``namespace/base`` from what starts with the first ':' or '@'."""
    end = _first_separator(text)
    return text[:end], text[end:]


def _split_place(text: str) -> tuple[str, str]:
    """Split a URL or path from what starts with the ':' or '@' of its last part."""
    url = _URL.fullmatch(text)
    if url:
        protocol, place = url[1].lower(), url[2]
        protocol = "memory" if protocol == "mem" else protocol  # as Hub calls it
        if "/" not in place and protocol in _WITH_HOST:
            return f"{protocol}://{place}", ""
        place, suffix = _split_last(place, "/")
        return f"{protocol}://{place}", suffix
    windows = _DRIVE.match(text) or text.startswith((".\\", "..\\", "\\"))
    return _split_last(text, "/\\" if windows else "/")


def _split_last(text: str, slashes: str) -> tuple[str, str]:
    start = max(text.rfind(slash) for slash in slashes) + 1
    end = start + _first_separator(text[start:])
    place = text[:end]
    stripped = place.rstrip(slashes)
    # The root directory itself, as in '/:v1', or a file:// URL of it.
    return (stripped or place[:1]), text[end:]


def _first_separator(text: str) -> int:
    found = re.search("[:@]", text)
    return found.start() if found else len(text)


def _split_suffix(suffix: str) -> tuple[str | None, str | None]:
    # A time contains ':' too, so the point begins at the first '@'.
    before, at, point = suffix.partition("@")
    return (before[1:] if before else None), (point if at else None)


def _join(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}" if path else root


def _without_secrets(text: str) -> str:
    return re.sub(r"://[^/]*:[^/]*@", "://…@", re.sub(r"(://[^?]*)\?.*", r"\1?…", text))


def _require_normal(given: str, normal: str) -> None:
    if given != normal:
        raise InvalidNameError(f"{given!r} is not in Unicode normal form C; use {normal!r}")


def _check_root(root: str) -> None:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in root):
        raise InvalidNameError(f"{root!r} contains a control character; remove it")
    url = _URL.fullmatch(root)
    if url is None:
        if not root.strip("/\\"):
            raise InvalidNameError(f"{root!r} is the top of the file system; name a folder below")
        return
    protocol, place = url[1], url[2]
    if not place.strip("/"):
        raise InvalidNameError(f"{root!r} names no place after '://'; {_EXAMPLES}")
    if "::" in place:
        raise InvalidNameError(f"{root!r} chains several URLs; name one store only")
    host, _, rest = place.partition("/")
    if re.fullmatch("[^@]*:[^@]*@.*", host):
        raise InvalidNameError(
            f"the {protocol} URL contains a password; take it out and pass it in the environment "
            "or in the store's own configuration"
        )
    if protocol in ("http", "https") and "?" in place:
        raise InvalidNameError(f"the {protocol} URL has a query ('?…'); name the folder only")
    for segment in rest.rstrip("/").split("/"):
        if segment in (".", ".."):
            raise InvalidNameError(
                f"{segment!r} in {root!r} would leave its folder; name the place in full"
            )
