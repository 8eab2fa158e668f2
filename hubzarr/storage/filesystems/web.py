"""What fsspec's HTTP filesystem lacks: to tell what is missing from what failed."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["web_info"]

_MISSING: Final = (404, 410)
_NO_HEAD: Final = (405, 501)


def web_info(fs: Any, url: str) -> dict[str, Any]:
    """Return size and type of what an address holds; FileNotFoundError if there is nothing.

    The filesystem's own `info` says so after any failure, and then a version would look
    shorter than it is.
    """
    from fsspec.asyn import sync

    found: dict[str, Any] = sync(fs.loop, _info, fs, url)
    return found


async def _info(fs: Any, url: str) -> dict[str, Any]:
    session = await fs.set_session()
    # A compressed answer would tell the length of something else.
    options = dict(fs.kwargs) | {"allow_redirects": True}
    options["headers"] = dict(options.get("headers") or {}) | {"Accept-Encoding": "identity"}
    for ask, is_head in ((session.head, True), (session.get, False)):
        async with ask(fs.encode_url(url), **options) as answer:
            if answer.status in _NO_HEAD and is_head:
                continue
            if answer.status in _MISSING:
                break
            answer.raise_for_status()
            length = answer.headers.get("Content-Length")
            size = int(length) if length and "Content-Encoding" not in answer.headers else None
            return {"name": url, "type": "file", "size": size}
    raise FileNotFoundError(url)
