"""The service: its unit, its start, and the way back to the one that ran before."""

from __future__ import annotations

from addon.install import places
from addon.install.changes import Changes, last_line
from addon.install.machine import InstallError, Machine
from addon.install.steps import Step

_LOOK = f"journalctl -u {places.SERVICE} -n 50 tells more"


def remember_service() -> Step:
    """The step, before all others, that lets a failure end with what runs now."""
    return Step("service before", "note what runs now", _remember)


def install_unit(text: str) -> Step:
    """The step that makes the unit and has it started at boot."""
    return Step(
        "unit",
        f"write {places.UNIT} and have it started at boot",
        lambda changes: _install_unit(changes, text),
    )


def start_service(*, plain: bool = False) -> Step:
    """The step that has the mirror run with what was changed."""
    does = "start the mirror without TLS, for the authority to ask on port 80"
    return Step(
        "start on port 80" if plain else "start",
        does if plain else "start the mirror, or restart it if anything has changed",
        _start,
        remedy=_LOOK,
    )


def ask_service(domain: str, port: int) -> Step:
    """The step that sees whether the mirror can be had by those for whom it is."""
    return Step(
        "answer",
        f"ask the mirror over TLS on port {port} whether it serves",
        lambda changes: _ask(changes, domain, port),
        remedy=_LOOK,
    )


def remove_service() -> Step:
    """The step that ends the mirror for good."""
    return Step("service", f"stop the mirror and remove {places.UNIT}", _remove)


def is_active(machine: Machine) -> bool:
    """Whether the mirror runs."""
    return machine.succeeds("systemctl", "is-active", "--quiet", places.SERVICE)


def _remember(changes: Changes) -> None:
    machine = changes.machine
    was_active = is_active(machine)

    def as_before() -> None:
        # Files are as they were by then. What nothing was done to needs no restart.
        if was_active and not is_active(machine):
            _must(machine, "systemctl", "start", places.SERVICE)

    changes.on_failure(f"starting {places.SERVICE} again", as_before)


def _install_unit(changes: Changes, text: str) -> None:
    machine = changes.machine
    if machine.read(places.UNIT) != text:
        changes.on_failure("systemctl daemon-reload", lambda: _reload_units(machine))
        changes.write(places.UNIT, text)
        changes.run("systemctl", "daemon-reload")
    if not machine.has(places.WANTED):
        changes.on_failure(
            "systemctl disable", lambda: _must(machine, "systemctl", "disable", places.SERVICE)
        )
        changes.run("systemctl", "enable", "--quiet", places.SERVICE)


def _start(changes: Changes) -> None:
    machine = changes.machine
    if is_active(machine) and not changes.any:
        return
    # A mirror of the new release must not go on once its folder is taken away.
    changes.on_failure("stopping the mirror", lambda: _must(machine, *_words("stop")))
    changes.any = True
    if not machine.succeeds(*_words("restart")):
        raise InstallError(f"the mirror does not start: {_last_words(machine)}")


def _ask(changes: Changes, domain: str, port: int) -> None:
    trouble = changes.machine.ask_health(domain, port)
    if trouble:
        raise InstallError(f"the mirror runs, but does not answer: {trouble}")


def _remove(changes: Changes) -> None:
    machine = changes.machine
    if not machine.has(places.UNIT):
        return
    was_active = is_active(machine)
    was_enabled = machine.has(places.WANTED)

    def as_before() -> None:
        _reload_units(machine)
        if was_enabled:
            _must(machine, "systemctl", "enable", "--quiet", places.SERVICE)
        if was_active:
            _must(machine, *_words("start"))

    changes.on_failure("the service as it was", as_before)
    changes.run("systemctl", "disable", "--quiet", "--now", places.SERVICE)
    changes.remove(places.UNIT)
    changes.run("systemctl", "daemon-reload")


def _last_words(machine: Machine) -> str:
    # Of the mirror's own processes: what systemd says of them comes after that.
    own = f"_SYSTEMD_UNIT={places.SERVICE}"
    return last_line(machine.run(("journalctl", own, "-n", "1", "-o", "cat", "--no-pager"), {}))


def _words(verb: str) -> tuple[str, ...]:
    return ("systemctl", verb, places.SERVICE)


def _reload_units(machine: Machine) -> None:
    _must(machine, "systemctl", "daemon-reload")


def _must(machine: Machine, *words: str) -> None:
    if not machine.succeeds(*words):
        raise InstallError(f"{' '.join(words)} failed")
