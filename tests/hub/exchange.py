"""One request as it came and the answer to it, as plain values: what the three roles work with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import parse_qsl

from multidict import CIMultiDict, CIMultiDictProxy

from .content import Content, InMemory

Role = Literal["registry", "token", "cdn"]

API_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    target: str
    """Path and query byte for byte: signatures are checked over it."""
    headers: CIMultiDictProxy[str]
    body: bytes = b""
    peer: str = ""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def parameters(self) -> list[tuple[str, str]]:
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    @property
    def form(self) -> list[tuple[str, str]]:
        return parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True)

    def header(self, name: str) -> str:
        """All values of the header, as one list."""
        return ", ".join(self.headers.getall(name, []))

    def with_header(self, name: str, value: str | None) -> Asked:
        headers = CIMultiDict(self.headers)
        headers.popall(name, None)
        if value is not None:
            headers[name] = value
        return replace(self, headers=CIMultiDictProxy(headers))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Content = field(default_factory=lambda: InMemory(b""))

    def with_headers(self, **headers: str) -> Answer:
        """The answer with more headers; `_` stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **named})


def document(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    body = InMemory(json.dumps(value).encode())
    return Answer(status, {"Content-Type": "application/json", **(headers or {})}, body)


def refusal(
    status: int,
    code: str,
    message: str,
    *,
    detail: object = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An error as the distribution-spec's "Error Codes" writes it."""
    errors = [{"code": code, "message": message, "detail": detail}]
    return document({"errors": errors}, status, {**API_VERSION, **(headers or {})})
