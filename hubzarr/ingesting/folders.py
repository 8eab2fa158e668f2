"""Folders of images: class folders, or images alone."""

from __future__ import annotations

__all__: list[str] = []

KIND = "folders"
