"""Congestion control of a whole mirror's connections, seen on the sockets that it accepted."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.addons import proxyserver
from mitmproxy.proxy import mode_servers

from addon.mitm.congestion import system_congestion_control
from addon.mitm.sockets import QUEUE, lengthen_queue, listening_sockets
from tests.e2e.client import ask
from tests.ports import free_port
from tests.running import ADDON, MITMDUMP, Mirror, reverse_mode, running_mirror, settings_arguments

_asked = itertools.count()
untyped: Any = proxyserver
untyped_servers: Any = mode_servers
REGISTRY = "http://registry.invalid:443"
LONGEST_QUEUE = int(Path("/proc/sys/net/core/somaxconn").read_text())
HINT = "mitmproxy's listening sockets are elsewhere now: look through addon/mitm/sockets.py"

# Says what each accepted socket uses; and changes the option or the modes when it is told to.
EXTRA = """
import logging, socket
from mitmproxy import ctx

class Accepted:
    def request(self, flow):
        for handler in ctx.master.addons.get("proxyserver").connections.values():
            if handler.client is flow.client_conn:
                sock = handler.transports[handler.client].writer.get_extra_info("socket")
                used = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
                name = used.rstrip(bytes(1)).decode()
                logging.info("%s accepted with %s", flow.request.path, name)
        for name in ("docxy_congestion_control", "mode"):
            if name in flow.request.headers:
                # An address with an @ would lose what looks like a password.
                value = flow.request.headers[name].replace("%40", "@")
                ctx.options.update(**{name: value.split(" ") if name == "mode" else value})

addons = [Accepted()]
"""
# Stands before the mirror and refuses as the kernel does.
REFUSING = """
import errno
from addon.mitm import sockets

def refuse(listening, name):
    raise OSError(errno.EPERM, "Operation not permitted")

sockets.set_congestion_control = refuse
"""


@pytest.fixture
def extra(tmp_path: Path) -> list[str]:
    script = tmp_path / "extra.py"
    script.write_text(EXTRA)
    return ["-s", str(script)]


def chosen(name: str) -> list[str]:
    return settings_arguments({"docxy_congestion_control": name})


@contextlib.asynccontextmanager
async def listening(confdir: Path, *words: str) -> AsyncIterator[Mirror]:
    """A mirror that has all that it starts with; its upstream is never asked."""
    port = free_port()
    modes = reverse_mode(REGISTRY, "127.0.0.1", port)
    async with running_mirror(None, confdir, *words, modes=modes, port=port) as mirror:
        await mirror.log_line("daemon.json")
        yield mirror


async def accepted_with(mirror: Mirror) -> str:
    """What the next connection that the mirror accepts uses."""
    asked = str(next(_asked))
    assert (await ask(mirror, f"/health?{asked}")).status == 200
    return (await mirror.log_line(f"/health?{asked} accepted with")).rpartition(" ")[2]


def test_mitmproxy_still_keeps_its_sockets_there() -> None:
    source = inspect.getsource(mode_servers.AsyncioServerInstance)
    assert "self._servers = await self.listen(host, port)" in source, HINT
    assert "asyncio.start_server" in source, HINT
    assert hasattr(untyped.Servers(untyped.Proxyserver()), "changed"), HINT


async def test_sockets_of_an_instance() -> None:
    mode = f"reverse:http://localhost:9@127.0.0.1:{free_port()}"
    manager = untyped.Proxyserver()
    instance = untyped_servers.ServerInstance.make(mode, manager)
    listener = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    instance._servers = [listener, object()]
    async with listener:
        assert len(listener.sockets) == 1
        found = [one.fileno() for one in listening_sockets([instance])]
        assert found == [listener.sockets[0].fileno()], HINT


async def test_accepted_sockets_have_it(tmp_path: Path, extra: list[str]) -> None:
    async with listening(tmp_path, *extra, *chosen("reno")) as mirror:
        assert await accepted_with(mirror) == "reno"


async def test_empty_is_the_systems(tmp_path: Path, extra: list[str]) -> None:
    async with listening(tmp_path, *extra, *chosen("")) as mirror:
        assert await accepted_with(mirror) == system_congestion_control()


async def test_it_may_change_while_the_mirror_runs(tmp_path: Path, extra: list[str]) -> None:
    async with listening(tmp_path, *extra, *chosen("")) as mirror:
        await ask(mirror, "/health", headers={"docxy_congestion_control": "reno"})
        assert await accepted_with(mirror) == "reno"
        await ask(mirror, "/health", headers={"docxy_congestion_control": ""})
        assert await accepted_with(mirror) == system_congestion_control()


async def test_sockets_that_come_later_have_it(tmp_path: Path, extra: list[str]) -> None:
    async with listening(tmp_path, *extra, *chosen("reno")) as mirror:
        port = free_port()
        _, mode = reverse_mode(REGISTRY, mirror.host, port)
        await ask(mirror, "/health", headers={"mode": mode.replace("@", "%40")})
        later = Mirror(mirror.process, mirror.host, port, log=mirror.log)

        async def has_it() -> bool:
            with contextlib.suppress(ConnectionRefusedError):
                return await accepted_with(later) == "reno"
            return False

        async with asyncio.timeout(10):
            # mitmproxy listens a moment before it says so.
            while not await has_it():  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(0.02)


async def test_one_that_is_not_there_costs_one_line(tmp_path: Path) -> None:
    async with listening(tmp_path, *chosen("nonesuch")) as mirror:
        assert (await ask(mirror, "/health")).status == 200
        assert "modprobe tcp_nonesuch" in await mirror.log_line("docxy_congestion_control")
        assert mirror.text.count("docxy_congestion_control") == 1


async def test_one_that_is_not_allowed_costs_one_line(tmp_path: Path, extra: list[str]) -> None:
    refusing = tmp_path / "refusing.py"
    refusing.write_text(REFUSING)
    words = ["-s", str(refusing), *extra, *chosen("bbr")]
    async with listening(tmp_path, *words) as mirror:
        assert await accepted_with(mirror) == system_congestion_control()
        assert mirror.text.count("docxy_congestion_control") <= 1


@pytest.mark.parametrize("name", ["BBR", "bbr,cubic"])
async def test_a_wrong_name_ends_the_start(tmp_path: Path, name: str) -> None:
    port = free_port()
    words = ["--set", f"confdir={tmp_path}", "--set", "docxy_acme_home=", *chosen(name)]
    process = await asyncio.create_subprocess_exec(
        *(str(MITMDUMP), "-s", str(ADDON)),
        *(*reverse_mode(REGISTRY, "127.0.0.1", port), *words),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        said, _ = await process.communicate()
    assert process.returncode == 1
    assert f"docxy_congestion_control: {name!r} is not a name such as bbr" in said.decode()
    assert "Traceback" not in said.decode()


async def test_as_many_connections_may_wait_as_the_system_allows() -> None:
    async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(leave, "127.0.0.1", 0) as server:
        (listening,) = server.sockets
        assert queue_of(listening) == 100
        lengthen_queue(listening)
        assert queue_of(listening) == min(QUEUE, LONGEST_QUEUE)
        _, writer = await asyncio.open_connection(*listening.getsockname())
        writer.close()


def queue_of(listening: Any) -> int:
    """`tcpi_sacked`, which of a listening socket is its queue's length (Linux' tcp_get_info)."""
    told = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    return int(struct.unpack_from("=I", told, 28)[0])
