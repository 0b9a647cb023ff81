"""The systemd unit: its text.

systemd.service(5), systemd.exec(5). What is not said about a restriction there is said here.
"""

from __future__ import annotations

from addon.install import places

DRAIN_SECONDS = 30
"""The default of `docxy_drain_timeout`."""

# A connection of a client, and one upstream, for each of the connections that are served at most;
# systemd's own default for the hard limit is 524288, and the soft one is 1024.
OPEN_FILES = 65536

_UNIT = """\
# Made by Docxy's installer, which overwrites it; `systemctl edit docxy` adds to it.
[Unit]
Description=Docxy, a Docker registry mirror
Documentation=file:{current}/README.md
Wants=network-online.target
After=network-online.target
# A server that has lost its network for an hour must come back by itself.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
ExecStart={current}/.venv/bin/python -P -m {command}
ExecReload=/bin/kill -HUP $MAINPID
User={user}
Group={user}
WorkingDirectory={state}
Environment=DOCXY_STATE_DIR={state} PYTHONUNBUFFERED=1
# For HTTPS_PROXY and NO_PROXY, where the way out needs them.
EnvironmentFile=-{environment}
StateDirectory={user}
StateDirectoryMode=0700

Restart=on-failure
RestartSec=5
TimeoutStartSec=120
WatchdogSec=60
# Running transfers have docxy_drain_timeout; the rest is for what is left to do after that.
TimeoutStopSec={stop_seconds}
KillMode=mixed

LimitNOFILE={open_files}
LimitCORE=0
MemoryMax=80%
# Threads that look up names and read files: up to 32 a worker.
TasksMax=4096

# Ports 80 and 443 without root.
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
SecureBits=noroot-locked

ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
UMask=0077

RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
# No MemoryDenyWriteExecute: pyOpenSSL's callbacks are made at run time, and TLS needs them.
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit_text(*, workers: str, drain_seconds: int = DRAIN_SECONDS) -> str:
    """The unit of a mirror.

    Args:
        workers: how many processes share the ports: a number, or auto.
        drain_seconds: for which a transfer that runs may go on once the mirror is stopped.
    """
    return _UNIT.format(
        current=places.CURRENT,
        command=f"addon.launch --workers {workers}",
        user=places.USER,
        state=places.STATE,
        environment=places.ENVIRONMENT,
        stop_seconds=drain_seconds + 15,
        open_files=OPEN_FILES,
    )
