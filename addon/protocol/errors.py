"""Every refusal and every upstream failure, in the one form that registry clients read.

distribution-spec, "Error Codes": `{"errors": [{"code", "message", "detail"}]}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

Code = Literal[
    "BLOB_UNKNOWN",
    "DENIED",
    "DIGEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "TOOMANYREQUESTS",
    "UNAUTHORIZED",
    "UNAVAILABLE",
    "UNKNOWN",
    "UNSUPPORTED",
]

CONTENT_TYPE = "application/json"


class MirrorError(Exception):
    """An answer that is an error: HTTP status, OCI code, and a message that says what to do."""

    def __init__(
        self, status: int, code: Code, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        # So that a slip cannot turn a refusal into a success.
        if not 400 <= status <= 599:
            raise ValueError(f"not an error status: {status}")
        super().__init__(message)
        self.status = status
        self.code: Code = code
        self.message = message
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The OCI error body."""
        return format_error(self.code, self.message)


class Refusal(MirrorError):
    """The client asked for what the mirror does not give: 4xx."""


class UpstreamFailure(MirrorError):
    """An upstream could not be reached or answered wrongly: 502, or 504 when it took too long."""


def format_error(code: Code, message: str) -> bytes:
    """The OCI error body for one error."""
    error = {"code": code, "message": message, "detail": None}
    return json.dumps({"errors": [error]}).encode() + b"\n"


# The code that stands for a status where only the status is known.
_CODES: Mapping[int, Code] = {
    401: "UNAUTHORIZED",
    403: "DENIED",
    405: "UNSUPPORTED",
    413: "SIZE_INVALID",
    429: "TOOMANYREQUESTS",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
}


def code_for(status: int) -> Code:
    """The nearest OCI code for an HTTP status."""
    return _CODES.get(status, "UNKNOWN")


def failure(host: str, cause: str, *, timed_out: bool = False) -> UpstreamFailure:
    """An upstream failure that names the host and the cause, and carries no secret."""
    status = 504 if timed_out else 502
    return UpstreamFailure(status, "UNAVAILABLE", f"upstream {host}: {cause}")
