"""What a mirror has sent, and what became of clients' requests, as whoever counts sees it."""

from __future__ import annotations

import time
from typing import Any

from addon.flows.account import Account
from addon.flows.story import UNTOLD, Story, new_story
from addon.outbound.hosts import Host
from addon.outbound.sent import Sent
from addon.protocol.routes import Manifest, Route

REGISTRY = "registry-1.docker.io"
MANIFEST = Manifest("a", "latest")


def a_sent(
    name: str = REGISTRY,
    meant: str = "manifest",
    *,
    status: int = 200,
    count: int = 0,
    story: Story = UNTOLD,
    **more: Any,
) -> Sent:
    """One that has ended."""
    host = Host(time.monotonic)
    url = f"https://{name}/v2/"
    sent = Sent(host, name, "GET", url, [], meant, story, asked=100.0, began=1000.0)
    sent.gone, sent.head, sent.end = 100.25, 100.5, 101.0
    sent.status, sent.bytes = status, count
    for field, value in more.items():
        setattr(sent, field, value)
    return sent


def an_account(route: Route | None = MANIFEST, *, status: int = 200, **more: Any) -> Account:
    """One whose answer came after 0.5 s and ended after 2 s; `more` are fields of either."""
    story = new_story()
    story.route, story.head = route, 10.5
    for field in [each for each in more if each in Story.__slots__]:
        setattr(story, field, more.pop(field))
    told: dict[str, Any] = {
        "client": "192.0.2.1",
        "method": "GET",
        "path": "/v2/a/manifests/latest",
        "status": status,
        "size": 0,
        "started": 10.0,
        "ended": 12.0,
        "url": "",
        "broken": "",
        "failure": "",
        "story": story,
    }
    return Account(**{**told, **more})
