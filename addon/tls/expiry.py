"""When to remind of a certificate that nobody renews: at once, then once a day."""

from __future__ import annotations

from datetime import datetime, timedelta

from addon.tls.certificates import Pair, format_date

SOON = timedelta(days=14)
EVERY = timedelta(days=1)


class ExpiryReminder:
    """Remembers when it last reminded."""

    def __init__(self) -> None:
        self._last: datetime | None = None

    def message(self, pair: Pair, now: datetime) -> str | None:
        """Return what is to be logged now; None if nothing, or it was already said today."""
        if pair.not_after - now > SOON:
            return None
        if self._last is not None and now - self._last < EVERY:
            return None
        self._last = now
        names = ", ".join(pair.names)
        if now > pair.not_after:
            return (
                f"The certificate for {names} expired on {format_date(pair.not_after)}: clients"
                " refuse it. See what `acme.sh --cron` says."
            )
        return (
            f"The certificate for {names} expires on {format_date(pair.not_after)}, in"
            f" {(pair.not_after - now).days} days, and was not renewed yet. See what"
            " `acme.sh --cron` says."
        )
