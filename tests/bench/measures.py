"""What a run cost: the process's CPU and memory, and what the Hub was asked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MIB: Final = 1024 * 1024
_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class Process:
    """A process of Linux, read from /proc."""

    pid: int

    @property
    def _folder(self) -> Path:
        return Path(f"/proc/{self.pid}")

    def cpu_seconds(self) -> float:
        """User and system time since it began."""
        # The name stands in parentheses and may hold spaces.
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self, line: str = "VmRSS") -> int:
        """Bytes resident now, or `VmHWM`: at most so far."""
        status = (self._folder / "status").read_text().splitlines()
        found = next(each for each in status if each.startswith(f"{line}:"))
        return int(found.split()[1]) * 1024

    def forget_peak(self) -> None:
        """Let VmHWM count from now on (proc(5), clear_refs)."""
        (self._folder / "clear_refs").write_text("5")


def kind_of(seen: Mapping[str, Any]) -> str:
    """What a request to the Hub was for."""
    if seen["role"] != "registry":
        return str(seen["role"])
    if "/manifests/" in seen["target"]:
        return f"manifest {seen['method']}"
    if "/blobs/" in seen["target"]:
        return "redirect"
    return "ping" if seen["target"] == "/v2/" else "other"


def count_kinds(seen: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Upstream requests by kind."""
    return dict(Counter(map(kind_of, seen)))
