"""Folders of the user, and who the user is."""

from __future__ import annotations

import getpass
import os
import platform
import sys

__all__ = ["absolute", "config_path", "default_author", "default_root", "user_folder"]


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
    return os.path.join(user_folder("config"), "hubzarr", "config.toml")


def default_root() -> str:
    """The root with nothing set up: a folder for the user's data."""
    return os.path.join(user_folder("data"), "hubzarr")


def user_folder(kind: str) -> str:
    """Return the user's folder for 'data', 'config' or 'cache', as the system has it."""
    home = os.path.expanduser("~")
    if sys.platform == "darwin":
        library = os.path.join(home, "Library")
        return os.path.join(library, "Caches" if kind == "cache" else "Application Support")
    if os.name == "nt":
        local = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
        roaming = os.environ.get("APPDATA") or os.path.join(home, "AppData", "Roaming")
        return {"config": roaming, "data": local, "cache": os.path.join(local, "Cache")}[kind]
    variable, usual = {
        "data": ("XDG_DATA_HOME", os.path.join(home, ".local", "share")),
        "config": ("XDG_CONFIG_HOME", os.path.join(home, ".config")),
        "cache": ("XDG_CACHE_HOME", os.path.join(home, ".cache")),
    }[kind]
    named = os.environ.get(variable, "")
    return named if os.path.isabs(named) else usual  # the XDG standard ignores relative ones


def absolute(place: str, folder: str) -> str:
    """Fix a relative folder, so that changing the directory does not move it."""
    if not place or "://" in place:
        return place
    return os.path.normpath(os.path.join(folder, os.path.expanduser(place)))


def default_author() -> str:
    """Who is named in commits with nothing set up."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may have no such user
        user = "unknown"
    return f"{user}@{platform.node() or 'localhost'}"
