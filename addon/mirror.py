"""What mitmdump loads: `mitmdump -s addon/mirror.py --mode reverse:https://registry-1.docker.io`.

mitmproxy runs this file under a name of its own, so nothing is defined here.
"""

from addon.contentviews import ContentViews
from addon.hooks import Flows
from addon.idle import IdleAddons
from addon.inspection import Inspection
from addon.oldest import InspectedFlows
from addon.ownflows import OwnFlows
from addon.sockets import ClientSockets
from addon.startup import Deferred, Startup
from addon.tls import Certificates
from addon.webpage import WebPage

_certificates = Certificates()
_flows = Flows()
_own_flows = OwnFlows()
_startup = Startup(_flows, _certificates, _own_flows)

addons = [
    _startup,
    _certificates,
    _flows,
    _own_flows,
    ClientSockets(),
    ContentViews(),
    IdleAddons(),
    InspectedFlows(),
    Inspection(lambda: _startup.fetcher),
    WebPage(),
    Deferred(),
]
