"""The dashboards, one a file."""

from deploy.grafana.boards import capacity, edge, overview, placement, session, worker

DASHBOARDS = (
    overview.DASHBOARD,
    edge.DASHBOARD,
    worker.DASHBOARD,
    placement.DASHBOARD,
    capacity.DASHBOARD,
    session.DASHBOARD,
)
