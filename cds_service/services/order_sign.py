"""``imaging-order-sign`` on ``order-sign``: judges every imaging order about to be signed, new or revised."""

from __future__ import annotations

from cds_service.services.order_checks import order_service

SERVICE = order_service(
    hook="order-sign",
    title="Imaging order check before signing",
    judged="Every imaging order in draftOrders is judged.",
)
