"""What must be in order for a mirror to do its work, and how it is told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from addon.tls.certificates import format_date

DAY_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be in order; `why` holds no secret, and `seconds` is what it took."""

    name: str
    ok: bool
    why: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """All checks at one time."""

    checks: tuple[Check, ...]

    @property
    def is_ready(self) -> bool:
        """Whether all is in order."""
        return all(check.ok for check in self.checks)

    @property
    def trouble(self) -> str:
        """Why it is not ready, empty where it is."""
        return "; ".join(f"{check.name}: {check.why}" for check in self.checks if not check.ok)

    def json(self, *, with_reasons: bool) -> bytes:
        """For whoever asks; the reasons name hosts, which are no stranger's matter."""
        shown = [asdict(c) if with_reasons else {"name": c.name, "ok": c.ok} for c in self.checks]
        status = "ready" if self.is_ready else "not ready"
        return json.dumps({"status": status, "checks": shown}).encode() + b"\n"


def check_certificate(present: bool, ends: datetime | None, now: datetime) -> Check:
    """Whether clients are served a certificate that is valid now."""
    if not present:
        # One that is missing ends the start.
        return Check("certificate", True, "there is none, as the options say")
    if ends is None:
        return Check("certificate", False, "it cannot be read")
    days = (ends - now).total_seconds() / DAY_SECONDS
    if days < 0:
        return Check("certificate", False, f"it expired on {format_date(ends)}")
    return Check("certificate", True, f"valid until {format_date(ends)}, {days:.0f} days left")


def check_serving(is_draining: bool) -> Check:
    """Whether new clients are taken."""
    if is_draining:
        return Check("serving", False, "the mirror is about to end, and takes no new clients")
    return Check("serving", True, "new clients are taken")
