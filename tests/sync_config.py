"""The settings file of an installation with one synchronisation, as text: an archive, an EHR, and a FHIR server to write."""

from __future__ import annotations

from pathlib import Path

from pacs_sync.settings import ResourceIds
from tests.sync_actors import MRN


def sync_config(state: Path, archive: str, fhir: str, *lines: str, ids: ResourceIds = ResourceIds.SERVER) -> str:
    """``lines`` are further ones of its ``[[sync]]``."""
    more = "".join(f"{line}\n" for line in lines)
    return f"""
public_base_url = "http://localhost:8000"
[state]
state_dir = "{state}"
[[ehr]]
name = "north"
fhir_base = "{fhir}"
[[pacs]]
name = "main"
dicomweb_root = "{archive}"
[[sync]]
name = "main"
pacs = "main"
endpoint_address = "http://localhost:8000/imaging/north/dicom-web/main"
target = {{ fhir_base = "{fhir}", ids = "{ids}" }}
patients = [{{ system = "{MRN}", issuer_of_patient_id = "DEMO" }}]
{more}"""
