"""What trying out a store found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ["Check", "Report", "Verdict"]

type Verdict = Literal["many writers", "one writer", "read-only", "unusable"]

_HEADLINES: Final[Mapping[str, str]] = {
    "many writers": "safe for many writers",
    "one writer": "only one writer at a time: pass single_writer=True",
    "read-only": "read-only",
    "unusable": "not usable",
}
_MARKS: Final = {True: "✓", False: "✗", None: "–"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Attributes
    ----------
    name : str
    ok : bool or None
        None where it was not tried or does not matter.
    detail : str
        What was found, and what to do about a failure.
    """

    name: str
    ok: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a store can do; print it to read it. `hubzarr.doctor` makes it.

    Attributes
    ----------
    url : str
    transport : str
        What carries the requests: "obstore", "s3fs", "local disk".
    verdict : {"many writers", "one writer", "read-only", "unusable"}
    advice : str
        What to do where the verdict is not the best.
    checks : sequence of Check
    latency : float or None
        Median time of a small read in seconds.
    write_speed, read_speed : float or None
        Bytes in a second, of several objects of 1 MiB at a time.
    clock : float or None
        Seconds by which this machine is ahead of the store.

    Examples
    --------
    >>> import hubzarr as hub
    >>> report = hub.doctor("memory://doctor")
    >>> report.verdict, report.ok
    ('many writers', True)
    >>> print(report)
    memory://doctor
    ✓ safe for many writers
    ...
    """

    url: str
    transport: str
    verdict: Verdict
    checks: Sequence[Check]
    advice: str = ""
    latency: float | None = None
    write_speed: float | None = None
    read_speed: float | None = None
    clock: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the store can be used by many writers, without reserve."""
        return self.verdict == "many writers"

    @property
    def headline(self) -> str:
        """The verdict as people say it."""
        return _HEADLINES[self.verdict]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "url": self.url,
            "transport": self.transport,
            "verdict": self.verdict,
            "advice": self.advice,
            "latency": self.latency,
            "write_speed": self.write_speed,
            "read_speed": self.read_speed,
            "clock": self.clock,
            "checks": [
                {"name": check.name, "ok": check.ok, "detail": check.detail}
                for check in self.checks
            ],
        }

    def lines(self) -> list[tuple[bool | None, str]]:
        """The text as lines, each with what it says about success."""
        best: dict[str, bool | None] = {"many writers": True, "unusable": False}
        found: list[tuple[bool | None, str]] = [(None, self.url)]
        good = best.get(self.verdict)
        found.append((good, f"{_MARKS.get(good) if good is not None else '!'} {self.headline}"))
        if self.advice:
            found.append((None, f"  {self.advice}"))
        found.append((None, ""))
        width = max(map(len, ("transport", *(check.name for check in self.checks))))
        found.append((None, f"  {'transport':{width}}  {self.transport}"))
        for check in self.checks:
            text = f"{_MARKS[check.ok]} {check.name:{width}}  {check.detail}".rstrip()
            found.append((check.ok, text))
        return found

    def __str__(self) -> str:
        return "\n".join(text.rstrip() for _, text in self.lines())

    def __repr__(self) -> str:
        return f"Report({self.url!r}, verdict={self.verdict!r})"
