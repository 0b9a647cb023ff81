"""A real mirror: mitmdump with the addon, in a process of its own, in front of a test Hub."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub.hub import Hub
from tests.ports import free_port

PROJECT = Path(__file__).resolve().parent.parent
MITMDUMP = Path(sys.executable).parent / "mitmdump"
ADDON = PROJECT / "addon" / "mirror.py"
START_SECONDS = 20.0


@dataclass
class Mirror:
    """A mirror that listens; `log` grows while it runs."""

    process: Process
    host: str
    port: int
    ca_file: Path | None = None
    log: list[str] = field(default_factory=list)

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        scheme = "https" if self.ca_file else "http"
        return f"{scheme}://{self.authority}"

    @property
    def tls(self) -> ssl.SSLContext | None:
        """For a client that trusts the mirror's certificate."""
        return ssl.create_default_context(cafile=str(self.ca_file)) if self.ca_file else None

    @property
    def text(self) -> str:
        """All that it said so far."""
        return "\n".join(self.log)

    async def log_line(self, part: str, seconds: float = 10.0) -> str:
        """The first line that holds `part`, waited for."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.log:
                if part in line:
                    return line
            if self.process.returncode is not None:
                deadline = min(deadline, time.monotonic() + 0.5)  # it has said its last line
            await asyncio.sleep(0.02)
        raise AssertionError(f"no line with {part!r} in:\n{self.text}")

    def memory(self) -> int:
        """Bytes resident now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def children(self) -> list[int]:
        """The processes that it has started and that run now."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    async def stop(self) -> int:
        """End it as a service manager does; its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            return await self.process.wait()


def hub_options(hub: Hub) -> list[str]:
    """What tells a mirror that this Hub is Docker Hub."""
    settings = {
        "docxy_token_service": hub.token_url,
        "docxy_service": hub.service,
        "docxy_redirect_private": "127.0.0.0/8",
    }
    if hub.registry_url.startswith("https"):
        settings["ssl_verify_upstream_trusted_ca"] = str(hub.ca_file)
    return settings_arguments(settings)


def settings_arguments(settings: Mapping[str, str]) -> list[str]:
    return [word for item in settings.items() for word in ("--set", "=".join(item))]


def reverse_mode(registry_url: str, host: str, port: int) -> list[str]:
    return ["--mode", f"reverse:{registry_url}@{host}:{port}"]


@contextlib.asynccontextmanager
async def running_mirror(
    hub: Hub | None,
    confdir: Path,
    *arguments: str,
    host: str = "127.0.0.1",
    port: int | None = None,
    modes: Sequence[str] | None = None,
    certificate: tuple[Path, Path] | None = None,
    ca_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    addon: Path = ADDON,
    prefix: Sequence[str] = (),
    program: str = "",
    workers: int = 0,
) -> AsyncIterator[Mirror]:
    """A mirror in front of a Hub, ended with the block.

    Args:
        hub: what it mirrors; None where the arguments say it.
        confdir: mitmproxy's config directory.
        arguments: more for mitmdump.
        host: where it listens.
        port: the same, a free one by default.
        modes: in place of the one that names the Hub's registry.
        certificate: certificate and key for TLS towards clients.
        ca_file: the authority of that certificate.
        environ: more environment.
        addon: another addon than the mirror.
        prefix: words before mitmdump's own, such as those that run it elsewhere.
        program: another of mitmproxy's than mitmdump.
        workers: start so many under a supervisor, and wait until all of them serve.
    """
    port = port or free_port(host)
    if modes is None:
        modes = reverse_mode(hub.registry_url, host, port) if hub else []
    words = [*modes, "--set", f"confdir={confdir}"]
    if addon == ADDON:
        words += ["--set", "docxy_acme_home="]
        # What no client asked for would stand in the Hub's log wherever a test looks into it.
        # And what a test has left running is no reason to wait at its end.
        for usual in ("docxy_warm_time=0", "docxy_drain_timeout=0"):
            name = usual.partition("=")[0]
            if not any(word.startswith(f"{name}=") for word in arguments):
                words += ["--set", usual]
    words += hub_options(hub) if hub else []
    if certificate:
        names = ("docxy_cert_path", "docxy_key_path")
        words += settings_arguments(dict(zip(names, map(str, certificate), strict=True)))
    command = [str(MITMDUMP.with_name(program) if program else MITMDUMP), "-s", str(addon)]
    if workers:
        command = [sys.executable, "-P", "-m", "addon.launch", "--workers", str(workers)]
    process = await asyncio.create_subprocess_exec(
        *prefix,
        *command,
        *words,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "DOCXY_STATE_DIR": str(confdir),
            **(environ or {}),
        },
    )
    mirror = Mirror(process, host, port, ca_file)
    reader = asyncio.get_running_loop().create_task(_read(process, mirror.log))
    try:
        await _wait_for_port(mirror)
        if workers:
            # The port is the supervisor's, and open before anybody serves.
            await mirror.log_line(f"{workers} workers serve", 2 * START_SECONDS)
        yield mirror
    finally:
        with contextlib.suppress(TimeoutError):
            await mirror.stop()
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reader


async def _read(process: Process, log: list[str]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        log.append(line.decode(errors="replace").rstrip())


async def _wait_for_port(mirror: Mirror) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if mirror.process.returncode is not None:
            break
        try:
            _, writer = await asyncio.open_connection(mirror.host, mirror.port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    await asyncio.sleep(0.1)
    raise AssertionError(f"the mirror does not listen:\n{mirror.text}")


def page_line() -> str:
    """What the log says once mitmweb's page can be had: ours, or mitmproxy 11's own line."""
    from mitmproxy.tools.web import webaddons

    return "Look inside" if hasattr(webaddons, "WebAuth") else "Web server listening"
