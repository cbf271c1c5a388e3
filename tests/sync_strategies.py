"""Studies as archives tell them once they are read: any combination of what is known, for tests of whatever is made of them."""

from __future__ import annotations

from hypothesis import strategies as st

from fhir_imaging.archived_study import MAX_NUMBER, ArchivedInstance, ArchivedSeries, ArchivedStudy, PatientNumber
from fhir_imaging.concept import Concept
from fhir_imaging.fhir_mapping.synced_study import SyncedContext
from fhir_imaging.fhir_versions import Status
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from imaging_findings import codes
from imaging_findings.body_parts import body_parts

_ARCHIVES = ("main", "second")
_SIDES = tuple(codes.concept(codes.SNOMED, code) for code in ("24028007", "7771000", "51440002"))
_SITES = tuple(part.code for part in body_parts().values())

uids = st.lists(st.integers(0, 10**9), min_size=1, max_size=6).map(lambda parts: "1.2." + ".".join(map(str, parts)))
words = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=30).map(str.strip).filter(bool)
"""What reading leaves of a text: printable, without blanks around it, never empty."""
starts = st.one_of(
    st.dates().map(lambda day: day.isoformat()),
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds") + "+01:00"),
)
modality_codes = st.sampled_from(("CT", "MR", "US", "CR", "MG", "PT", "SR", "SEG", "PR", "KO", "OT"))
concepts = st.one_of(
    words.map(Concept),
    st.builds(
        lambda display, code: Concept(display, "urn:example:codes", code), words, words.map(lambda word: word.split()[0])
    ),
)
"""Words, or a code of a system that nobody else knows."""
instances = st.builds(
    ArchivedInstance,
    uid=uids.map(SopInstanceUID),
    sop_class=uids,
    number=st.none() | st.integers(0, MAX_NUMBER),
)


def _concept_of(code: codes.Code) -> Concept:
    return Concept(code.display, code.system, code.code)


series = st.builds(
    ArchivedSeries,
    uid=uids.map(SeriesInstanceUID),
    archives=st.just(_ARCHIVES[:1]),
    number=st.none() | st.integers(0, MAX_NUMBER),
    modality=st.none() | modality_codes,
    description=st.none() | words,
    body_part=st.none() | words | st.sampled_from(("CHEST", "Knie", "chest/abd/pelvis")),
    started=st.none() | starts,
    instance_count=st.none() | st.integers(0, MAX_NUMBER),
    instances=st.lists(instances, max_size=3, unique_by=lambda one: one.uid).map(tuple),
    body_site=st.none() | st.sampled_from(_SITES).map(_concept_of),
    laterality=st.none() | st.sampled_from(_SIDES).map(_concept_of),
)
patient_numbers = st.builds(PatientNumber, number=words, issuer=st.none() | words, universal_issuer=st.none() | words)
studies = st.builds(
    ArchivedStudy,
    uid=uids.map(StudyInstanceUID),
    archives=st.just(_ARCHIVES[:1]),
    started=st.none() | starts,
    accession=st.none() | words,
    description=st.none() | words,
    listed_modalities=st.lists(modality_codes, max_size=3, unique=True).map(tuple),
    series_count=st.none() | st.integers(0, MAX_NUMBER),
    instance_count=st.none() | st.integers(0, MAX_NUMBER),
    series=st.lists(series, max_size=3, unique_by=lambda one: one.uid).map(tuple),
    patients=st.lists(patient_numbers, max_size=1).map(tuple),
    accession_issuer=st.none() | words,
    referrer=st.none() | words,
    procedures=st.lists(concepts, max_size=2).map(tuple),
    reasons=st.lists(concepts, max_size=2).map(tuple),
)
"""Studies in order: of one person, or of nobody."""
contexts = st.builds(
    SyncedContext,
    patient_id=st.from_regex(r"[A-Za-z0-9.-]{1,64}", fullmatch=True),
    patient_system=st.just("urn:example:mrn"),
    patient_number=words,
    status=st.sampled_from(Status),
    source=st.just("urn:imaging-cds:sync:main"),
    endpoints=st.sampled_from(((), ("Endpoint/main",), ("Endpoint/main", "Endpoint/second"))),
    accession_system=st.none() | st.just("urn:example:accession"),
    order=st.none() | st.just("ServiceRequest/1"),
    resource_id=st.none() | uids.map(lambda uid: uid[:64]),
    with_instances=st.booleans(),
)
