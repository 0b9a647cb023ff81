"""The addon in a mitmproxy of the test's own; tests/test_tls_live.py has whole mitmdumps."""

from __future__ import annotations

import asyncio
import logging
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from mitmproxy import exceptions
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.test import taddons

from addon.tls.certificates import Pair
from addon.tls.renewal import Renewal
from addon.tls.tls import OPTIONS, Certificates
from tests.acme_sh import DOMAIN, Authority, Issued, write_domain

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
INTERVAL = 0.05
AUTHORITY = Authority()
ISSUED = AUTHORITY.issue(not_before=NOW - DAY, not_after=NOW + 60 * DAY)
RENEWED = AUTHORITY.issue(not_before=NOW - DAY, not_after=NOW + 90 * DAY)
OTHER = AUTHORITY.issue("other.example.net", not_before=NOW - DAY, not_after=NOW + 60 * DAY)

untyped: Any = taddons  # mitmproxy's own helpers for tests have no types


class Mirror:
    """An addon, its mitmproxy, and a home with files of acme.sh."""

    def __init__(self, home: Path, temporary: Path, confdir: str) -> None:
        self.home = home
        self.temporary = temporary
        self.now = NOW
        self.addon = Certificates(interval=INTERVAL, now=lambda: self.now)
        self.tls = TlsConfig()
        self.context = untyped.context()
        self.context.options.confdir = confdir
        # As mitmdump has them: scripts come before the addon that reads `certs`.
        self.context.master.addons.add(self.addon, self.tls)

    def start(self, **options: object) -> None:
        """Set options, some at least: that is what the addon is configured by."""
        self.context.options.update(**options)

    @property
    def certs(self) -> list[str]:
        return list(self.context.options.certs)

    @property
    def served(self) -> bytes:
        """What mitmproxy would send to a client that asks for some name."""
        entry = self.tls.certstore.get_cert("any.example", [])
        return b"".join(one.to_pem() for one in entry.chain_certs)

    def left_behind(self) -> list[Path]:
        return list(self.temporary.rglob("*"))

    def files(self) -> list[Path]:
        return [path for path in self.left_behind() if path.is_file()]


