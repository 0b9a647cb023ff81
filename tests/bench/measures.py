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
    """A process of Linux and its children, read from /proc."""

    pid: int

    @property
    def _folders(self) -> list[Path]:
        own = Path(f"/proc/{self.pid}")
        children = (own / "task" / str(self.pid) / "children").read_text().split()
        return [own, *(Path(f"/proc/{pid}") for pid in children)]

    def cpu_seconds(self) -> float:
        """User and system time since they began."""
        # The name stands in parentheses and may hold spaces.
        read = [(each / "stat").read_text().rpartition(")")[2].split() for each in self._folders]
        return sum(int(fields[11]) + int(fields[12]) for fields in read) / _TICKS

    def memory(self, line: str = "VmRSS") -> int:
        """Bytes resident now, or `VmHWM`: at most so far, whenever that was for each."""
        status = [(each / "status").read_text().splitlines() for each in self._folders]
        found = [next(one for one in lines if one.startswith(f"{line}:")) for lines in status]
        return sum(int(one.split()[1]) * 1024 for one in found)

    def forget_peak(self) -> None:
        """Let VmHWM count from now on (proc(5), clear_refs)."""
        for each in self._folders:
            (each / "clear_refs").write_text("5")


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
