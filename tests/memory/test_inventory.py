from __future__ import annotations

from addon.memory.inventory import Line, Stock, inventory_text, lines_to, stocks
from addon.outbound.hosts import Hosts
from tests.upstreams import MIB, Site, read, settle


def test_what_is_remembered_stands_in_columns() -> None:
    held = [Stock("manifests", 12, 15_000, 16_000_000), Stock("tokens", 1_000)]
    lines = [Line("registry.example", 0.0214, 4, 1), Line("cdn.example\x1b", 0.0, 0, 0)]
    assert inventory_text(held, lines).splitlines() == [
        "manifests     12  15.0 kB  of 16.0 MB",
        "tokens     1,000",
        "",
        "hosts",
        "  host              round trip  open  busy",
        "  registry.example       21 ms     4     1",
        "  cdn.example\\x1b            ?     0     0",
    ]


def test_without_hosts_there_is_no_table_of_them() -> None:
    assert inventory_text([Stock("tags", 0)], []) == "tags  0"


async def test_what_a_pull_leaves_behind_is_counted() -> None:
    site = Site()
    assert [each.count for each in stocks(site.upstream, 0)] == [0] * 6
    content = site.push("1", b"config", b"layer")
    token = await site.token()
    await read(await site.pull(token))
    await read(await site.blob(b"config", token))
    await settle()
    found = {each.what: each for each in stocks(site.upstream, 3)}
    counts = {what: each.count for what, each in found.items()}
    assert counts == {
        "manifests": 1,
        "tags": 1,
        "small blobs": 1,
        "tokens": 1,
        "redirects": 1,
        "images looked ahead for": 3,
    }
    manifests = found["manifests"]
    assert (manifests.held, manifests.budget) == (len(content) + 1024, 16 * MIB)
    assert (found["small blobs"].held, found["small blobs"].budget) == (16 * 1024, 64 * MIB)
    assert (found["tokens"].held or 0) > 0
    assert (found["redirects"].held or 0) > 0
    assert token[1].partition(" ")[2] not in inventory_text(found.values(), [])


def test_hosts_stand_in_the_order_of_their_names() -> None:
    hosts = Hosts()
    hosts.of("b:443").answered(0.02)
    hosts.of("a:443")
    assert lines_to(hosts.known()) == [Line("a:443", 0.0, 0, 0), Line("b:443", 0.02, 0, 0)]
