"""What mitmdump loads: `mitmdump -s addon/mirror.py --mode reverse:https://registry-1.docker.io`.

mitmproxy runs this file under a name of its own, so nothing is defined here.
"""

from addon.hooks import Flows
from addon.inspection.comments import Comments
from addon.inspection.contentviews import ContentViews
from addon.inspection.inspection import Inspection
from addon.inspection.oldest import InspectedFlows
from addon.inspection.ownclients import OwnClients
from addon.inspection.ownflows import OwnFlows
from addon.inspection.pulls import Pulls
from addon.inspection.webpage import WebPage
from addon.limits.doorkeeper import Doorkeeper
from addon.log.logs import Logs
from addon.log.requestlog import log_account
from addon.metrics.monitoring import Monitoring
from addon.mitm.idle import IdleAddons
from addon.mitm.sockets import ClientSockets
from addon.service.service import Service
from addon.startup import Deferred, Startup
from addon.tls.tls import Certificates

_certificates = Certificates()
_own_clients = OwnClients()
_logs = Logs()
_own_flows = OwnFlows()
_idle = IdleAddons()
_doorkeeper = Doorkeeper(_own_clients)
_monitoring = Monitoring(lambda: _startup.fetcher, _certificates)
_flows = Flows(
    _own_clients,
    (log_account, _logs.summaries.hear, _monitoring.finished),
    _logs.summaries.begins,
    _idle.is_anybody_looking,
)
_startup: Startup = Startup(
    _flows,
    _certificates,
    _own_flows,
    _doorkeeper,
    _monitoring.watches,
    _monitoring.readiness,
)

addons = [
    # First: whatever the others say has its form.
    _logs,
    # Before the others: whoever is told of a mirror that serves hears no more of it once it ends.
    Service(_certificates, _monitoring.readiness.drains),
    # A pull ends before the connections that it asks over.
    Pulls(lambda: _startup.fetcher, _certificates, _own_clients),
    _startup,
    _certificates,
    _flows,
    Comments(),
    # A request that was answered at once takes none of its time.
    _doorkeeper,
    # What they hear of a flow has been told in it by then.
    _own_clients,
    _own_flows,
    _monitoring,
    ClientSockets(),
    ContentViews(),
    _idle,
    InspectedFlows(),
    Inspection(lambda: _startup.fetcher),
    WebPage(),
    Deferred(),
]
