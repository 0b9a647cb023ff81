"""The kernel's choice among the sockets of a port, with real connections from many addresses."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from addon.start.listeners import Listener
from addon.workers.spread import open_group, program

ROOT = Path(__file__).parent.parent.parent
CLIENTS = 200


@contextlib.contextmanager
def group(host: str, workers: int) -> Iterator[list[list[socket.socket]]]:
    opened = open_group(Listener(host, 0), workers, 100)
    try:
        yield opened
    finally:
        for sockets in opened:
            for one in sockets:
                one.close()


def chosen(opened: Sequence[Sequence[socket.socket]], source: str, target: str) -> int:
    """The worker that gets a connection from one address to another."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    listening = [one for sockets in opened for one in sockets if one.family == family]
    with socket.socket(family) as client:
        client.bind((source, 0))
        client.connect((target, listening[0].getsockname()[1]))
        for number, one in enumerate(listening):
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.accept()[0].close()
                return number
    raise AssertionError("nobody got it")


def is_even(found: Counter[int], workers: int, clients: int = CLIENTS) -> bool:
    """Whether each worker has at least half and at most one and a half of its share."""
    share = clients / workers
    return all(share * 0.5 <= found[number] <= share * 1.5 for number in range(workers))


@pytest.mark.parametrize("host", ["127.0.0.1", ""], ids=["one address", "all addresses"])
@pytest.mark.parametrize("workers", [2, 3, 8])
def test_ipv4_clients_are_spread_evenly_and_each_stays(host: str, workers: int) -> None:
    sources = [f"127.0.{n // 100 + 1}.{n % 100 + 1}" for n in range(CLIENTS)]
    with group(host, workers) as opened:
        first = {source: chosen(opened, source, "127.0.0.1") for source in sources}
        assert is_even(Counter(first.values()), workers), first
        assert {source: chosen(opened, source, "127.0.0.1") for source in sources[:40]} == {
            source: first[source] for source in sources[:40]
        }


def test_a_socket_that_is_served_by_nobody_keeps_its_clients() -> None:
    with group("127.0.0.1", 2) as opened:
        port = opened[0][0].getsockname()[1]
        for number in range(20):
            with socket.socket() as client:
                client.bind((f"127.0.3.{number + 1}", 0))
                client.connect(("127.0.0.1", port))


# In a network namespace, which has every address: 200 networks with two clients each.
IPV6 = """
from collections import Counter
from tests.workers.test_spread import chosen, group, is_even
with group("", 4) as opened:
    found = Counter()
    for network in range(200):
        a, b = (f"fd00:0:0:{network:x}::{host}" for host in ("1", "ffff:2"))
        first = chosen(opened, a, "fd00::1")
        assert first == chosen(opened, b, "fd00::1"), network
        found[first] += 1
    assert is_even(found, 4), found
    print("spread", sorted(found.items()))
"""


def test_ipv6_clients_of_one_network_go_to_the_same_worker() -> None:
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("needs unshare and ip")
    script = f"""
        ip link set lo up && echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind &&
        ip -6 route add local fd00::/16 dev lo &&
        exec {sys.executable} -c '{IPV6}'
    """
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-ec", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if "unshare" in done.stderr or "RTNETLINK" in done.stderr:
        pytest.skip(f"no network of its own here: {done.stderr.strip()}")
    assert done.stdout.startswith("spread"), done.stderr


def test_the_program_is_whole() -> None:
    assert len(program(2)) % 8 == 0
    assert program(2) != program(3)
