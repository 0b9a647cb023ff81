"""The steps of an installation, and of its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from addon.install import acmesh, certificate, places, service, settings
from addon.install.account import make_user, owner, remove_user
from addon.install.answers import Answers, format_answers
from addon.install.changes import Changes
from addon.install.folders import make_folders, remove_folders
from addon.install.machine import InstallError, Machine
from addon.install.release import PROJECT, install_release, remove_old_releases
from addon.install.steps import Step
from addon.install.tuning import tune, untune
from addon.install.unit import DRAIN_SECONDS, unit_text

TLS_PORT = 443


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be installed.

    Attributes:
        answers: what is kept for the next time.
        allow: `docxy_allow`; None leaves it as it is.
        email: for the authority, where it has no account yet.
        project: what is installed.
    """

    answers: Answers
    allow: str | None = None
    email: str = ""
    project: Path = PROJECT


def install_steps(machine: Machine, order: Order) -> list[Step]:
    """All steps of a first installation, and of one over another.

    Raises:
        InstallError: the settings that are there cannot be meant so.
    """
    answers, home, domain = order.answers, order.answers.acme_home, order.answers.domain
    text = settings.of_all(machine.read(places.SETTINGS) or "", domain)
    if order.allow is not None:
        text = settings.with_values(text, {"docxy_allow": order.allow})
    unit = service.install_unit(
        unit_text(
            workers=answers.workers,
            drain_seconds=_number(text, "docxy_drain_timeout", DRAIN_SECONDS),
        )
    )
    held = acmesh.find_held(machine, home, domain)
    take = certificate.take_certificate(
        home, domain, server=answers.acme_server, email=order.email, held=held
    )
    steps = [
        service.remember_service(),
        make_user(),
        make_folders(),
        install_release(order.project),
        *(tune() if answers.tune else ()),
        _keep_answers(answers),
    ]
    if certificate.needs_issue(held):
        if not (machine.has(places.CERTIFICATE) and service.is_active(machine)):
            steps += [
                _write_settings(settings.without_certificate(text), "without TLS"),
                unit,
                service.start_service(plain=True),
            ]
        steps.append(take)
    return [
        *steps,
        certificate.copy_certificate(home, domain),
        certificate.look_for_renewals(home),
        _write_settings(settings.with_certificate(text), "with TLS"),
        unit,
        service.start_service(),
        service.ask_service(domain, _number(text, "listen_port", TLS_PORT)),
        remove_old_releases(order.project),
    ]


def uninstall_steps(answers: Answers | None) -> list[Step]:
    """All steps that remove an installation."""
    leave = (
        [certificate.leave_certificate(answers.acme_home, answers.domain)]
        if answers and answers.domain
        else []
    )
    return [service.remove_service(), *leave, *untune(), remove_folders(), remove_user()]


def is_open(machine: Machine, order: Order) -> bool:
    """Whether everyone may use the mirror that this makes."""
    text = machine.read(places.SETTINGS) or ""
    allowed = settings.get(text, "docxy_allow") if order.allow is None else order.allow
    return not allowed or any(part.strip().endswith("/0") for part in allowed.split(","))


def _keep_answers(answers: Answers) -> Step:
    return Step(
        "answers",
        f"keep what was asked for in {places.ANSWERS}, for the next time",
        lambda changes: changes.write(places.ANSWERS, format_answers(answers)),
    )


def _write_settings(text: str, how: str) -> Step:
    def write(changes: Changes) -> None:
        changes.write(places.SETTINGS, text, 0o640, (0, owner(changes.machine)[1]))

    return Step("settings", f"write {places.SETTINGS} ({how}; what is there stays)", write)


def _number(text: str, name: str, default: int) -> int:
    value = settings.get(text, name) or str(default)
    if not (value.isascii() and value.isdecimal()):
        raise InstallError(f"{name} in {places.SETTINGS} is {value!r}, not a number")
    return int(value)
