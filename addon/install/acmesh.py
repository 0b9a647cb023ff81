"""acme.sh as it is used here: what it holds of a domain, and what it is told.

It keeps the way a certificate was taken, and goes the same way at each renewal: `Le_Webroot` in
the domain's conf is a folder, `dns_…`, or `no` for a server of its own on port 80, which the mirror
has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from addon.install import places
from addon.install.machine import Machine

_LINE = re.compile(r"(\w+)='?([^']*)'?\s*")
_NONE = "no"

GET_IT = (
    "acme.sh is not in {home}: install it as root (https://github.com/acmesh-official/acme.sh,"
    " `acme.sh --install`), or name its folder with --acme-home"
)


@dataclass(frozen=True, slots=True)
class Held:
    """A domain that acme.sh renews.

    Attributes:
        folder: where its files are.
        is_ecc: whether acme.sh must be told so to find it.
        webroot: the way it was taken, `Le_Webroot`.
        others: the certificate's other names.
        key_to: where the key is copied to at each renewal, "" for nowhere.
        chain_to: the same of certificate and chain.
        is_issued: whether there is a certificate.
    """

    folder: str
    is_ecc: bool
    webroot: str
    others: tuple[str, ...]
    key_to: str
    chain_to: str
    is_issued: bool

    @property
    def renews(self) -> bool:
        """Whether the next renewal works while the mirror has port 80."""
        ways = self.webroot.split(",")
        return self.is_issued and all(w == places.WEBROOT or w.startswith("dns_") for w in ways)

    @property
    def is_ours(self) -> bool:
        """Whether it was taken through the mirror."""
        return places.WEBROOT in self.webroot.split(",")

    @property
    def is_copied(self) -> bool:
        """Whether each renewal reaches the mirror."""
        return (self.key_to, self.chain_to) == (places.KEY, places.CERTIFICATE)


def program(home: str) -> str:
    """The program in acme.sh's folder."""
    return f"{home}/acme.sh"


def folders(home: str, domain: str) -> tuple[str, str]:
    """Where a domain may be held: with an EC key, acme.sh's default, and with RSA."""
    return f"{home}/{domain}_ecc", f"{home}/{domain}"


def touched(home: str, domain: str) -> tuple[str, ...]:
    """All that acme.sh may change of its own when it takes or copies a certificate."""
    return (
        *folders(home, domain),
        f"{home}/ca",
        f"{home}/account.conf",
        f"{home}/http.header",
    )


def find_held(machine: Machine, home: str, domain: str) -> Held | None:
    """What acme.sh holds of a domain, as the mirror itself would choose it."""
    found = (read_held(machine, folder, domain) for folder in folders(home, domain))
    return next((held for held in found if held), None)


def find_hindered(machine: Machine, home: str) -> list[str]:
    """The folders of the domains whose next renewal would want port 80 for itself."""
    folders = sorted(path for path in machine.at(home).glob("*") if path.is_dir())
    found = (
        read_held(machine, f"{home}/{folder.name}", folder.name.removesuffix("_ecc"))
        for folder in folders
    )
    return [held.folder for held in found if held and held.is_issued and not held.renews]


def read_held(machine: Machine, folder: str, domain: str) -> Held | None:
    """What is in one folder; None where no domain is renewed."""
    text = machine.read(f"{folder}/{domain}.conf")
    if text is None:
        return None
    conf = parse_conf(text)
    files = (f"{folder}/fullchain.cer", f"{folder}/{domain}.key")
    return Held(
        folder=folder,
        is_ecc=folder.endswith("_ecc"),
        webroot=conf.get("Le_Webroot", ""),
        others=tuple(n for n in conf.get("Le_Alt", "").split(",") if n not in ("", _NONE)),
        key_to=conf.get("Le_RealKeyPath", ""),
        chain_to=conf.get("Le_RealFullChainPath", ""),
        is_issued=all(machine.has(file) for file in files),
    )


def parse_conf(text: str) -> dict[str, str]:
    """The lines of a domain's conf, `NAME='VALUE'`."""
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}


def issue_words(
    home: str, domain: str, *, server: str, email: str = "", held: Held | None = None
) -> list[str]:
    """The command that takes a certificate over the mirror's port 80.

    One that is held in another way is taken anew, with all its names and its kind of key.
    """
    words = [program(home), "--home", home, "--issue"]
    for name in (domain, *(held.others if held else ())):
        words += ["--domain", name]
    words += ["--webroot", places.WEBROOT, "--server", server]
    if held:
        words += ["--force"]
    if held and not held.is_ecc:
        words += ["--keylength", "2048"]
    if email:
        words += ["--accountemail", email]
    return words


def copy_words(home: str, domain: str, *, is_ecc: bool) -> list[str]:
    """The command that copies the pair to the mirror, now and at each renewal."""
    return [
        program(home),
        "--home",
        home,
        "--install-cert",
        "--domain",
        domain,
        *(["--ecc"] if is_ecc else []),
        "--key-file",
        places.KEY,
        "--fullchain-file",
        places.CERTIFICATE,
    ]


def without_copying(conf: str) -> str:
    """A domain's conf of which nothing is copied any more."""
    ours = (places.KEY, places.CERTIFICATE)
    lines = conf.splitlines(keepends=True)
    return "".join(line for line in lines if not any(f"'{path}'" in line for path in ours))
