"""What a worker is told by its supervisor: which one it is, of how many, and its sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_VARIABLE: Final = "DOCXY_WORKER"
WORKERS: Final = "DOCXY_WORKERS"

Where = tuple[str, int]
"""Host and port as a listener names them; "" is every address, and port 0 any."""

# Options that bound the whole mirror, and of which each worker has its share, but never less than
# another option lets one blob or one address take: all of a client's comes to one worker.
SHARED: Final[Mapping[str, str]] = {
    "docxy_bytes_in_flight": "docxy_blob_bytes_in_flight",
    "docxy_client_connections": "docxy_address_connections",
    "docxy_memory_blobs": "docxy_memory_blob_size",
    "docxy_memory_manifests": "",
}


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker."""

    number: int
    """From 0 on."""
    of: int
    listeners: Mapping[Where, tuple[int, ...]]
    """Descriptors of sockets that listen."""
    lifeline: int
    """A descriptor whose other end is gone when the supervisor is."""
    logs_json: bool = False

    @property
    def speaks(self) -> bool:
        """Whether it says for all of them what is to be said once."""
        return self.number == 0


def parse_worker(environ: Mapping[str, str]) -> Worker | None:
    """The worker that this process is; None: it is the only one."""
    text = environ.get(_VARIABLE)
    if not text:
        return None
    told = json.loads(text)
    listeners = {(host, port): tuple(fds) for host, port, fds in told["listeners"]}
    of = int(environ[WORKERS])
    return Worker(told["number"], of, listeners, told["lifeline"], told["logs_json"])


def format_worker(worker: Worker) -> dict[str, str]:
    """The environment that says it."""
    told = {
        "number": worker.number,
        "lifeline": worker.lifeline,
        "logs_json": worker.logs_json,
        "listeners": [[*where, list(fds)] for where, fds in worker.listeners.items()],
    }
    return {_VARIABLE: json.dumps(told), WORKERS: str(worker.of)}


def shared(values: Mapping[str, Any], worker: Worker | None) -> dict[str, Any]:
    """Options as they hold for one worker: of what is for the whole mirror, its share.

    Not shared is what one client needs, as all its connections come to one worker: connections to
    an upstream's host and those that are kept open, and bounds for one blob, image or address.
    """
    if worker is None:
        return dict(values)
    shares = {
        name: _share(values[name], worker.of, values.get(least, 0))
        for name, least in SHARED.items()
        if name in values
    }
    return {**values, **shares}


def _share(whole: int, workers: int, least: int) -> int:
    # Where 0 means none, what is little must not become it.
    return max(whole // workers, min(whole, max(least, 1)))
