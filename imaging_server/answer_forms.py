"""What EHRs answered, as JSON for the shared database and back; what another version wrote there reads as an error.

Only yes-answers are written: who was refused is asked about again.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fhir_imaging.scopes import ClinicalScope, GrantedScopes, ScopeContext
from fhir_imaging.uids import study_uid
from imaging_server.access import AccessGrant, FhirPatientId
from imaging_server.iua import Coding, IuaClaims
from imaging_server.ownership import PatientStudies
from imaging_server.policy import StudyFacts
from imaging_server.shared_decisions import Form

_PLAIN = ("ehr", "issuer", "user", "client_id", "expires_at", "token_reference")


def write_grant(grant: AccessGrant) -> dict[str, Any]:
    """The grant without its revision, which each worker finds for itself."""
    scopes = [[one.context.value, one.resource_type, sorted(one.letters), one.filters] for one in grant.scopes.clinical]
    return {
        **{name: getattr(grant, name) for name in _PLAIN},
        "patient_id": grant.patient_id,
        "scopes": scopes,
        "other_scopes": sorted(grant.scopes.other),
        "iua": asdict(grant.iua),
    }


def read_grant(written: Any) -> AccessGrant:
    """The grant that ``write_grant`` wrote."""
    patient = written["patient_id"]
    return AccessGrant(
        **{name: written[name] for name in _PLAIN},
        patient_id=None if patient is None else FhirPatientId(patient),
        scopes=GrantedScopes(tuple(_scope(*one) for one in written["scopes"]), frozenset(written["other_scopes"])),
        iua=_iua(written["iua"]),
    )


def _scope(context: str, resource_type: str, letters: list[str], filters: list[list[str]]) -> ClinicalScope:
    return ClinicalScope(
        ScopeContext(context), resource_type, frozenset(letters), tuple((name, value) for name, value in filters)
    )


def _iua(written: dict[str, Any]) -> IuaClaims:
    codings = {name: tuple(Coding(**one) for one in written[name]) for name in ("subject_role", "purpose_of_use")}
    return IuaClaims(**{**written, **codings})


def _write_facts(facts: StudyFacts) -> list[Any]:
    return [facts.study, sorted(facts.modalities)]


def _read_facts(written: Any) -> StudyFacts:
    study, modalities = written
    return StudyFacts(study=study_uid(study), modalities=frozenset(modalities))


def _write_studies(found: PatientStudies) -> dict[str, Any]:
    return {"studies": [_write_facts(one) for one in found.studies], "complete": found.complete}


def _read_studies(written: Any) -> PatientStudies:
    return PatientStudies(tuple(_read_facts(one) for one in written["studies"]), complete=written["complete"] is True)


def _read_numbers(written: Any) -> frozenset[str]:
    return frozenset(str(one) for one in written)


STUDY: Form[StudyFacts] = Form("study", _write_facts, _read_facts)
STUDIES: Form[PatientStudies] = Form("studies", _write_studies, _read_studies)
NUMBERS: Form[frozenset[str]] = Form("numbers", sorted, _read_numbers)
