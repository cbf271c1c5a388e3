"""An archive in a cloud as a site writes it down: TOML for its shape, the environment for its secrets (DESIGN §8, STYLE 9)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from fhir_imaging.errors import ConfigurationError
from imaging_cds.settings import from_table
from imaging_cds.settings_reader import overlay

DOCUMENT = Path(__file__).parents[2] / "docs" / "connecting.md"
REST = """
public_base_url = "https://imaging.example"
[state]
state_dir = "state"
[[ehr]]
name = "north"
fhir_base = "https://ehr.example/fhir"
"""


def documented() -> dict[str, Any]:
    """The example of docs/connecting.md, with what every configuration needs beside it."""
    example = DOCUMENT.read_text().partition("## Archives")[2].partition("```toml")[2].partition("```")[0]
    return tomllib.loads(REST + example)


def read(table: dict[str, Any], **environment: str) -> Any:
    return from_table(overlay(table, environment)).pacs[0]


def test_example_of_the_document_is_read_with_its_secret_from_the_environment() -> None:
    archive = read(documented(), IMAGING_CDS__PACS__CLOUD__CLIENT_SECRET="the-secret")

    assert (archive.studies_per_search, archive.client_secret) == (1, "the-secret")
    assert archive.token_url.endswith("/oauth2/v2.0/token")
    assert "the-secret" not in repr(archive)


def test_headers_and_certificate_authority_are_read() -> None:
    table = documented()
    table["pacs"][0] |= {"headers": {"X-Tenant": "a"}, "certificate_authority": "authority.pem"}

    archive = read(table)

    assert archive.headers == {"X-Tenant": "a"}
    assert archive.certificate_authority == Path("authority.pem")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"token_url": "http://login.example/token"}, r"pacs\.cloud\.token_url: http://login\.example/token is plain http"),
        ({"token_url": "login.example/token"}, r"pacs\.cloud\.token_url: 'login\.example/token' is not an http"),
        ({"headers": {"X-Tenant": 7}}, "headers"),
        ({"headers": "X-Tenant: a"}, "headers"),
        ({"studies_per_search": "one"}, "studies_per_search"),
    ],
)
def test_what_cannot_be_is_named(changes: dict[str, Any], problem: str) -> None:
    table = documented()
    table["pacs"][0] |= changes

    with pytest.raises(ConfigurationError, match=problem):
        read(table)