@pytest.fixture(scope="module")
def confdir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where mitmproxy keeps its CA; the key of one takes a while to make."""
    return str(tmp_path_factory.mktemp("confdir"))


@pytest.fixture
def mirror(tmp_path: Path, confdir: str, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    for name in ("CERT_PATH", "KEY_PATH", "DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return Mirror(tmp_path, temporary, confdir)


def acme(mirror: Mirror, issued: Issued = ISSUED, domain: str = DOMAIN) -> Path:
    return write_domain(mirror.home / ".acme.sh", f"{domain}_ecc", issued, domain)


@asynccontextmanager
async def running(mirror: Mirror) -> AsyncIterator[None]:
    mirror.addon.running()
    try:
        yield
    finally:
        mirror.addon.done()
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("waited for 10 s")


async def until_served(mirror: Mirror, issued: Issued) -> None:
    await eventually(lambda: mirror.served == issued.fullchain)


def renew(folder: Path) -> None:
    (folder / f"{DOMAIN}.key").write_bytes(RENEWED.key)
    (folder / "fullchain.cer").write_bytes(RENEWED.fullchain)


async def test_without_a_certificate_there_is_no_tls(mirror: Mirror) -> None:
    mirror.start(docxy_domain="")
    assert not mirror.addon.present
    assert not mirror.addon.covers(DOMAIN)
    assert mirror.certs == []
    assert mirror.left_behind() == []


async def test_the_only_domain_of_acme_sh_is_served_unasked(
    mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    acme(mirror)
    caplog.set_level(logging.INFO, "addon")
    mirror.start(docxy_domain="")
    assert mirror.addon.present
    assert mirror.served == ISSUED.fullchain
    assert f"TLS for {DOMAIN}, valid until 2026-07-31 12:00 UTC." in caplog.messages
    mirror.addon.done()


@pytest.mark.parametrize("source", ["options", "environment", "domain"])
async def test_a_pair_is_named_by_options_or_environment(
    mirror: Mirror, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme(mirror, OTHER, "other.example.net")
    folder = acme(mirror)
    paths = str(folder / "fullchain.cer"), str(folder / f"{DOMAIN}.key")
    if source == "options":
        mirror.start(docxy_cert_path=paths[0], docxy_key_path=paths[1])
    elif source == "domain":
        mirror.start(docxy_domain=DOMAIN)
    else:
        monkeypatch.setenv("CERT_PATH", paths[0])
        monkeypatch.setenv("KEY_PATH", paths[1])
        mirror.start(docxy_domain="")
    assert mirror.served == ISSUED.fullchain
    mirror.addon.done()


async def test_covers_asks_the_served_certificate(mirror: Mirror) -> None:
    acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    assert mirror.addon.names == (DOMAIN,)
    assert mirror.addon.covers(DOMAIN.upper())
    assert not mirror.addon.covers("other.example.net")
    assert not mirror.addon.covers(None)
    mirror.addon.done()


async def test_every_client_is_served_the_pair_whatever_it_asks_for(mirror: Mirror) -> None:
    acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    store = mirror.tls.certstore
    for name in (None, DOMAIN, "127.0.0.1", "other.example.net", "mitm.it"):
        assert store.get_cert(name, []).cert.to_pem() == ISSUED.leaf
    mirror.addon.done()


async def test_the_key_lies_where_only_its_owner_reads_until_the_end(mirror: Mirror) -> None:
    acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    (path,) = (Path(spec.removeprefix("*=")) for spec in mirror.certs)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    mirror.addon.done()
    assert mirror.left_behind() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"docxy_domain": "none.example"}, r"none\.example.*makes them", id="domain"),
        pytest.param({"docxy_cert_path": "/c.cer"}, "docxy_key_path", id="no key"),
        pytest.param(
            {"docxy_cert_path": "/c.cer", "docxy_key_path": "/k.key"},
            r"^No TLS with '/c\.cer' and '/k\.key': the certificate '/c\.cer' does not exist\.$",
            id="missing",
        ),
    ],
)
async def test_a_wrong_start_is_one_error_in_the_log(
    mirror: Mirror,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, str],
    message: str,
) -> None:
    mirror.start(**options)  # raises nothing: mitmproxy would show a traceback
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is None
    caplog.clear()
    mirror.addon.running()
    mirror.addon.done()
    assert not mirror.addon.present
    with pytest.raises(ValueError, match=message):
        raise ValueError(record.getMessage())


async def test_several_domains_end_the_start_with_their_names(
    mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    acme(mirror)
    acme(mirror, OTHER, "other.example.net")
    mirror.start(docxy_domain="")
    assert f"(other.example.net, {DOMAIN})" in caplog.messages[0]
    assert not mirror.addon.present


async def test_an_expired_certificate_ends_the_start(
    mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    acme(mirror)
    mirror.now = NOW + 61 * DAY
    mirror.start(docxy_domain=DOMAIN)
    assert caplog.records[0].levelno == logging.ERROR
    assert "expired on 2026-07-31" in caplog.messages[0]
    assert mirror.left_behind() == []


async def test_a_full_disk_ends_the_start(
    mirror: Mirror, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> str:
        raise OSError(28, "No space left on device")

    acme(mirror)
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    mirror.start(docxy_domain=DOMAIN)
    assert caplog.records[0].levelno == logging.ERROR
    assert "No space left on device" in caplog.messages[0]
    assert not mirror.addon.present


async def test_once_running_a_wrong_option_is_rolled_back(mirror: Mirror) -> None:
    acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    async with running(mirror):
        with pytest.raises(exceptions.OptionsError, match="does not exist"):
            mirror.start(docxy_cert_path="/c.cer", docxy_key_path="/k.key")
        assert mirror.context.options.docxy_cert_path == ""
        assert mirror.served == ISSUED.fullchain


async def test_once_running_tls_cannot_be_turned_off(mirror: Mirror) -> None:
    acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    async with running(mirror):
        with pytest.raises(exceptions.OptionsError, match="cannot be turned off"):
            mirror.start(docxy_domain="", docxy_acme_home="")
        assert mirror.served == ISSUED.fullchain


async def test_another_domain_can_be_set_while_running(mirror: Mirror) -> None:
    acme(mirror)
    acme(mirror, OTHER, "other.example.net")
    mirror.start(docxy_domain=DOMAIN)
    async with running(mirror):
        mirror.start(docxy_domain="other.example.net")
        assert mirror.served == OTHER.fullchain
        assert mirror.addon.covers("other.example.net")
        await asyncio.sleep(4 * INTERVAL)
        assert mirror.served == OTHER.fullchain


async def test_a_renewal_is_taken_into_use_and_the_former_file_removed(mirror: Mirror) -> None:
    folder = acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    (former,) = mirror.certs
    async with running(mirror):
        renew(folder)
        await until_served(mirror, RENEWED)
        assert mirror.certs != [former]
        assert [f"*={path}" for path in mirror.files()] == mirror.certs


async def test_what_was_read_for_former_options_is_not_taken(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def look(_: Renewal, current: Pair) -> Pair:
        asked.set()
        await answered.wait()
        return replace(current, pem=RENEWED.key + RENEWED.fullchain)

    acme(mirror)
    acme(mirror, OTHER, "other.example.net")
    mirror.start(docxy_domain=DOMAIN)
    async with running(mirror):
        with monkeypatch.context() as patch:
            patch.setattr(Renewal, "look", look)
            await asked.wait()
            mirror.start(docxy_domain="other.example.net")
        caplog.set_level(logging.INFO, "addon")
        answered.set()
        await asyncio.sleep(4 * INTERVAL)
        assert caplog.messages == []  # taken, it would be replaced again at the next look
        assert mirror.served == OTHER.fullchain


async def test_nothing_is_looked_for_after_the_end(mirror: Mirror) -> None:
    folder = acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    async with running(mirror):
        await asyncio.sleep(2 * INTERVAL)
    renew(folder)
    await asyncio.sleep(4 * INTERVAL)
    assert mirror.left_behind() == []


async def test_a_pair_that_mitmproxy_refuses_leaves_the_former_in_use(
    mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    class Refuses:
        refusing = False

        def configure(self, updated: set[str]) -> None:
            if self.refusing and "certs" in updated:
                self.refusing = False
                raise exceptions.OptionsError("not this one")  # type: ignore[no-untyped-call]

    folder = acme(mirror)
    other = Refuses()
    mirror.context.master.addons.add(other)
    mirror.start(docxy_domain=DOMAIN)
    async with running(mirror):
        other.refusing = True
        renew(folder)
        await eventually(lambda: caplog.messages)
        assert caplog.messages[0] == (
            "The former certificate stays in use: mitmproxy cannot be given the pair: not this one."
            " Looking on."
        )
        assert mirror.served == ISSUED.fullchain
        await until_served(mirror, RENEWED)  # it is tried again


async def test_a_served_file_that_a_cleaner_took_is_written_again(mirror: Mirror) -> None:
    acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    async with running(mirror):
        for path in mirror.files():
            path.unlink()
        await eventually(mirror.files)
        mirror.context.options.key_size = 3072  # makes mitmproxy read `certs` anew
        assert mirror.served == ISSUED.fullchain


async def test_looking_goes_on_after_an_error_that_nobody_foresaw(
    mirror: Mirror, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("unforeseen")

    folder = acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    async with running(mirror):
        with monkeypatch.context() as patch:
            patch.setattr("addon.tls.renewal.load_pair", broken)
            await eventually(lambda: caplog.messages)
            await asyncio.sleep(4 * INTERVAL)
        assert [message for message in caplog.messages if "unforeseen" in message] == [
            caplog.messages[0]
        ]
        renew(folder)
        await until_served(mirror, RENEWED)


async def test_an_ending_certificate_is_told_at_the_start_and_once_a_day(
    mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    async def count_after(moment: datetime) -> int:
        mirror.now = moment
        await asyncio.sleep(4 * INTERVAL)
        return len(caplog.records)

    acme(mirror)
    mirror.now = NOW + 47 * DAY
    mirror.start(docxy_domain=DOMAIN)
    assert "expires on 2026-07-31 12:00 UTC, in 13 days" in caplog.messages[0]
    async with running(mirror):
        assert await count_after(mirror.now) == 1
        assert await count_after(NOW + 48 * DAY) == 2
        assert await count_after(NOW + 61 * DAY) == 3  # expired while running: no more than that
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "clients refuse it" in caplog.messages[-1]


def end_of(issued: Issued) -> datetime:
    return x509.load_pem_x509_certificate(issued.fullchain).not_valid_after_utc


def own_pem(mirror: Mirror, issued: Issued = OTHER) -> str:
    path = mirror.home / "own.pem"
    path.write_bytes(issued.key + issued.fullchain)
    return str(path)


@pytest.mark.parametrize("spec", ["{}", "*={}", "other.example.net={}"])
async def test_the_users_own_certs_are_left_alone(mirror: Mirror, spec: str) -> None:
    acme(mirror)
    own = spec.format(own_pem(mirror))
    mirror.start(certs=[own], docxy_domain=DOMAIN)
    assert mirror.certs == [own]
    assert mirror.addon.present
    assert mirror.addon.names == ("other.example.net",)
    assert mirror.addon.not_after == end_of(OTHER)
    assert mirror.addon.covers("other.example.net")
    assert not mirror.addon.covers(DOMAIN)
    assert mirror.left_behind() == []


async def test_certs_set_while_running_win_and_stay(mirror: Mirror) -> None:
    acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    async with running(mirror):
        mirror.start(certs=[own_pem(mirror)])
        await asyncio.sleep(4 * INTERVAL)
        assert mirror.served == OTHER.fullchain
        assert mirror.addon.covers("other.example.net")
        assert mirror.left_behind() == []


async def test_wrong_certs_set_while_running_are_rolled_back_to_the_pair(mirror: Mirror) -> None:
    acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    async with running(mirror):
        with pytest.raises(exceptions.OptionsError, match="does not exist"):
            mirror.start(certs=["/none.pem"])
        assert mirror.served == ISSUED.fullchain
        assert mirror.addon.covers(DOMAIN)


async def test_certs_taken_back_while_running_give_way_to_the_pair(mirror: Mirror) -> None:
    acme(mirror)
    mirror.start(certs=[own_pem(mirror)], docxy_domain=DOMAIN)
    async with running(mirror):
        mirror.start(certs=[])
        assert mirror.served == ISSUED.fullchain
        assert mirror.addon.not_after == end_of(ISSUED)


async def test_what_a_reloaded_script_left_in_certs_is_not_the_users(mirror: Mirror) -> None:
    acme(mirror)
    mirror.start(docxy_domain=DOMAIN)
    mirror.addon.running()
    mirror.context.master.addons.remove(mirror.addon)
    reloaded = Certificates(interval=INTERVAL, now=lambda: NOW)
    mirror.context.master.addons.register(reloaded)
    reloaded.configure(set(mirror.context.options.keys()))
    assert reloaded.covers(DOMAIN)
    assert mirror.served == ISSUED.fullchain
    reloaded.done()
    assert mirror.left_behind() == []


async def test_all_options_are_strings_of_ours(mirror: Mirror) -> None:
    for option in OPTIONS:
        assert option.name.startswith("docxy_")
        assert mirror.context.options.default(option.name) == option.default
