"""The addresses of frames in two parts: the series, which is the same for thousands of them, and what is asked of it.

Spec: DICOM PS3.18 §10.4.1.1.3; group 13.
"""

from __future__ import annotations

import re

from imaging_server.resource import Kind
from imaging_server.routes import GATEWAY_PREFIX, ROUTES, address_pattern

ROUTE = next(route for route in ROUTES if route.kind is Kind.FRAMES)
INSTANCES = "/instances/"
"""Stands between both parts."""
_NAMES = re.compile(r"<(ehr|pacs)>")
SERIES, FRAMES = (
    re.compile(pattern, re.ASCII)
    for pattern in (_NAMES.sub(r"(?P<\1>[^/]+)", GATEWAY_PREFIX) + address_pattern(ROUTE, prefix="")).split(INSTANCES)
)
"""For ``fullmatch``: the groups ehr, pacs, study and series of the first part, instance and frames of the second."""
