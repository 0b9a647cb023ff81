"""Tokens as token services make them (RFC 7519)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any


def jwt(claims: Any, header: Any = None, signature: str = "c2lnbmVk") -> str:
    parts = [header or {"alg": "ES256", "typ": "JWT"}, claims]
    encoded = [urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*encoded, signature])


CLAIMS = {"iss": "auth.docker.io", "access": [{"type": "repository", "name": "me/token"}]}
TOKEN = jwt(CLAIMS)
