"""What the clients have in common: all pull images, and all but skopeo unpack them."""

from __future__ import annotations

import tarfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

RELEASE = "etc/os-release"
DATA = "data/"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The image's files, as the client has unpacked them."""

    release: str
    """Contents of etc/os-release, which names image and platform."""
    sizes: tuple[int, ...]
    """Bytes of data/0, data/1, …: one for each layer."""


@dataclass(frozen=True, slots=True)
class Pulled:
    digest: str
    """Of what the name stands for: an index or a manifest."""
    config: str
    """Digest of the config, which names each layer's contents."""
    files: Unpacked


class Client(Protocol):
    """One client, with storage of its own. What it refuses is a `ClientFailed`."""

    def pull(self, name: str, *, platform: str = "", plain: bool = False) -> object:
        """Pull an image.

        Args:
            name: the image as a user writes it.
            platform: another one than this machine's.
            plain: from a registry without TLS.
        """

    def logged_in(self, user: str, password: str) -> AbstractContextManager[None]:
        """A login at the mirror that lasts for the block."""


class Engine(Client, Protocol):
    """A client that also unpacks what it pulls."""

    def pull(self, name: str, *, platform: str = "", plain: bool = False) -> Pulled: ...


def unpacked_in(root: Path) -> Unpacked:
    count = len(list((root / DATA).iterdir()))
    sizes = tuple((root / DATA / str(n)).stat().st_size for n in range(count))
    return Unpacked((root / RELEASE).read_text(), sizes)


def unpacked_tar(path: Path) -> Unpacked:
    with tarfile.open(path) as tar:
        release = tar.extractfile(RELEASE)
        assert release is not None
        sizes = {each.name: each.size for each in tar if each.isfile()}
        count = sum(name.startswith(DATA) for name in sizes)
        return Unpacked(release.read().decode(), tuple(sizes[f"{DATA}{n}"] for n in range(count)))
