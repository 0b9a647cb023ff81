"""A second upstream that no one here wrote: Debian's `docker-registry` with token auth.

It takes the tokens of a Hub's token service, so that Hub must run beside it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from tests.ports import free_port

from .content import chunks
from .hub import Hub
from .images import Blob, Image, Manifest
from .tokens import Access

BINARY: Final = shutil.which("docker-registry")
"""None where it is not installed."""

_START_SECONDS = 10.0
_POLL_SECONDS = 0.02
_PUSH_SECONDS = 60.0


class Distribution:
    """Use it as `async with Distribution(hub) as registry`, or with `start` and `close`."""

    def __init__(self, hub: Hub, *, host: str = "127.0.0.1") -> None:
        self._hub, self._host, self._port = hub, host, free_port(host)
        self._folder = tempfile.TemporaryDirectory(prefix="distribution-")
        self.folder = Path(self._folder.name)
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"https://{self._host}:{self._port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    # --- life

    async def start(self) -> None:
        assert BINARY is not None, "docker-registry is not installed"
        config = self.folder / "config.yml"
        # JSON is YAML.
        config.write_text(json.dumps(self._config()))
        with (self.folder / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                BINARY, "serve", str(config), stdout=DEVNULL, stderr=log
            )
        async with asyncio.timeout(_START_SECONDS):
            await self._listening(self._process)

    async def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
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

    def _config(self) -> dict[str, object]:
        signer = self._hub.state.signer
        roots = self.folder / "token-roots.pem"
        roots.write_bytes(signer.root_pem)
        certificate, key = self._hub.issue_certificate(self.folder, self._host)
        return {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "storage")}},
            "http": {
                "addr": f"{self._host}:{self._port}",
                "secret": "not one",
                "tls": {"certificate": str(certificate), "key": str(key)},
            },
            "auth": {
                "token": {
                    "realm": self._hub.token_url,
                    "service": signer.service,
                    "issuer": signer.issuer,
                    "rootcertbundle": str(roots),
                }
            },
        }

    async def _listening(self, process: Process) -> None:
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"docker-registry ended: {self.log}")
            try:
                _, writer = await asyncio.open_connection(self._host, self._port)
            except ConnectionRefusedError:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                writer.close()
                return

    # --- what it holds

    async def push(self, image: Image) -> None:
        """Push an image of the Hub's, whose token service then lets it be pulled from here too."""
        signer, now = self._hub.state.signer, self._hub.settings.now()
        access = Access("repository", image.repository, ("pull", "push"))
        token = signer.issue("pusher", [access], now, _PUSH_SECONDS)
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            connector=aiohttp.TCPConnector(ssl=self._hub.client_context()),
            raise_for_status=True,
        ) as session:
            base = f"{self.url}/v2/{image.repository}"
            for manifest in image.manifests:
                for blob in manifest.blobs:
                    await _push_blob(session, base, blob)
                await _push_manifest(session, base, manifest, manifest.digest)
            await _push_manifest(session, base, image.manifest, image.tag or image.digest)


async def _push_blob(session: aiohttp.ClientSession, base: str, blob: Blob) -> None:
    async with session.post(f"{base}/blobs/uploads/") as started:
        upload = URL(started.headers["Location"], encoded=True)
    body = b"".join(chunks(blob.content))
    async with session.put(upload.update_query(digest=blob.digest), data=body):
        pass


async def _push_manifest(
    session: aiohttp.ClientSession, base: str, manifest: Manifest, reference: str
) -> None:
    kind = {"Content-Type": manifest.media_type}
    async with session.put(f"{base}/manifests/{reference}", data=manifest.raw, headers=kind):
        pass
