"""Where an export goes: a file or a folder, local or behind a URL of fsspec.

Locally everything is written under a name of its own beside the target and renamed at the
end, so that what has the target's name is whole. Object stores can't rename folders: there
files are written in place, and removed again when the export fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from hubzarr.errors import ExistsError, HubzarrError, InvalidError
from hubzarr.storage.base import storage_error
from hubzarr.storage.network.connect import translated

__all__ = ["DOCUMENT", "MARK", "Target", "suffix_of"]

#: The file of each exported folder that says what is in it.
DOCUMENT: Final = "dataset.json"
#: A key of that file; only folders that have it are overwritten.
MARK: Final = "hubzarr_export"


def suffix_of(url: str) -> str:
    """The extension of the last part of a path or URL, in lower case.

    Examples
    --------
    >>> suffix_of("s3://bucket/pets.Parquet/"), suffix_of("pets")
    ('.parquet', '')
    """
    return os.path.splitext(url.rstrip("/"))[1].lower()


class Target:
    """A file or folder that is being written; a context that ends in all or nothing.

    Parameters
    ----------
    url : str or path
        Local path, or any URL that fsspec can write.
    single : bool
        Whether it is one file.
    overwrite : bool
        Whether it may take the place of a file, or of a folder that an export wrote.
    options : mapping, optional
        For fsspec.

    Examples
    --------
    >>> with Target("notes", single=False) as target:
    ...     target.write("a/b.txt", b"text")
    >>> import pathlib
    >>> pathlib.Path("notes/a/b.txt").read_text(), target.files, target.nbytes
    ('text', 1, 4)
    """

    def __init__(
        self,
        url: str | os.PathLike[str],
        *,
        single: bool,
        overwrite: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        text = os.fspath(url)
        if not text:
            raise InvalidError("the target is empty; name a file or folder to write")
        if "://" not in text and "::" not in text:
            text = os.path.abspath(os.path.expanduser(text))
        self.url = text
        self.single = single
        self.overwrite = overwrite
        self.files = 0
        self.nbytes = 0
        self.options = dict(options or {})
        with self._told("open"):
            self._fs, path = _connected(text, self.options)
        self._final = path.rstrip("/")
        self.is_local = "file" in _protocols(self._fs)
        head, _, name = self._final.rpartition("/")
        self._work = f"{head}/.{name}.{secrets.token_hex(4)}.part" if self.is_local else self._final
        self._folders: set[str] = set()

    def __enter__(self) -> Target:
        with self._told("look at"):
            self._check()
            if self.is_local:
                os.makedirs(os.path.dirname(self._work), exist_ok=True)
                if not self.single:
                    os.mkdir(self._work)
            elif self._fs.exists(self._final):
                self._fs.rm(self._final, recursive=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            with contextlib.suppress(Exception):  # what went wrong first is what counts
                self._fs.rm(self._work, recursive=True)
            return
        with self._told("finish"):
            if self.is_local:
                self._rename()

    def _rename(self) -> None:
        old = f"{self._work}.old"
        replaced = os.path.lexists(self._final)
        if self.single:
            os.replace(self._work, self._final)
            return
        if replaced:
            os.rename(self._final, old)
        os.rename(self._work, self._final)
        if replaced and os.path.islink(old):
            os.unlink(old)
        elif replaced:
            shutil.rmtree(old)

    def _check(self) -> None:
        """Refuse to replace what no export wrote."""
        fs, path = self._fs, self._final
        if not fs.exists(path):
            return
        if fs.isdir(path):
            if self.single:
                raise ExistsError(
                    f"{self.url} is a folder, and this format is one file: name a file in it",
                    path=self.url,
                )
            found = fs.ls(path, detail=False)
            if not found or (self.overwrite and self._is_export()):
                return
            advice = (
                "it holds more than an export, and is not deleted for one: choose another target"
                if self.overwrite
                else "choose another target, or overwrite=True"
            )
            raise ExistsError(f"{self.url} is a folder that is not empty; {advice}", path=self.url)
        if not self.overwrite or not self.single:
            raise ExistsError(
                f"{self.url} exists already: choose another target, or overwrite=True",
                path=self.url,
            )

    def _is_export(self) -> bool:
        for name in (DOCUMENT, "zarr.json"):
            path = f"{self._final}/{name}"
            if self._fs.isfile(path):
                try:
                    document = json.loads(self._fs.cat_file(path))
                except ValueError:
                    continue
                found = document.get("attributes", document) if isinstance(document, dict) else {}
                if isinstance(found, dict) and MARK in found:
                    return True
        return False

    @contextlib.contextmanager
    def _told(self, verb: str) -> Iterator[None]:
        """Errors of the file system as ours."""
        try:
            yield
        except HubzarrError:
            raise
        except (ValueError, ImportError) as error:  # of fsspec, for a protocol it doesn't know
            raise InvalidError(f"can't {verb} {self.url!r}: {error}") from error
        except OSError as error:
            if "://" not in self.url:
                raise storage_error(error, verb, self.url) from error
            raise translated(error, verb, self.url) from error

    def path(self, name: str = "") -> str:
        """Where a file of the target is written for the moment; "" for the target itself."""
        return f"{self._work}/{name}" if name else self._work

    @contextlib.contextmanager
    def open(self, name: str = "") -> Iterator[IO[bytes]]:
        """Open a file of the target for writing; "" is the target itself."""
        path = self.path(name)
        with self._told("write"):
            if self.is_local:
                self._make_folder(os.path.dirname(path))
                with open(path, "xb") as file:
                    yield file
                    self.count(file.tell())
            else:
                with self._fs.open(path, "wb") as file:
                    yield file
                    self.count(file.tell())

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file."""
        with self.open(name) as file:
            file.write(data)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON document."""
        self.write(name, json.dumps(value, ensure_ascii=False, indent=1).encode())

    def count(self, nbytes: int) -> None:
        """A file more was written."""
        self.files += 1
        self.nbytes += nbytes

    def count_all(self) -> None:
        """Count the files of a folder that something else wrote."""
        for about in self._fs.find(self._work, detail=True).values():
            self.count(int(about["size"] or 0))

    def _make_folder(self, path: str) -> None:
        if path not in self._folders:
            os.makedirs(path, exist_ok=True)
            self._folders.add(path)


def _connected(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    import fsspec

    fs, path = fsspec.url_to_fs(url, **options)
    return fs, str(path)


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
