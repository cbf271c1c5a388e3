"""``imaging-order-select`` on ``order-select``: judges the selections; all other drafts are context."""

from __future__ import annotations

from cds_service.services.order_checks import SELECT, order_service

SERVICE = order_service(
    hook=SELECT,
    title="Imaging order check while choosing",
    judged="The selected orders are judged, the other drafts are context.",
)
