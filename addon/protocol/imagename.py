"""An image as users name it: `alpine`, `grafana/grafana:11.0.0`, `name@sha256:…`.

Grammar: distribution/reference, `normalize.go`, but for the host, which is the mirror's own or the
registry's here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from addon.protocol.names import is_digest, parse_digest, parse_repository, parse_tag

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class ImageName:
    """A repository as it is to be asked for, and a tag or a digest."""

    repository: str
    reference: str

    def __str__(self) -> str:
        separator = "@" if is_digest(self.reference) else ":"
        return f"{self.repository}{separator}{self.reference}"


def parse_image_name(text: str, check_host: Callable[[str], None]) -> ImageName:
    """An image's name; `check_host` raises ValueError for a host that is not served here.

    Raises:
        ValueError: it is none by the grammar, or names another host.
    """
    name, at, digest = text.partition("@")
    host, slash, rest = name.partition("/")
    if slash and _is_host(host):
        check_host(host)
        name = rest
    folder, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    repository = parse_repository(folder + slash + last)
    if colon:
        parse_tag(tag)
    if at:
        # As engines take it, the digest alone counts where there is a tag as well.
        return ImageName(repository, parse_digest(digest))
    return ImageName(repository, tag if colon else LATEST)


def _is_host(part: str) -> bool:
    return part == "localhost" or "." in part or ":" in part
