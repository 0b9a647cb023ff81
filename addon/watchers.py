"""Clients that ask for manifests and never for what they name: nothing is begun for them."""

from __future__ import annotations

from cachetools import LRUCache

# Images without a claim after which a client is a watcher of tags, and how many are remembered.
PATIENCE = 3
MAX_CLIENTS = 4096


class Watchers:
    """What became of what was begun for each client."""

    def __init__(self) -> None:
        self._unclaimed: LRUCache[str, int] = LRUCache(MAX_CLIENTS)

    def __len__(self) -> int:
        return len(self._unclaimed)

    def asked(self, client: str) -> bool:
        """Note an image; whether anything should be begun for this client."""
        count = self._unclaimed.get(client, 0)
        self._unclaimed[client] = min(count + 1, PATIENCE)
        return count < PATIENCE

    def claimed(self, client: str) -> None:
        """Note a blob: this client pulls."""
        self._unclaimed.pop(client, None)
