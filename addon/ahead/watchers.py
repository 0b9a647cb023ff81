"""Clients that ask for manifests and never for what they name: nothing is begun for them."""

from __future__ import annotations

from cachetools import LRUCache


class Watchers:
    """What became of what was begun for each client."""

    def __init__(self, images: int, clients: int) -> None:
        """A client is a watcher of tags after so many images without a claim."""
        self._images = images
        self._unclaimed: LRUCache[str, int] = LRUCache(clients)

    def __len__(self) -> int:
        return len(self._unclaimed)

    def asked(self, client: str) -> bool:
        """Note an image; whether anything should be begun for this client."""
        count = self._unclaimed.get(client, 0)
        self._unclaimed[client] = min(count + 1, self._images)
        return count < self._images

    def claimed(self, client: str) -> None:
        """Note a blob: this client pulls."""
        self._unclaimed.pop(client, None)
