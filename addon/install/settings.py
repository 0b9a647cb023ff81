"""`/etc/docxy/config.yaml`: the mirror's settings, one `NAME: VALUE` a line.

The whole of YAML is mitmproxy's to read. Here single lines are set, and all others stay as the
owner wrote them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from addon.install import places

HEADER = """\
# The mirror's settings, one "NAME: VALUE" a line; README.md lists the options.
# After a change: systemctl reload docxy; for ports and the registry: systemctl restart docxy.
"""

_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):(.*)")
_CERTIFICATE = ("docxy_cert_path", "docxy_key_path")

Value = str | int


def with_certificate(text: str) -> str:
    """Settings of a mirror that speaks TLS, on 443, with plain HTTP on 80 beside it."""
    ours = {"docxy_cert_path": places.CERTIFICATE, "docxy_key_path": places.KEY}
    return with_values(text, {name: value for name, value in ours.items() if not get(text, name)})


def without_certificate(text: str) -> str:
    """The same before there is a certificate: plain HTTP alone, on port 80 of all addresses."""
    text = "".join(line for line in _lines(text) if _name(line) not in _CERTIFICATE)
    return with_values(text, {"listen_host": "", "listen_port": 80})


def of_all(text: str, domain: str) -> str:
    """What holds with and without a certificate, where the owner has not said otherwise."""
    ours: dict[str, Value] = {
        "docxy_public_url": f"https://{domain}",
        "docxy_acme_home": "",
        "docxy_acme_webroot": places.WEBROOT,
    }
    names = {_name(line) for line in _lines(text)}
    return with_values(text or HEADER, {n: v for n, v in ours.items() if n not in names})


def with_values(text: str, values: Mapping[str, Value]) -> str:
    """Each value in its line, or in a new one at the end."""
    left = dict(values)
    lines = []
    for line in _lines(text):
        name = _name(line)
        lines.append(_format(name, left.pop(name)) if name in left else line)
    lines += [_format(name, value) for name, value in left.items()]
    return "".join(lines)


def get(text: str, name: str) -> str:
    """A setting's value, "" where there is none."""
    for line in _lines(text):
        if _name(line) == name:
            return _parse(line.partition(":")[2].strip())
    return ""


def _lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines


def _name(line: str) -> str:
    match = _LINE.match(line)
    return match[1] if match else ""


def _format(name: str, value: Value) -> str:
    # A JSON string is one of YAML's, and nothing in it has a meaning of its own.
    return f"{name}: {json.dumps(value)}\n"


def _parse(text: str) -> str:
    if text[:1] == '"':
        value, _end = json.JSONDecoder().raw_decode(text)
        return str(value)
    if text[:1] == "'":
        return text[1:].partition("'")[0]
    return text.partition(" #")[0].strip()
