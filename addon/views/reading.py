"""A body as a JSON object, if it is one and not too large."""

from __future__ import annotations

import json

# Of all but manifests: what is larger is nothing that a person reads in a view.
MAX_BODY = 1024 * 1024


def read_object(body: bytes, limit: int = MAX_BODY) -> dict[str, object] | None:
    """The object that a body holds; None for what is larger than `limit` bytes, or is none.

    Only UTF-8 is JSON between systems (RFC 8259, section 8.1), and NaN is none (section 6).
    """
    if len(body) > limit:
        return None
    try:
        content: object = json.loads(body.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
