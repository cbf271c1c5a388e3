"""What the registry of services refuses, and what a service's entry in discovery holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cds_service.definitions import registry
from cds_service.services.imaging_findings import SERVICE


def test_r7_two_different_services_never_share_an_id() -> None:
    other = replace(SERVICE, hook="order-sign", title="Another service")

    with pytest.raises(ValueError, match="two CDS services have the id imaging-findings"):
        registry([SERVICE, other])


def test_r5_every_member_that_discovery_asks_for_is_the_services_own() -> None:
    entry = SERVICE.discovery_entry()

    assert (entry["id"], entry["hook"]) == ("imaging-findings", "patient-view")
    assert (entry["title"], entry["description"]) == (SERVICE.title, SERVICE.description)
    assert entry["usageRequirements"] == SERVICE.usage_requirements
    assert set(entry["prefetch"]) == {query.key for query in SERVICE.queries}
