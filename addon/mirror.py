"""What mitmdump loads: `mitmdump -s addon/mirror.py --mode reverse:https://registry-1.docker.io`.

mitmproxy runs this file under a name of its own, so nothing is defined here.
"""

from addon.hooks import Flows
from addon.idle import IdleAddons
from addon.oldest import InspectedFlows
from addon.sockets import ClientSockets
from addon.startup import Deferred, Startup
from addon.tls import Certificates

_certificates = Certificates()
_flows = Flows()

addons = [
    Startup(_flows, _certificates),
    _certificates,
    _flows,
    ClientSockets(),
    IdleAddons(),
    InspectedFlows(),
    Deferred(),
]
