"""The one body site that words name, as a code of DICOM PS3.16 Annex L: for what is synchronised and what is told live."""

from __future__ import annotations

from fhir_imaging.concept import Concept
from imaging_findings.body_parts import body_parts_of


def body_site_of(words: str) -> Concept | None:
    """None where they name no site that the table has, or several: then they stay words."""
    parts = body_parts_of(words)
    if len(parts) != 1:
        return None
    code = parts[0].code
    return Concept(code.display, code.system, code.code)
