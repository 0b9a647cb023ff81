"""What mitmdump loads: `mitmdump -s addon/mirror.py --mode reverse:https://registry-1.docker.io`.

mitmproxy runs this file under a name of its own, so nothing is defined here.
"""

from addon.contentviews import ContentViews
from addon.doorkeeper import Doorkeeper
from addon.hooks import Flows
from addon.idle import IdleAddons
from addon.inspection import Inspection
from addon.logs import Logs
from addon.oldest import InspectedFlows
from addon.ownclients import OwnClients
from addon.ownflows import OwnFlows
from addon.pulls import Pulls
from addon.requestlog import log_account
from addon.service import Service
from addon.sockets import ClientSockets
from addon.startup import Deferred, Startup
from addon.tls import Certificates
from addon.webpage import WebPage

_certificates = Certificates()
_own_clients = OwnClients()
_logs = Logs()
_flows = Flows(_own_clients, (log_account, _logs.summaries.hear), _logs.summaries.begins)
_own_flows = OwnFlows()
_doorkeeper = Doorkeeper(_own_clients)
_startup = Startup(_flows, _certificates, _own_flows, _doorkeeper)

addons = [
    # First: whatever the others say has its form.
    _logs,
    # Before the others: whoever is told of a mirror that serves hears no more of it once it ends.
    Service(_certificates),
    # A pull ends before the connections that it asks over.
    Pulls(lambda: _startup.fetcher, _certificates, _own_clients),
    _startup,
    _certificates,
    _flows,
    # A request that was answered at once takes none of its time.
    _doorkeeper,
    # What they hear of a flow has been told in it by then.
    _own_clients,
    _own_flows,
    ClientSockets(),
    ContentViews(),
    IdleAddons(),
    InspectedFlows(),
    Inspection(lambda: _startup.fetcher),
    WebPage(),
    Deferred(),
]
