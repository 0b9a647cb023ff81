"""The certificate: taken by acme.sh, and copied to where the mirror's user may read it."""

from __future__ import annotations

import re

from addon.install import acmesh, places
from addon.install.account import owner
from addon.install.acmesh import Held
from addon.install.changes import Changes
from addon.install.machine import Done, InstallError, Machine
from addon.install.steps import Step

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_TIME = re.compile(r"^\[[^\]]*\]\s*")


def needs_issue(held: Held | None) -> bool:
    """Whether a certificate must be taken before the mirror can have one that renews."""
    return held is None or not held.renews


def take_certificate(home: str, domain: str, *, server: str, email: str, held: Held | None) -> Step:
    """The step that has acme.sh take it, over the mirror's own port 80."""
    words = acmesh.issue_words(home, domain, server=server, email=email, held=held)
    anew = " anew (until now each renewal would want port 80 for itself)" if held else ""
    return Step(
        "certificate",
        f"take it{anew}: {' '.join(words)}",
        lambda changes: _take(changes, home, domain, words),
        remedy=(
            f"does {domain} lead to this machine, on IPv6 too if it has such an address, and does"
            " its firewall let port 80 in?"
        ),
    )


def copy_certificate(home: str, domain: str) -> Step:
    """The step that has acme.sh copy it, after each renewal too."""
    return Step(
        "certificate's copy",
        f"have acme.sh copy key and chain to {places.TLS}, where the mirror's user may read them,"
        " at each renewal",
        lambda changes: _copy(changes, home, domain),
    )


def look_for_renewals(home: str) -> Step:
    """The step that says it where nobody would renew the certificate."""
    return Step(
        "renewals",
        "see that acme.sh is run each day, and that no other renewal of its wants port 80",
        lambda changes: _look_for_renewals(changes, home),
    )


def leave_certificate(home: str, domain: str) -> Step:
    """The step that ends all this: one that was taken through the mirror goes with it."""
    return Step(
        "certificate",
        f"remove {domain} from acme.sh if it was taken through the mirror; else have it copied no"
        " more",
        lambda changes: _leave(changes, home, domain),
    )


def _take(changes: Changes, home: str, domain: str, words: list[str]) -> None:
    machine = changes.machine
    for path in acmesh.touched(home, domain):
        changes.will_change(path)
    changes.any = True
    done = machine.run(words, {})
    if done.code:
        raise InstallError(f"acme.sh failed: {reason(done)}")
    held = acmesh.find_held(machine, home, domain)
    if held is None or not held.renews:
        raise InstallError("acme.sh says that it has taken one, but holds none that will renew")


def _copy(changes: Changes, home: str, domain: str) -> None:
    machine = changes.machine
    held = acmesh.find_held(machine, home, domain)
    if held is None:
        raise InstallError(f"acme.sh holds no certificate of {domain}")
    group = owner(machine)[1]
    if held.is_copied and _is_copy(machine, held, domain):
        for path in (places.KEY, places.CERTIFICATE):
            changes.rights(path, 0o640, (0, group))
        return
    if held.key_to and not held.is_copied:
        changes.notes.append(f"acme.sh copied this key to {held.key_to}, and no longer does")
    for path in (places.KEY, places.CERTIFICATE, *acmesh.touched(home, domain)):
        changes.will_change(path)
    for path in (places.KEY, places.CERTIFICATE):
        # acme.sh writes into what is there, and lets mode and owner be.
        place = machine.at(path)
        place.touch(mode=0o600)
        changes.rights(path, 0o640, (0, group))
    changes.any = True
    done = machine.run(acmesh.copy_words(home, domain, is_ecc=held.is_ecc), {})
    if done.code:
        raise InstallError(f"acme.sh --install-cert failed: {reason(done)}")


def _look_for_renewals(changes: Changes, home: str) -> None:
    machine = changes.machine
    crontab = machine.run(("crontab", "-l"), {})
    timers = machine.run(("systemctl", "list-timers", "--all"), {})
    if not any("acme" in done.output for done in (crontab, timers) if not done.code):
        changes.notes.append(
            f"nothing runs acme.sh each day, so nothing is renewed: {acmesh.program(home)}"
            " --install-cronjob (apt install cron)"
        )
    for folder in acmesh.find_hindered(machine, home):
        changes.notes.append(
            f"the renewal of {folder} wants port 80, which the mirror has: take it anew with"
            f" --webroot {places.WEBROOT}, or let acme.sh --remove it"
        )


def _leave(changes: Changes, home: str, domain: str) -> None:
    machine = changes.machine
    held = acmesh.find_held(machine, home, domain)
    if held is None:
        return
    if held.is_ours:
        changes.remove(held.folder)
        return
    conf = f"{held.folder}/{domain}.conf"
    text = machine.read(conf) or ""
    if acmesh.without_copying(text) != text:
        changes.will_change(conf)
        machine.at(conf).write_text(acmesh.without_copying(text), encoding="utf-8")


def _is_copy(machine: Machine, held: Held, domain: str) -> bool:
    pairs = (
        (places.CERTIFICATE, f"{held.folder}/fullchain.cer"),
        (places.KEY, f"{held.folder}/{domain}.key"),
    )
    return all(machine.read(ours) == machine.read(its) for ours, its in pairs)


def reason(done: Done) -> str:
    """The line of acme.sh's that says what failed: the last but those that say where to read on."""
    lines = [_TIME.sub("", _COLOUR.sub("", line)).strip() for line in done.output.splitlines()]
    said = [line for line in lines if line and not line.startswith(("Please", "See:", "To see"))]
    telling = [line for line in said if "rror" in line or "nvalid" in line]
    return (telling or said or [f"exit code {done.code}"])[-1]
