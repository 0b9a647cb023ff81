"""Where everything of an installation is."""

from __future__ import annotations

USER = "docxy"
SERVICE = "docxy.service"
UNIT = f"/etc/systemd/system/{SERVICE}"
WANTED = f"/etc/systemd/system/multi-user.target.wants/{SERVICE}"
"""What has it started at boot."""

PROGRAM = "/opt/docxy"
"""The releases, each in a folder of its own, and `current`, which leads to one of them."""
CURRENT = f"{PROGRAM}/current"

ETC = "/etc/docxy"
SETTINGS = f"{ETC}/config.yaml"
ANSWERS = f"{ETC}/install.json"
ENVIRONMENT = f"{ETC}/environment"
TLS = f"{ETC}/tls"
CERTIFICATE = f"{TLS}/fullchain.cer"
KEY = f"{TLS}/mirror.key"

STATE = "/var/lib/docxy"
CONFDIR = f"{STATE}/mitmproxy"
# Root's own: what acme.sh, which is root, writes into must not be another user's to turn elsewhere.
WEBROOT = "/var/lib/docxy-acme"
