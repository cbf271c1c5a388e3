"""How FHIR's releases say the parts of an ImagingStudy that they say differently.

Spec: clinical rules 7.1; FHIR R4, R4B, R5 and R6 (snapshot of September 2026) ImagingStudy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from fhir_imaging.archived_study import ArchivedInstance, ArchivedSeries, ArchivedStudy, InstanceAvailability
from fhir_imaging.concept import Concept
from fhir_imaging.fhir_mapping.concepts import (
    IDENTIFIER_TYPES,
    URI_SYSTEM,
    Json,
    codeable_concept,
    codeable_reference,
    coding,
    dcm_coding,
    stated,
)
from fhir_imaging.fhir_versions import FhirVersion, Status
from fhir_imaging.uids import DICOM_UID_SYSTEM, to_urn

AVAILABILITY = "https://imaging-cds.example/fhir/StructureDefinition/instance-availability"
"""The extension with DICOM's word for how soon the images can be had: no release since R4 has an element for it."""
UNKNOWN_MODALITY = "OT"
"""DICOM's own "Other" (PS3.3 §C.7.3.1.1.1), where an archive does not say: FHIR wants one of each series."""


class R4Dialect:
    """R4 and R4B: Codings, and the accession number among the study's identifiers. Later releases are what they change of it.

    What is a fragment has other names elsewhere, and None where there is nothing to say.
    """

    def modality(self, code: str) -> Json:
        """A Coding of CID 29."""
        return dcm_coding(code)

    def sop_class(self, uid: str) -> Json | str:
        """A Coding of the system of URIs."""
        return {"system": URI_SYSTEM, "code": to_urn(uid)}

    def identifiers(self, uid: Json, accession: Json | None) -> list[Json]:
        """Both; the accession number stands in ``basedOn`` too (X18)."""
        return [uid, *([accession] if accession else [])]

    def procedures_and_reasons(self, study: ArchivedStudy) -> Json:
        """What was done and why: ``procedureCode`` and ``reasonCode``."""
        return {
            "procedureCode": _present(map(codeable_concept, study.procedures)),
            "reasonCode": _present(map(codeable_concept, study.reasons)),
        }

    def anatomy(self, series: ArchivedSeries) -> Json:
        """Body site and side, codes only: a Coding has no text, and one without a system is not written.

        Words without a code describe the series where nothing else does, so that they are neither lost nor taken for a code.
        """
        site = body_site(series)
        coded = coding(site) if site else None
        words = site.display.strip() if site and coded is None else None
        return {
            "description": series.description or words,
            "bodySite": coded,
            "laterality": coding(series.laterality) if series.laterality else None,
        }

    def series_start(self, series: ArchivedSeries, study: ArchivedStudy) -> str | None:
        """As archived."""
        return series.started

    def withdrawn(self, status: Status, *, is_gone: bool) -> str:
        """As given."""
        return status.value


class R5Dialect(R4Dialect):
    """R5: CodeableConcepts and CodeableReferences, which hold words too; the accession number is the order's."""

    def modality(self, code: str) -> Json:
        """A CodeableConcept of CID 33."""
        return {"coding": [dcm_coding(code)]}

    def identifiers(self, uid: Json, accession: Json | None) -> list[Json]:
        """The UID alone; the accession number is in ``basedOn.identifier``."""
        return [uid]

    def procedures_and_reasons(self, study: ArchivedStudy) -> Json:
        """``procedure`` and ``reason``."""
        return {
            "procedure": _present(map(codeable_reference, study.procedures)),
            "reason": _present(map(codeable_reference, study.reasons)),
        }

    def anatomy(self, series: ArchivedSeries) -> Json:
        """Codes, or words as text."""
        site = body_site(series)
        return {
            "description": series.description,
            "bodySite": codeable_reference(site) if site else None,
            "laterality": codeable_concept(series.laterality) if series.laterality else None,
        }


class R6Dialect(R5Dialect):
    """R6: several body sites, SOP class as an OID, and a status for what is no longer there."""

    def sop_class(self, uid: str) -> Json | str:
        """An ``oid``."""
        return to_urn(uid)

    def anatomy(self, series: ArchivedSeries) -> Json:
        """``bodySite`` is 0..* since the snapshot of September 2026."""
        anatomy = super().anatomy(series)
        return {**anatomy, "bodySite": [anatomy["bodySite"]] if anatomy["bodySite"] else None}

    def series_start(self, series: ArchivedSeries, study: ArchivedStudy) -> str | None:
        """Not where it lies before the study's own, which R6 forbids and modalities with clocks of their own do."""
        return None if series.started and study.started and _is_before(series.started, study.started) else series.started

    def withdrawn(self, status: Status, *, is_gone: bool) -> str:
        """A study that the archive has no more is inactive; one that stood in a wrong chart was an error, there as before."""
        return "inactive" if is_gone else status.value


_R4 = R4Dialect()
DIALECTS: Mapping[FhirVersion, R4Dialect] = {
    FhirVersion.R4: _R4,
    FhirVersion.R4B: _R4,
    FhirVersion.R5: R5Dialect(),
    FhirVersion.R6: R6Dialect(),
}


def uid_identifier(uid: str) -> Json:
    """The Study Instance UID as an Identifier."""
    return {"system": DICOM_UID_SYSTEM, "value": to_urn(uid)}


def accession_identifier(accession: str, system: str | None) -> Json:
    """An accession number as an Identifier; without a system it means nothing outside the archive."""
    kind = {"coding": [{"system": IDENTIFIER_TYPES, "code": "ACSN"}]}
    return stated({"type": kind, "system": system, "value": accession})


def modalities(study: ArchivedStudy, dialect: R4Dialect) -> list[Json]:
    """All of the study, acquisitions first (X15)."""
    return [dialect.modality(code) for code in study.modalities or (UNKNOWN_MODALITY,)]


def availability_extension(study: ArchivedStudy) -> list[Json]:
    """How soon the images can be had, where that is not at once; of an archive that does not say, nothing is said."""
    stated = study.availability
    return [] if stated in (None, InstanceAvailability.ONLINE) else [{"url": AVAILABILITY, "valueCode": stated.value}]


def series_element(series: ArchivedSeries, dialect: R4Dialect, *, with_instances: bool = True, **more: object) -> Json:
    """A series; ``more`` are elements that its writer says in a way of its own."""
    made = {
        "uid": series.uid,
        "number": series.number,
        "modality": dialect.modality(series.modality or UNKNOWN_MODALITY),
        "description": series.description,
        "numberOfInstances": series.instance_count,
        "started": series.started,
        "instance": [_instance(one, dialect) for one in series.instances if with_instances],
        **more,
    }
    return stated(made)


def body_site(series: ArchivedSeries) -> Concept | None:
    """The coded body site, else the archive's words for it."""
    return series.body_site or (Concept(series.body_part) if series.body_part else None)


def _instance(instance: ArchivedInstance, dialect: R4Dialect) -> Json:
    return stated({"uid": instance.uid, "sopClass": dialect.sop_class(instance.sop_class), "number": instance.number})


def _is_before(one: str, other: str) -> bool:
    """By the day as written where one of them has no time."""
    if "T" in one and "T" in other:
        return datetime.fromisoformat(one) < datetime.fromisoformat(other)
    return one[:10] < other[:10]


def _present(elements: Iterable[Json | None]) -> list[Json]:
    return [one for one in elements if one]
