"""A token service's answer as it is shown."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any

from addon.redaction.redaction import REDACTED, redact_text
from addon.redaction.secretnames import is_secret_name


def redact_token_answer(content: bytes) -> bytes:
    """A token service's answer as it is shown.

    A signed token keeps its header and its claims, so that one can see what it is for: nobody
    takes it without its signature.
    """
    try:
        document = json.loads(content)
        shown = _redact_value("", document)
        return content if shown == document else json.dumps(shown).encode()
    except ValueError:
        return redact_text(content.decode("latin-1")).encode("latin-1")
    except RecursionError:
        return REDACTED.encode()


def _redact_value(name: str, value: Any) -> Any:
    if is_secret_name(name):
        keeps_claims = isinstance(value, str) and name in ("token", "access_token")
        return _without_signature(value) if keeps_claims else REDACTED
    if isinstance(value, dict):
        return {n: _redact_value(n, v) for n, v in value.items()}
    if isinstance(value, list):
        return [_redact_value("", v) for v in value]
    return redact_text(value) if isinstance(value, str) else value


def _without_signature(token: str) -> str:
    """A JWT (RFC 7519) whose signature is gone; anything else is gone as a whole."""
    header, _, rest = token.partition(".")
    claims, _, signature = rest.partition(".")
    if not signature or "." in signature:
        return REDACTED
    try:
        algorithm = _decoded(header).get("alg")
        says = _decoded(claims)
    except (ValueError, RecursionError):
        return REDACTED
    # Unsigned tokens are whole without a signature, and some services put a second token into one.
    if str(algorithm).lower() == "none" or _redact_value("", says) != says:
        return REDACTED
    return f"{header}.{claims}.{REDACTED}"


def _decoded(part: str) -> dict[str, Any]:
    decoded = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(decoded, dict):
        raise ValueError("not an object")
    return decoded
