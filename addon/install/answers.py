"""What the installer was told, kept for the next time: `/etc/docxy/install.json`."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from addon.install.machine import InstallError

# Host names as certificates have them: RFC 1123 2.1, at least two labels, the last of which is no
# number, or it would be an address.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{4,253}}$)(?:{_LABEL}\.)+(?![0-9]+$){_LABEL}")
# acme.sh keeps what it is told between quotes in files that are run as root each day.
_FOLDER = re.compile(r"(?:/[A-Za-z0-9._+~-]+)+")
_DIRECTORY = re.compile(r"https://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~%/?=&-]*)?")
_EMAIL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+")
_MOST_WORKERS = 256


@dataclass(frozen=True, slots=True)
class Answers:
    """What holds until it is said anew."""

    domain: str = ""
    workers: str = "auto"
    acme_home: str = "/root/.acme.sh"
    acme_server: str = "letsencrypt"
    """The authority as acme.sh knows it: a name of its own, or the address of a directory."""
    tune: bool = True


def parse_answers(text: str) -> Answers:
    """Read what was kept; a name that this version does not know is left out.

    Raises:
        InstallError: it cannot be read.
    """
    try:
        found: dict[str, Any] = json.loads(text)
        kinds = {name: type(value) for name, value in dataclasses.asdict(Answers()).items()}
        known = {name: v for name, v in found.items() if type(v) is kinds.get(name)}
        return dataclasses.replace(Answers(), **known)
    except (ValueError, AttributeError) as e:
        raise InstallError(f"/etc/docxy/install.json cannot be read ({e}); remove it") from e


def format_answers(answers: Answers) -> str:
    """The other way."""
    return json.dumps(dataclasses.asdict(answers), indent=2) + "\n"


def renew_answers(former: Answers | None, said: Mapping[str, Any]) -> Answers:
    """What holds: what is said, else what was said before, else the defaults.

    Raises:
        InstallError: something cannot be meant so.
    """
    given = {name: value for name, value in said.items() if value is not None}
    answers = dataclasses.replace(former or Answers(), **given)
    if not answers.domain:
        raise InstallError("which name is the mirror to have? --domain mirror.example.com")
    if former and former.domain and former.domain != answers.domain:
        raise InstallError(
            f"this mirror is {former.domain}: ./run.sh uninstall, then install {answers.domain}"
        )
    check_domain(answers.domain)
    _check_workers(answers.workers)
    if not _FOLDER.fullmatch(answers.acme_home):
        raise InstallError(
            f"--acme-home {answers.acme_home!r} is no path that begins with / and has letters,"
            " digits and . _ - + ~ between its slashes"
        )
    _check_server(answers.acme_server)
    return answers


def check_domain(domain: str) -> None:
    """Refuse what is no host name of its own.

    Raises:
        InstallError: it is none.
    """
    if not _DOMAIN.fullmatch(domain):
        raise InstallError(
            f"--domain {domain!r} is no name such as mirror.example.com (in small letters; without"
            " https:// or *)"
        )


def parse_allow(text: str) -> str:
    """The networks that may use the mirror, as `docxy_allow` has them; "" is everyone.

    Raises:
        InstallError: one is no network.
    """
    networks = [part.strip() for part in text.split(",") if part.strip()]
    if text.strip() and not networks:
        # A slip must not open a mirror to everyone.
        raise InstallError(f"--allow: {text!r} names no network")
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as e:
            raise InstallError(
                f"--allow: {e}; expected are networks such as 192.0.2.0/24,2001:db8::/32"
            ) from e
    return ",".join(networks)


def check_email(email: str) -> None:
    """Refuse what is no address for mail; none is needed.

    Raises:
        InstallError: it is something else.
    """
    if email and not _EMAIL.fullmatch(email):
        raise InstallError(f"--email {email!r} is no address such as me@example.com")


def _check_workers(text: str) -> None:
    if text != "auto" and not re.fullmatch(r"[1-9][0-9]{0,2}", text):
        raise InstallError(f"--workers {text!r} is neither a number nor auto")
    if text != "auto" and int(text) > _MOST_WORKERS:
        raise InstallError(f"--workers {text!r} is more than {_MOST_WORKERS}")


def _check_server(server: str) -> None:
    if re.fullmatch(r"[a-z][a-z0-9_]*", server):
        return
    if not _DIRECTORY.fullmatch(server):
        raise InstallError(
            f"--acme-server {server!r} is neither a name of acme.sh's, such as letsencrypt, nor the"
            " https:// address of an authority's directory"
        )
