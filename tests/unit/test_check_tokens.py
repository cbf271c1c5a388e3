"""``imaging-cds check`` on EHRs whose tokens are checked in the same way (SMART Imaging Access F5, groups 6 and 8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.settings import EhrSettings
from imaging_cds.check_context import CheckContext
from imaging_cds.check_probe import Prober
from imaging_cds.check_site import ImagingSite
from imaging_cds.check_tokens import check_tokens
from imaging_server.settings import ImagingServerSettings

CLIENT = {"introspection_client_id": "gateway", "introspection_client_secret": "the-secret"}
INTROSPECTION = {"introspection_url": "https://login.example/introspect", **CLIENT}
KEYS = {"jwks_url": "https://login.example/jwks"}
OFFERED = SmartMetadata(
    authorization_endpoint="https://login.example/authorize",
    token_endpoint="https://login.example/token",
    issuer="https://login.example",
    introspection_endpoint="https://login.example/introspect",
    jwks_uri="https://login.example/jwks",
)


def told(
    north: dict[str, Any],
    south: dict[str, Any],
    offered: SmartMetadata | None = None,
    souths: SmartMetadata | None = None,
    asked: list[str] | None = None,
) -> list[tuple[str, str]]:
    """``offered`` is the north's SMART configuration, ``souths`` the south's, which ``asked`` notes the reading of."""

    def offered_by(ehr: EhrSettings) -> SmartMetadata | None:
        (asked if asked is not None else []).append(ehr.name)
        return souths

    one, other = (
        EhrSettings(**{"name": name, "fhir_base": f"https://{name}.example/fhir", **said})
        for name, said in (("north", north), ("south", south))
    )
    site = ImagingSite(settings=ImagingServerSettings(public_base_url="https://images.example"), other_ehrs=(other,))
    context = CheckContext(
        issuer=one.fhir_base,
        ehr=one,
        prober=Prober("https://images.example", clock=lambda: datetime.now(UTC)),
        app_origin="https://images.example",
        is_configured=True,
        site=site,
    )
    return [(found.verdict.value, found.what + found.remedy) for found in check_tokens(context, offered, offered_by)]


@pytest.mark.parametrize(
    ("north", "south", "offered"),
    [
        (INTROSPECTION, INTROSPECTION, None),
        (CLIENT, INTROSPECTION, OFFERED),
        (INTROSPECTION, {"introspection_url": "https://LOGIN.example:443/introspect/", **CLIENT}, None),
        (CLIENT, {"token_issuer": "https://login.example"}, OFFERED),
        ({**KEYS, "accepted_audiences": ("urn:imaging",)}, {**KEYS, "accepted_audiences": ("urn:imaging",)}, None),
    ],
    ids=["one address", "as discovered", "spelt otherwise", "one issuer", "one audience"],
)
def test_group_8_tokens_that_may_not_say_whose_they_are_are_warned_of(
    north: dict[str, Any], south: dict[str, Any], offered: SmartMetadata | None
) -> None:
    ((verdict, words),) = told(north, south, offered)

    assert verdict == "warning"
    assert "token-of-which-ehr" in words
    assert "https://north.example/fhir in aud" in words


@pytest.mark.parametrize("names", ["introspection", "keys"])
def test_group_8_two_ehrs_that_name_one_server_themselves_are_warned_of(names: str) -> None:
    """Only where the site lets the south's tokens be checked there: else they are not."""
    north, server = (CLIENT if names == "introspection" else {"accepted_audiences": ("urn:imaging",)}), "https://login.example"
    south = {**north, "server_origins": (server,)}
    asked: list[str] = []

    ((verdict, words),) = told({**north, "server_origins": (server,)}, south, OFFERED, replace(OFFERED, issuer=None), asked)
    assert (verdict, "token-of-which-ehr" in words, asked) == ("warning", True, ["south"])
    assert told(north, north, OFFERED, OFFERED, asked) == []
    assert told(north, south, OFFERED, None, asked) == []
    assert asked == ["south", "south"]


def test_group_8_signed_tokens_name_their_audience() -> None:
    ((verdict, words),) = told(KEYS, KEYS)

    assert (verdict, "tells them apart" in words) == ("ok", True)


@pytest.mark.parametrize(
    ("north", "south"),
    [
        (INTROSPECTION, {"introspection_url": "https://login.example/other/introspect", **CLIENT}),
        (INTROSPECTION, {**INTROSPECTION, "fhir_base": "https://north.example/fhir"}),
        ({"opaque_tokens": True, "token_issuer": "https://login.example"}, {"token_issuer": "https://login.example"}),
        ({}, {}),
    ],
    ids=["a server each", "one FHIR server", "own launches", "nothing said"],
)
def test_ehrs_with_a_server_each_have_nothing_to_be_told(north: dict[str, Any], south: dict[str, Any]) -> None:
    assert told(north, south) == []
