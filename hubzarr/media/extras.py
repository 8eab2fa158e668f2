"""Packages that only some files need: imported when the first such file comes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hubzarr.errors import UnsupportedError

__all__ = ["have", "need"]

_loaded: dict[str, Any] = {}


def need(module: str, *, extra: str, what: str) -> Any:
    """Import a package, or say how to install it.

    Parameters
    ----------
    module : str
        Such as ``"PIL.Image"``.
    extra : str
        Extra of hubzarr that installs it.
    what : str
        What it is needed for, such as ``"reading JPEG files"``.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    UnsupportedError
        The package is not installed, or can't be imported.

    Examples
    --------
    >>> from hubzarr.media.extras import need
    >>> need("json", extra="images", what="reading JPEG files").loads("1")
    1
    >>> need("no_such_package", extra="images", what="reading JPEG files")
    Traceback (most recent call last):
    hubzarr.errors.UnsupportedError: reading JPEG files needs the package no_such_package:
    pip install 'hubzarr[images]'
    """
    found = _loaded.get(module)
    if found is not None:
        return found
    try:
        found = import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        missing = isinstance(error, ModuleNotFoundError)
        reason = "" if missing else f" (which is there, but fails: {error})"
        raise UnsupportedError(
            f"{what} needs the package {package}{reason}: pip install 'hubzarr[{extra}]'",
            package=package,
            extra=extra,
        ) from error
    _loaded[module] = found
    return found


def have(module: str) -> Any:
    """Import a package that there is another way without; None where it can't be imported.

    Examples
    --------
    >>> from hubzarr.media.extras import have
    >>> have("json").dumps([1]), have("no_such_package")
    ('[1]', None)
    """
    if module not in _loaded:
        try:
            _loaded[module] = import_module(module)
        except ImportError:
            _loaded[module] = None
    return _loaded[module]
