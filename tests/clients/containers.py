"""The configuration that skopeo, podman and buildah share: that of github.com/containers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.clients.site import Site


@dataclass(frozen=True, slots=True)
class Configuration:
    environ: Mapping[str, str]
    certificates: Path
    """For `--cert-dir`."""
    policy: Path
    """For `--policy`: no signatures are asked for."""
    registries: Path


def configure(folder: Path, site: Site, driver: str = "vfs") -> Configuration:
    """Files in a new folder, so that nothing of the machine's own is read or written.

    Args:
        folder: where they shall lie.
        site: where is pulled.
        driver: how layers are stored; vfs copies each whole, and works everywhere.
    """
    folder.mkdir()
    certificates = folder / "certs"
    certificates.mkdir()
    shutil.copy(site.ca_file, certificates / "ca.crt")
    policy, registries = folder / "policy.json", folder / "registries.conf"
    policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    registries.write_text(
        f"""
unqualified-search-registries = ["docker.io"]
[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "{site.mirror.authority}"
"""
    )
    storage = folder / "storage.conf"
    storage.write_text(
        f"""
[storage]
driver = "{driver}"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""
    )
    engine = folder / "containers.conf"
    engine.write_text(
        f"""
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
static_dir = "{folder}/libpod"
tmp_dir = "{folder}/tmp"
volume_path = "{folder}/volumes"
"""
    )
    # podman and buildah insist that it is there.
    auth = folder / "auth.json"
    auth.write_text("{}")
    environ = {
        **site.environ(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "REGISTRY_AUTH_FILE": str(auth),
        "CONTAINERS_CONF": str(engine),
        "CONTAINERS_REGISTRIES_CONF": str(registries),
        "CONTAINERS_STORAGE_CONF": str(storage),
    }
    return Configuration(environ, certificates, policy, registries)
