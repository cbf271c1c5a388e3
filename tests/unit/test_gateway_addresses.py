"""An archive's addresses become the gateway's, or nobody's (PS3.18 §8.4; group 17)."""

from __future__ import annotations

import pytest

from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from imaging_server.payloads import GatewayAddresses
from imaging_server.resource import DicomResource, Kind, Level

STUDY, OTHER = StudyInstanceUID("2.25.1"), StudyInstanceUID("2.25.2")
GATEWAY = "https://gateway.example/imaging/north/dicom-web/main"
FRAME = DicomResource(
    kind=Kind.FRAMES,
    level=Level.INSTANCE,
    study=STUDY,
    series=SeriesInstanceUID("2.25.1.1"),
    instance=SopInstanceUID("2.25.1.1.1"),
    frames=(1,),
)


@pytest.mark.parametrize("root", ["http://pacs.example/dicom-web", "http://pacs.example/dicom-web/"])
def test_address_of_what_was_asked_becomes_the_gateways(root: str) -> None:
    addresses = GatewayAddresses(archive_root=root, gateway_root=GATEWAY)

    for said in (f"http://pacs.example/dicom-web{FRAME.path}", f"http://PACS.example:80/dicom-web{FRAME.path}"):
        assert addresses.rewriter(FRAME, STUDY)(said) == GATEWAY + FRAME.path


def test_address_of_what_was_asked_is_nobodys_for_another_study() -> None:
    addresses = GatewayAddresses(archive_root="http://pacs.example/dicom-web", gateway_root=GATEWAY)

    assert addresses.rewriter(FRAME, OTHER)(f"http://pacs.example/dicom-web{FRAME.path}") is None


@pytest.mark.parametrize("root", ["http://user:secret@pacs.example/dicom-web", "http://pacs.example/dicom-web?key=secret"])
def test_address_with_an_archives_secret_in_it_is_nobodys(root: str) -> None:
    addresses = GatewayAddresses(archive_root=root, gateway_root=GATEWAY)

    assert addresses.rewriter(FRAME, STUDY)(root + FRAME.path) is None
