"""The stand-in for Docker Hub: registry, token service and CDN, each on an address of its own."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from . import token_service
from .addresses import Address, loopback_addresses
from .cdn import Cdn
from .certificates import Certificates
from .content import Compression, Content
from .images import (
    Image,
    Manifest,
    build_artifact,
    build_index,
    build_layers,
    build_manifest,
)
from .log import Log
from .media_types import Format
from .registry import Registry
from .server import RoleServer
from .state import Settings, State
from .token_service import TokenService
from .tokens import Signer

USERS: Final = {"alice": "wonderland", "bob": "builder"}
SERVICE: Final = "registry.hub.test"
ISSUER: Final = "auth.hub.test"

_POLL_SECONDS = 0.005


class Hub:
    """Use it as `async with Hub() as hub`, or with `start` and `close`.

    Args:
        tls: False for plain http on all three.
        hosts: addresses of registry, token service and CDN.
        ports: the same, 0 for free ones.
        names: host names that stand in the URLs in place of the addresses, "" for none.
        announced_ports: ports that stand in the URLs in place of these, 0 for none.
        users: names and passwords.
        service: what the challenge calls the service.
    """

    def __init__(
        self,
        *,
        tls: bool = True,
        hosts: tuple[str, str, str] | None = None,
        ports: tuple[int, int, int] = (0, 0, 0),
        names: tuple[str, str, str] = ("", "", ""),
        announced_ports: tuple[int, int, int] = (0, 0, 0),
        users: Mapping[str, str] = USERS,
        service: str = SERVICE,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hub-")
        self.folder = Path(self._folder.name)
        self.settings = Settings(users)
        self.service = service
        self.state = State(self.settings, Signer(ISSUER, service))
        self.requests = Log()
        self._certificates = Certificates(self.folder) if tls else None
        addresses = map(Address, hosts or loopback_addresses(), ports, names, announced_ports)
        registry, token, cdn = addresses
        common = (self._certificates, self.requests)
        self.registry = RoleServer("registry", Registry(self.state).answer, registry, *common)
        self.token = RoleServer("token", TokenService(self.state).answer, token, *common)
        self.cdn = RoleServer("cdn", Cdn(self.state).answer, cdn, *common)

    # --- life

    async def start(self) -> None:
        for server in (self.registry, self.token, self.cdn):
            await server.start()
        self.state.registry_url = self.registry.url
        self.state.token_url = self.token.url + token_service.PATH
        self.state.cdn_url = self.cdn.url

    async def close(self) -> None:
        for server in (self.registry, self.token, self.cdn):
            await server.close()
        self._folder.cleanup()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # --- where it is

    @property
    def registry_url(self) -> str:
        return self.state.registry_url

    @property
    def token_url(self) -> str:
        return self.state.token_url

    @property
    def cdn_url(self) -> str:
        return self.state.cdn_url

    @property
    def ca_file(self) -> Path:
        """The private CA, PEM."""
        assert self._certificates is not None, "this Hub has no TLS"
        return self._certificates.ca_file

    def client_context(self) -> ssl.SSLContext:
        """For a client that trusts this Hub and nobody else."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def issue_certificate(self, folder: Path, *names: str) -> tuple[Path, Path]:
        """Certificate and key files from the same CA, for another server beside this Hub."""
        assert self._certificates is not None, "this Hub has no TLS"
        return self._certificates.issue(folder, *names)

    # --- what it holds

    def add_image(
        self,
        repository: str = "library/alpine",
        tag: str = "latest",
        layers: Sequence[int | bytes | Content] = (2000, 3000),
        *,
        platforms: Sequence[str] | str = "linux/amd64",
        form: Format = "oci",
        compression: Compression | None = "gzip",
        private: bool = False,
    ) -> Image:
        """Add an image that unpacks, and give it a tag.

        Args:
            repository: its full name, `library/` included.
            tag: its tag.
            layers: for each layer the size of its noise, or the bytes, of the one file in it.
            platforms: one name for one manifest, a sequence for an index over several.
            form: OCI's media types or Docker's.
            compression: of the layers; None leaves them plain tars.
            private: as `set_private` with any user.
        """
        single = isinstance(platforms, str)
        manifests = [
            build_manifest(
                build_layers(layers, f"{repository}:{tag}", platform),
                platform,
                form,
                compression,
                self.folder,
            )
            for platform in ([platforms] if isinstance(platforms, str) else platforms)
        ]
        manifest = manifests[0] if single else build_index(manifests, form)
        if private:
            self.set_private(repository)
        return self._add(repository, tag, manifest)

    def add_artifact(
        self,
        repository: str,
        tag: str = "",
        contents: Mapping[str, bytes] | None = None,
        *,
        artifact_type: str = "application/vnd.example.notes.v1",
        subject: Image | None = None,
    ) -> Image:
        """Add an OCI artifact; with a subject it is that image's referrer, and needs no tag."""
        named = {"text/plain": b"notes\n"} if contents is None else contents
        manifest = build_artifact(artifact_type, named, subject.manifest if subject else None)
        return self._add(repository, tag, manifest)

    def _add(self, repository: str, tag: str, manifest: Manifest) -> Image:
        held = self.state.repository(repository)
        held.add(manifest)
        if tag:
            held.tags[tag] = manifest.digest
        return Image(repository, tag, manifest)

    def tag(self, image: Image, tag: str) -> None:
        """Let (or make) a tag name this image."""
        self.state.repository(image.repository).tags[tag] = image.digest

    def set_private(self, repository: str, *readers: str) -> None:
        """Only these users, or any known one, may pull it from now on."""
        who = frozenset(readers or self.settings.users)
        self.state.repository(repository).readers = who

    def set_public(self, repository: str) -> None:
        self.state.repository(repository).readers = None

    # --- what it saw

    async def until(self, condition: Callable[[], bool], seconds: float = 5) -> None:
        """Wait for something that the Hub will see; TimeoutError when it does not come."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)

    @property
    def pulls(self) -> int:
        """Manifest GETs that counted against somebody's limit: those answered with 200."""
        return self.state.pulls.total()

    @property
    def manifest_gets(self) -> int:
        """Manifest requests that would count as pulls, whatever their answer."""
        return len(self.requests.of("registry", "GET", "/manifests/"))
