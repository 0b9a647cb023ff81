"""docs/Containerfile: built without a registry, and run as README.md says."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
from pathlib import Path

import pytest

from tests.clients.cases import unused_name
from tests.clients.container import Containers
from tests.clients.processes import ClientFailed, becomes
from tests.clients.site import Site, write_certificate
from tests.clients.skopeo import Skopeo
from tests.ports import free_port
from tests.running import hub_options

# Whichever test is the first makes the image.
pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]

USER = 65532
READY = "Docker: "


@pytest.fixture
def certificates(folder: Path, site: Site) -> Path:
    """A folder to mount: README's names, readable by the image's user."""
    certificates = folder / unused_name()
    certificates.mkdir()
    put_certificate(certificates, site.mirror.host)
    return certificates


def put_certificate(certificates: Path, host: str) -> None:
    """As acme.sh's successor in a folder: made aside, and put in place by a rename."""
    aside = certificates / "new"
    aside.mkdir()
    _, chain, key = write_certificate(aside, host)
    os.chown(key, 0, USER)
    key.chmod(0o640)
    chain.rename(certificates / "fullchain.cer")
    key.rename(certificates / "mirror.key")
    shutil.rmtree(aside)


def options_for(certificates: Path) -> list[str]:
    return [
        f"--volume={certificates}:/certs:ro",
        "--env=CERT_PATH=/certs/fullchain.cer",
        "--env=KEY_PATH=/certs/mirror.key",
    ]


def test_a_pull_goes_through_a_container_without_any_right(
    containers: Containers, certificates: Path, site: Site, skopeo: Skopeo
) -> None:
    host = site.mirror.host
    port, plain = free_port(host), free_port(host)
    authority = f"--volume={site.hub.ca_file}:{site.hub.ca_file}:ro"
    options = [*options_for(certificates), "--network=host", authority]
    arguments = [
        *("-p", str(port), "--set", f"docxy_http_port={plain}"),
        *("--set", f"docxy_public_url=https://{host}:{port}"),
        *("--set", f"docxy_registry={site.hub.registry_url}", *hub_options(site.hub)),
    ]
    image = site.hub.add_image(f"library/{unused_name()}", "1")
    with containers.running(*arguments, options=options, said=READY) as container:
        copied = skopeo.pull(f"{host}:{port}/{image.repository}:1", "--src-tls-verify=false")
        assert {layer.digest for layer in image.manifest.layers} <= copied.files

        status = Path(f"/proc/{container.pid}/status").read_text()
        assert f"\nUid:\t{USER}\t{USER}\t{USER}\t{USER}\n" in status
        for kind in ("Prm", "Eff", "Bnd", "Amb"):
            assert f"\nCap{kind}:\t{0:016x}\n" in status
        with pytest.raises(ClientFailed, match="Read-only file system"):
            container.run("touch", "/file")

        put_certificate(certificates, host)
        renewed = (certificates / "fullchain.cer").read_text()
        assert becomes(lambda: ssl.get_server_certificate((host, port)) in renewed, 30)

        assert container.stop() == 0


@pytest.mark.parametrize("has_certificate", [True, False], ids=["tls", "plain"])
def test_the_check_tells_whether_the_mirror_answers(
    containers: Containers, certificates: Path, has_certificate: bool
) -> None:
    options = ["--network=none", *(options_for(certificates) if has_certificate else ())]
    public_url = "--set=docxy_public_url=https://mirror.example.com"
    with containers.running(public_url, options=options, said=READY) as container:
        # One check has ten seconds, all of which a busy machine may need.
        assert becomes(container.is_healthy, 60)
        os.kill(container.pid, signal.SIGSTOP)
        assert not container.is_healthy()
        os.kill(container.pid, signal.SIGCONT)
        assert becomes(container.is_healthy, 60)


def test_nothing_is_in_the_image_that_only_its_making_needs(containers: Containers) -> None:
    with containers.files() as root:
        installed = {path.name for path in (root / "opt" / "docxy").glob("lib/*/site-packages/*")}
        assert "addon" in installed
        assert installed.isdisjoint({"pip", "setuptools", "pytest", "tests"})
        for left in ("src", "pip", "root/.cache"):
            assert not (root / left).exists()
