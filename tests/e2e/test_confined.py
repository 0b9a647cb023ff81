"""The mirror as the installer sets it up: under the unit's restrictions, real pulls, real renewals.

Only root can confine it. On one of mitmproxy's lines alone (see conftest.py): nothing here differs
between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from addon.inspection.steps import PullFailed
from addon.install import places, settings
from addon.install.unit import unit_text
from tests.acme_sh import Authority, Issued
from tests.bench.engine import pull
from tests.e2e.confined import CAPABILITY, USER
from tests.hub import Hub
from tests.running import PROJECT

NAME = "mirror.example.com"
HOST = "127.0.0.83"  # where nobody else has the ports 80 and 443
CHALLENGE = "/.well-known/acme-challenge/dG9rZW4"
PULLS_AT_ONCE = 3
WORKERS = 2
# Clients that the two workers share.
CLIENTS = [f"127.0.0.{number}" for number in range(10, 16)]
# What a renewal may take until new clients see it.
SECONDS = 10.0

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can confine a program"),
]


@dataclass
class Server:
    """A folder that stands for the server's disk; what is run sees the rest of this machine's."""

    folder: Path
    hub: Hub
    log: list[str] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        # As addon/install/folders.py makes them.
        for path, owner, mode in (
            (places.ETC, 0, 0o755),
            (places.TLS, 0, 0o750),
            (places.WEBROOT, 0, 0o755),
            ("state", USER, 0o700),
            ("state/mitmproxy", USER, 0o700),
        ):
            self.at(path).mkdir(parents=True, exist_ok=True)
            os.chown(self.at(path), owner, USER)
            self.at(path).chmod(mode)
        self.folder.chmod(0o755)
        (self.at("state/mitmproxy") / "config.yaml").symlink_to(self.at(places.SETTINGS))
        self.at("hub.pem").write_bytes(self.hub.ca_file.read_bytes())

    def at(self, path: str) -> Path:
        return self.folder / path.lstrip("/")

    def write_settings(self, *, tls: bool) -> None:
        text = settings.of_all("", NAME)
        text = settings.with_certificate(text) if tls else settings.without_certificate(text)
        text = text.replace('"/', f'"{self.folder}/')
        of_the_hub: Mapping[str, str] = {
            "listen_host": HOST,
            "docxy_registry": self.hub.registry_url,
            "docxy_token_service": self.hub.token_url,
            "docxy_service": self.hub.service,
            "docxy_redirect_private": "127.0.0.0/8",
            "ssl_verify_upstream_trusted_ca": str(self.at("hub.pem")),
        }
        self.at(places.SETTINGS).write_text(settings.with_values(text, of_the_hub))
        os.chown(self.at(places.SETTINGS), 0, USER)
        self.at(places.SETTINGS).chmod(0o640)

    def copy_pair(self, issued: Issued) -> None:
        """As `acme.sh --install-cert` does: key, then chain, in place, each empty for a moment."""
        for path, content in ((places.KEY, issued.key), (places.CERTIFICATE, issued.fullchain)):
            if not self.at(path).exists():
                self.at(path).touch()
                os.chown(self.at(path), 0, USER)
                self.at(path).chmod(0o640)
            with self.at(path).open("wb", buffering=0) as file:
                time.sleep(0.001)
                file.write(content)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The unit's program, until the end of the block."""
        (command,) = re.findall(
            r"^ExecStart=\S+ (.*)$", unit_text(workers=str(WORKERS)), re.MULTILINE
        )
        words = ["unshare", "--mount", sys.executable, "-P", "-m", "tests.e2e.confined"]
        words += [str(self.folder), "--", sys.executable, *command.split()]
        self.process = await asyncio.create_subprocess_exec(
            *words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(PROJECT),
                "PYTHONUNBUFFERED": "1",
                "DOCXY_STATE_DIR": str(self.at("state")),
                "NO_PROXY": "127.0.0.0/8",
            },
        )
        self.log.clear()
        reader = asyncio.get_running_loop().create_task(self._read())
        try:
            await self._until_it_listens()
            yield
        finally:
            if self.process.returncode is None:
                self.process.terminate()
            await self.process.wait()
            await reader

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.log.append(line.decode().rstrip())

    async def _until_it_listens(self) -> None:
        assert self.process is not None
        async with asyncio.timeout(40):
            while not any(f"{WORKERS} workers serve" in line for line in self.log):
                assert self.process.returncode is None, "\n".join(self.log)
                await asyncio.sleep(0.05)


def processes_of(process: asyncio.subprocess.Process | None) -> list[int]:
    """The supervisor and its workers."""
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [process.pid, *map(int, children.split())]


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def ask_plain(path: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"http://{HOST}{path}", allow_redirects=False)
        return answer.status, await answer.read()


