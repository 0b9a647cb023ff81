"""The addon without a socket; tests/e2e/test_monitoring.py has whole mirrors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from mitmproxy import exceptions
from mitmproxy.test import taddons, tflow

from addon.metrics.monitoring import OPTION, Monitoring
from addon.tls.tls import Certificates
from tests.sendings import an_account


@dataclass
class Begun:
    context: taddons.context
    monitoring: Monitoring

    async def total(self, name: str) -> float:
        page = await self.monitoring._give_metrics("")
        lines = page.content.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest_asyncio.fixture
async def begun() -> AsyncIterator[Begun]:
    monitoring = Monitoring(lambda: None, Certificates())
    with taddons.context(monitoring) as context:  # type: ignore[no-untyped-call]
        yield Begun(context, monitoring)
        monitoring.done()


def set_to(begun: Begun, value: str) -> None:
    begun.context.configure(begun.monitoring, docxy_metrics=value)  # type: ignore[no-untyped-call]


async def test_connections_count_while_they_last_unless_they_were_refused(begun: Begun) -> None:
    clients = [tflow.tclient_conn() for _ in range(3)]
    clients[2].error = "too many connections"
    for number, client in enumerate(clients):
        client.id = str(number)
        begun.monitoring.client_connected(client)
    assert await begun.total("docxy_client_connections") == 2
    assert await begun.total("docxy_refused_client_connections_total") == 1
    for client in clients:
        # mitmproxy says it of those that it refuses, too.
        begun.monitoring.client_disconnected(client)
    assert await begun.total("docxy_client_connections") == 0


async def test_the_port_is_chosen_at_the_start_alone(begun: Begun) -> None:
    set_to(begun, "")
    await begun.monitoring.running()
    with pytest.raises(exceptions.OptionsError, match="cannot be changed while the mirror runs"):
        set_to(begun, "127.0.0.1:1")


async def test_nothing_is_counted_where_nobody_can_read_it(begun: Begun) -> None:
    set_to(begun, "")
    await begun.monitoring.running()
    assert begun.monitoring.watches.all == (begun.monitoring.readiness,)
    begun.monitoring.finished(an_account())
    assert await begun.total("docxy_request_duration_seconds_count") == 0


async def test_what_is_no_address_ends_the_start(
    begun: Begun, caplog: pytest.LogCaptureFixture
) -> None:
    set_to(begun, "8363")
    # mitmproxy ends a start that logged an error.
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    assert caplog.messages[0].startswith("docxy_metrics: '8363' is not ADDRESS:PORT")


async def test_without_a_server_there_is_no_port(begun: Begun) -> None:
    set_to(begun, "127.0.0.1:1")
    begun.context.options.server = False
    await begun.monitoring.running()
    assert begun.monitoring.watches.all == (begun.monitoring.readiness,)


def test_the_usual_port_is_on_loopback_and_no_exporters() -> None:
    host, _, port = str(OPTION.default).rpartition(":")
    assert host == "127.0.0.1"
    # https://github.com/prometheus/prometheus/wiki/Default-port-allocations, and what the system
    # may have given to a connection (ip(7), ip_local_port_range).
    assert not 9090 <= int(port) <= 9999
    assert int(port) < 32768
