"""Where the check of an imaging server finds the caller's token again in an answer, and where it rightly finds none."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from imaging_cds.check_gateway_echo import places_of

HEAD, CLAIMS, SEAL = (
    "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9",
    "eyJwYXRpZW50IjoicGF0LWEifQ",
    "c2lnbmVkLWJ5LXRoZS1laHItaXRzZWxm",
)
JWT = f"{HEAD}.{CLAIMS}.{SEAL}"
OPAQUE = "AbCd+efgh/IJKL0123mnop/QRST4567=="


def found(token: str, said: object) -> tuple[str, ...]:
    return places_of(token, {}, json.dumps(said).encode(), lambda: said)


@pytest.mark.parametrize("token", [JWT, OPAQUE])
@pytest.mark.parametrize(
    "written",
    [
        lambda token: token,
        lambda token: quote(token, safe=""),
        lambda token: quote(quote(token, safe=""), safe=""),
        lambda token: "".join(f"%{ord(mark):02x}" for mark in token),
        lambda token: token.lower(),
        lambda token: token[len(token) // 2 - 4 :],
    ],
)
def test_a_token_in_a_link_is_named_by_its_place(token: str, written: object) -> None:
    """F12, group 17: whole or in its own parts, encoded once or twice, in small letters as host names are."""
    link = f"https://images.example/next?t={written(token)}"  # type: ignore[operator]

    assert found(token, {"link": [{"relation": "self", "url": "https://images.example"}, {"url": link}]}) == ("link.url",)


def test_a_token_in_a_header_or_a_text_is_found() -> None:
    """Group 34: slashes as JSON may write them, too."""
    assert places_of(JWT, {"location": f"/a?{SEAL}", "server": "x"}, b"", lambda: None) == ("location",)
    assert places_of(OPAQUE, {}, OPAQUE.replace("/", "\\/").encode(), lambda: None) == ("the body",)


@pytest.mark.parametrize(
    "said",
    [
        f"https://images.example/dicom-web/{HEAD}.eyJzdHVkeSI6IjEuMiJ9.YW5vdGhlci1zaWduYXR1cmUtYWx0b2dldGhlcg",
        "https://images.example/dicom-web?cap=2c26b46b68ffc68ff99b453c1d3041340",
        "%zz%",
        f"{CLAIMS[:15]}",
    ],
)
def test_another_token_of_the_same_issuer_and_a_digest_are_no_repetition(said: str) -> None:
    """F12: an address may carry a capability that is bound to the token."""
    assert found(JWT, {"address": said}) == ()
    assert found("opaque", {"address": "an opaque address"}) == ()


def test_what_nests_beyond_reason_is_looked_into() -> None:
    """Group 23: no answer ends the check."""
    said: object = JWT
    for _ in range(900):
        said = [said]

    assert found(JWT, {"deep": said}) == ("deep",)