async def served_leaves() -> set[bytes]:
    """The certificates that new clients are shown."""
    return {await served_leaf(client) for client in CLIENTS}


async def served_leaf(client: str) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(
        HOST, 443, ssl=context, server_hostname=NAME, local_addr=(client, 0)
    )
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return ssl.DER_cert_to_PEM_cert(shown).encode()


@dataclass
class Load:
    """Pulls, one after the other and several at once, each as a new client."""

    tls: ssl.SSLContext
    pulls: int = 0
    failures: list[str] = field(default_factory=list)
    _over: bool = False

    async def _one_after_the_other(self) -> None:
        while not self._over:
            try:
                await pull(f"https://{NAME}:443", "layers", self.tls)
            except (PullFailed, aiohttp.ClientError, ExceptionGroup, OSError) as e:
                self.failures.append(repr(e))
            self.pulls += 1

    async def go_on(self) -> None:
        """Wait for as many pulls as run at once."""
        enough = self.pulls + PULLS_AT_ONCE
        async with asyncio.timeout(60):
            while self.pulls < enough:  # noqa: ASYNC110 - no event for each is worth it
                await asyncio.sleep(0.1)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for _ in range(PULLS_AT_ONCE):
                group.create_task(self._one_after_the_other())
            yield
            self._over = True


async def renewed(server: Server, issued: Issued) -> float:
    """Seconds until new clients see it."""
    server.copy_pair(issued)
    written = time.monotonic()
    while await served_leaves() != {issued.leaf}:
        assert time.monotonic() - written < SECONDS, "\n".join(server.log)
        await asyncio.sleep(0.2)
    return time.monotonic() - written


async def test_it_serves_and_renews_under_the_units_restrictions(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_image("library/layers", layers=(2_000_000, 300_000))
    authority, server = Authority(), Server(tmp_path / "server", hub)
    resolve_to(monkeypatch, NAME, HOST)

    # Before there is a certificate: for the authority, over the port that the renewals will have.
    server.write_settings(tls=False)
    async with server.running():
        challenge = server.at(places.WEBROOT) / CHALLENGE[1:]
        challenge.parent.mkdir(parents=True)
        challenge.write_bytes(b"dG9rZW4.proof")
        assert await ask_plain(CHALLENGE) == (200, b"dG9rZW4.proof")

    first = authority.issue(NAME)
    server.copy_pair(first)
    server.write_settings(tls=True)
    async with server.running():
        pids = processes_of(server.process)
        assert len(pids) == 1 + WORKERS
        for pid in pids:
            check_rights(pid, server)

        load = Load(ssl.create_default_context(cadata=authority.root_pem.decode()))
        async with load.running():
            assert await served_leaves() == {first.leaf}
            # The key stays, then another one: the order of the writes is the same.
            for issued in (authority.issue(NAME), authority.issue(NAME)):
                await renewed(server, issued)
                await load.go_on()
            assert await ask_plain(CHALLENGE) == (200, b"dG9rZW4.proof")
        assert load.failures == []
        assert load.pulls >= 3 * PULLS_AT_ONCE
    assert not any("Traceback" in line for line in server.log), "\n".join(server.log)


def check_rights(pid: int, server: Server) -> None:
    """A process has no rights but one, and may write to its own folder alone."""
    status = status_of(pid)
    assert set(status["Uid"].split()) == {str(USER)}
    assert status["Groups"] == ""
    assert status["NoNewPrivs"] == "1"
    # capabilities(7): CAP_NET_BIND_SERVICE is the tenth.
    for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"):
        assert int(status[kind], 16) == 1 << 10, f"not only {CAPABILITY}: {kind}"
    read_only = ("/", "/etc", "/usr", "/root", PROJECT, server.at(places.ETC))
    assert [path for path in read_only if not is_read_only(pid, path)] == []
    assert not is_read_only(pid, server.at("state"))


def resolve_to(patch: pytest.MonkeyPatch, name: str, address: str) -> None:
    """Have this process's clients find a name at an address."""
    resolve = aiohttp.resolver.ThreadedResolver.resolve

    async def resolved(self: object, host: str, *words: object, **names: object) -> object:
        where = address if host == name else host
        found = await resolve(self, where, *words, **names)  # type: ignore[arg-type]  # as it came
        return [{**each, "hostname": name} for each in found] if host == name else found

    patch.setattr(aiohttp.resolver.ThreadedResolver, "resolve", resolved)


def is_read_only(pid: int, path: str | Path) -> bool:
    """Whether a place is, for a process."""
    found = os.statvfs(f"/proc/{pid}/root{path}")
    return bool(found.f_flag & os.ST_RDONLY)
