"""What the log says of a request, and of a pull that is over."""

from __future__ import annotations

import logging

from addon.flows.account import Account
from addon.log.jsonlines import FACTS, Fact
from addon.log.summaries import Pull
from addon.protocol.routes import Blob, Manifest, Referrers, Tags

logger = logging.getLogger(__name__)


def log_account(account: Account) -> None:
    """One line for a request."""
    logger.info("%s", request_line(account), extra={FACTS: request_facts(account)})


def log_pull(pull: Pull) -> None:
    """One line for a pull."""
    logger.info("%s", pull_line(pull), extra={FACTS: pull_facts(pull)})


def request_line(account: Account) -> str:
    """As a person reads it."""
    upstream = f" <- {account.url}" if account.url else ""
    return (
        f"{account.client} {account.method} {account.path}: {account.outcome},"
        f" {account.size} bytes, {account.seconds * 1000:.0f} ms,"
        f" {account.story.came_from}{upstream}"
    )


def request_facts(account: Account) -> dict[str, Fact]:
    """As a program does; the keys are the same for every request."""
    repository, reference = _image(account)
    story = account.story
    return {
        "event": "request",
        "client": account.client,
        "method": account.method,
        "path": account.path,
        "repository": repository,
        "reference": reference,
        "status": account.status or None,
        "bytes": account.size,
        "ms": round(account.seconds * 1000, 1),
        "first_byte_ms": round((story.head - account.started) * 1000, 1) if story.head else None,
        "from": story.came_from.value,
        "upstream": account.url,
        "error": account.failure,
    }


def pull_line(pull: Pull) -> str:
    """As a person reads it."""
    failed = f", {pull.failed} failed" if pull.failed else ""
    return (
        f"{pull.client} pulled {pull.image}: {pull.blobs} blobs, {pull.size} bytes"
        f" ({pull.from_memory} from memory, {pull.from_ahead} begun ahead,"
        f" {pull.from_network} from the network){failed}, {pull.seconds * 1000:.0f} ms"
    )


def pull_facts(pull: Pull) -> dict[str, Fact]:
    """As a program does; the keys are the same for every pull."""
    return {
        "event": "pull",
        "client": pull.client,
        "repository": pull.repository,
        "reference": pull.reference,
        "blobs": pull.blobs,
        "bytes": pull.size,
        "from_memory": pull.from_memory,
        "from_ahead": pull.from_ahead,
        "from_network": pull.from_network,
        "ms": round(pull.seconds * 1000, 1),
        "failed": pull.failed,
    }


def _image(account: Account) -> tuple[str, str]:
    """Repository as it is called upstream, as far as one was asked, and tag or digest."""
    name = account.story.name
    match account.story.route:
        case Manifest(repository=asked, reference=reference):
            return name or asked, reference
        case Blob(repository=asked, digest=digest) | Referrers(repository=asked, digest=digest):
            return name or asked, digest
        case Tags(repository=asked):
            return name or asked, ""
        case _:
            return "", ""
