"""TLS from acme.sh: gives mitmproxy the certificate, and each renewed one while it runs."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.tls import TlsData

from addon.settings.option import Option, declare
from addon.tls.acme import locate
from addon.tls.certificates import (
    CertificateError,
    Pair,
    covers,
    format_date,
    read_end,
    read_names,
    read_pair,
)
from addon.tls.distrust import distrust
from addon.tls.expiry import ExpiryReminder
from addon.tls.privatefile import PrivateFile, is_private_file
from addon.tls.renewal import Renewal

logger = logging.getLogger(__name__)

OPTIONS = (
    Option(
        "docxy_cert_path",
        str,
        "",
        "The certificate with its chain (acme.sh's fullchain.cer), PEM. If empty, the environment's"
        " CERT_PATH.",
    ),
    Option(
        "docxy_key_path",
        str,
        "",
        "The key of docxy_cert_path, PEM without a passphrase. If empty, the environment's"
        " KEY_PATH.",
    ),
    Option(
        "docxy_domain",
        str,
        "",
        "Instead of the two paths: the domain, such as example.com, whose certificate acme.sh"
        " holds. If empty, the environment's DOMAIN, else the only domain that acme.sh holds.",
    ),
    Option(
        "docxy_acme_home",
        str,
        "~/.acme.sh",
        "The directory of acme.sh. If empty, no certificate is looked for there.",
    ),
)
_NAMES = frozenset(option.name for option in OPTIONS)


def utc_now() -> datetime:
    """Tell the time, with its zone."""
    return datetime.now(UTC)


class Certificates:
    """Serve TLS with what acme.sh wrote, without a restart when it writes anew.

    Args:
        interval: seconds between two looks at the files. A change is read once more after a fifth
            of that, so 5 s bring a renewal into use well within 10 s.
        now: the clock.
    """

    def __init__(self, *, interval: float = 5.0, now: Callable[[], datetime] = utc_now) -> None:
        self._interval = interval
        self._now = now
        self._file = PrivateFile()
        self._renewal: Renewal | None = None
        self._pair: Pair | None = None
        self._served: Path | None = None  # where mitmproxy reads _pair
        self._own_names: tuple[str, ...] | None = None  # of `certs`, if the user has set it
        self._own_end: datetime | None = None
        self._swapping = False
        self._running = False
        self._watcher: asyncio.Task[None] | None = None
        self._reminder = ExpiryReminder()

    @property
    def present(self) -> bool:
        """Whether clients get TLS with a certificate of the owner's."""
        return self._pair is not None or self._own_names is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the certificate in use is good for, wildcards as they stand in it."""
        return self._pair.names if self._pair else self._own_names or ()

    @property
    def not_after(self) -> datetime | None:
        """When the certificate in use ends, None where there is none, or it cannot be read."""
        return self._pair.not_after if self._pair else self._own_end

    def covers(self, sni: str | None) -> bool:
        """Say whether the certificate in use is good for the name that a client asks for."""
        return sni is not None and covers(self.names, sni)

    def load(self, loader: Loader) -> None:
        """Declare the options."""
        declare(loader, OPTIONS)

    def configure(self, updated: set[str]) -> None:
        """Take what the options ask for into use."""
        if self._swapping or updated.isdisjoint({*_NAMES, "certs"}):
            return
        try:
            self._apply()
        except ValueError as error:
            if self._running:
                raise exceptions.OptionsError(str(error)) from error  # type: ignore[no-untyped-call]
            # mitmproxy ends a start that logged an error. Raised from a script's `configure` it
            # would be shown with a traceback.
            logger.error("%s", error)

    def running(self) -> None:
        """Begin to look for renewals."""
        self._running = True
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    def done(self) -> None:
        """Stop looking, and leave no key behind."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None
        # `certs` stays set: without it, mitmproxy would serve a certificate of its own to who
        # connects during the shutdown. It has read the file, and needs it no more.
        self._file.close()

    def tls_failed_client(self, data: TlsData) -> None:
        """Say it when a client does not trust the certificate: there is no flow to look at."""
        client = data.context.client
        line = distrust(str(client.peername[0]), client.sni, self.names, client.error or "")
        if line:
            logger.warning("%s", line)

    def _apply(self) -> None:
        # What an instance before has left (mitmproxy reloads a changed script) is not the user's.
        own = [spec for spec in ctx.options.certs if not is_private_file(_path_in(spec))]
        if own:
            self._leave_to_user(own)
            return
        paths = locate(
            cert_path=ctx.options.docxy_cert_path,
            key_path=ctx.options.docxy_key_path,
            domain=ctx.options.docxy_domain,
            acme_home=ctx.options.docxy_acme_home,
            environ=os.environ,
        )
        if paths is None:
            if self._pair is not None:
                raise ValueError("TLS cannot be turned off while the mirror runs.")
            self._own_names = self._own_end = None
            return
        try:
            self._serve(read_pair(paths, self._now()))
        except CertificateError as error:
            raise ValueError(
                f"No TLS with {str(paths.certificate)!r} and {str(paths.key)!r}: {error}."
            ) from error
        self._renewal = Renewal(paths, settling=self._interval / 5, now=self._now)
        self._own_names = self._own_end = None
        self._remind()

    def _leave_to_user(self, specs: Sequence[str]) -> None:
        """Serve what the user set `certs` to; mitmproxy itself checks those files."""
        names: list[str] = []
        ends: list[datetime] = []
        for spec in specs:
            try:
                names += read_names(_path_in(spec))
                ends.append(read_end(_path_in(spec)))
            except CertificateError as error:
                logger.warning("The option certs names no certificate here: %s.", error)
        self._own_names = tuple(names)
        self._own_end = min(ends, default=None)
        self._renewal = self._pair = self._served = None
        self._file.close()

    def _serve(self, pair: Pair) -> None:
        """Have mitmproxy serve this pair to new connections.

        Raises:
            CertificateError: It could not be; what was served before still is.
        """
        self._swapping = True
        try:
            served = self._file.write(pair.pem)
            # "*=": for every name that a client may ask for, and a path may hold a "=" itself.
            ctx.options.certs = [f"*={served}"]
        except (OSError, exceptions.OptionsError) as error:
            raise CertificateError(f"mitmproxy cannot be given the pair: {error}") from error
        else:
            self._pair, self._served = pair, served
        finally:
            self._swapping = False
            self._file.keep(self._served)
        logger.info(
            "TLS for %s, valid until %s.", ", ".join(pair.names), format_date(pair.not_after)
        )

    async def reread(self) -> None:
        """Look for a renewal at once, and say again what is wrong with the files."""
        if self._renewal:
            self._renewal.forget_told()
        await self._look()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            self._remind()
            await self._look()

    async def _look(self) -> None:
        renewal, current = self._renewal, self._pair
        if renewal is None or current is None:
            return
        try:
            renewed = await renewal.look(current)
            if self._renewal is not renewal or self._pair is not current:
                return  # other options were set meanwhile, or another look has found it
            if renewed or not self._file.holds(self._served):
                self._serve(renewed or current)
        except CertificateError as error:
            renewal.tell(str(error))
        except Exception as error:  # whatever it is, the next renewal must not be missed
            renewal.tell(repr(error))

    def _remind(self) -> None:
        message = self._pair and self._reminder.message(self._pair, self._now())
        if message:
            logger.warning("%s", message)


def _path_in(spec: str) -> Path:
    """Take the file out of one value of `certs`, `[domain=]path`."""
    return Path(os.path.expanduser(spec.partition("=")[2] or spec))
