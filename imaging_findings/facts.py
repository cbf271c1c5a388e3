"""Which FHIR resources carry imaging findings here, and what they must look like.

This page is the contract for everybody who *writes* findings (the DICOM SR importer, the demo's patients, an EHR's interface
engine). Readers are tolerant: an odd resource becomes a ``Problem``, never an exception, and never hides the others.

**Every Observation**

- ``status``: ``final``, ``amended`` or ``corrected`` = signed by a person. ``preliminary`` *with* ``device`` = an unsigned AI
  result. ``preliminary`` without ``device`` is somebody's unfinished reading and says nothing. Everything else is left out.
- ``subject.reference`` = ``Patient/{id}`` of the patient in context; another patient's resource is a ``Problem``.
- ``effectiveDateTime`` = when the **images** were taken (due dates count from it); ``issued`` = when it was signed.
- ``derivedFrom`` (or ``partOf``) = ``{"reference": "ImagingStudy/{id}"}``, the study it was seen on.
- ``performer`` = who signed (``display`` is shown). AI: ``device`` = ``{"reference": "Device/…",
  "display": "name version"}`` and no performer.
- The slice (AI deep link), optional, an extension of the Observation; each UID is a ``valueOid`` with ``urn:oid:``::

      {"url": "https://imaging-cds.example/fhir/StructureDefinition/imaging-selection", "extension": [
        {"url": "study", "valueOid": "urn:oid:2.25.1"}, {"url": "series", "valueOid": "urn:oid:2.25.2"},
        {"url": "instance", "valueOid": "urn:oid:2.25.3"}]}

- A recommendation that the reader coded (shown first, before any guideline), optional components: DCM 111055
  *Recommended Follow-up Interval* = ``valueQuantity`` (UCUM ``d``, ``wk``, ``mo`` or ``a``) or ``valueRange`` of such;
  DCM 111054 *Recommended Follow-up Date* = ``valueDateTime``.

**(a) Lung-RADS category** (screening; radiologist or AI)::

    code                 http://snomed.info/sct | 1362105002
    valueCodeableConcept https://imaging-cds.example/fhir/CodeSystem/lung-rads | version "2022" | 0 1 2 3 4A 4B 4X
    component[]          (optional) the most suspicious nodule, with the component codes of (b)
    component[]          (optional, for stepped management) {nodule}|previous-category: category and version of the examination
                         before, as above; {nodule}|previous-examination-date: valueDateTime of its images
    component[]          (optional, one each) {nodule}|feature: valueCodeableConcept {nodule}|a word of codes.NODULE_FEATURES
    component[]          (optional) modifier S: code of the same system | S, valueBoolean true

``version`` is required: without it no interval is computed.

**(b) Incidental pulmonary nodule** (Fleischner)::

    code                 http://snomed.info/sct | 427359005 (solitary nodule of lung: count is 1 unless a component says more)
                         or 27925004 (nodule) with bodySite in the lung:
                         39607008, 45653009, 44714003, 72481006, 90572001 (SCT)
    method               https://imaging-cds.example/fhir/CodeSystem/follow-up-guideline | version "2017" | fleischner
    component[] code -> value
      SCT 81827009 diameter (mean of long and short axis)  valueQuantity, UCUM mm (cm is converted)
        or SCT 103339001 long axis + 103340004 short axis  valueQuantity; the mean is taken
      {nodule}|attenuation                                 valueCodeableConcept {nodule}|solid, part-solid or ground-glass
                                                           (DCM 112120 is read as ground-glass)
      {nodule}|solid-part-diameter                         valueQuantity mm (part-solid only)
      SCT 246206008 number of lesions                      valueInteger
      {nodule}|malignancy-risk                             valueCodeableConcept SCT 75976002 low or SCT 15508007 high
      {nodule}|change                                      valueCodeableConcept {nodule}|baseline, new, growing or stable
      {nodule}|previous-diameter                           valueQuantity mm (with change)
    hasMember[]          Observations with these codes: components of the group, which may be DCM 121071 with a nodule as value

``{nodule}`` = ``https://imaging-cds.example/fhir/CodeSystem/nodule``. Without ``method`` a nodule is reported as it is and no
interval is computed (the guideline and its version must be coded); without risk both rows are shown. A nodule of a study that
also has (a) is the screening's, and Fleischner is never applied to it.

**(c) AI results**: shape (a) or (b) with ``status`` ``preliminary`` and ``device``; same ``derivedFrom`` study, with the slice.
An AI result says nothing of its own once the same study has a signed one: both are then shown together.

**(d) A finding that must be communicated** (critical results; ACR categories 1 to 3). Either an Observation::

    code                 SCT 59282003 pulmonary embolism, 36118008 pneumothorax or 1386000 intracranial haemorrhage,
                         with no value, valueBoolean true or a value of SCT 52101004 present / 10828004 positive
                         or DCM 121071 Finding, with the finding's SNOMED or RadLex code as valueCodeableConcept
    interpretation,      RadLex RID49480, RID49481 or RID49482: the reader's own category 1, 2 or 3
      category, value
      or component[]
    issued               the instant of signing with its zone; without it nothing is critical

or the same codes in ``DiagnosticReport.conclusionCode`` (``issued`` of the report then counts). That somebody was told: a
Communication (``status`` completed, ``sent`` or ``received``, ``recipient``) whose ``about`` names the Observation, the report
or the ImagingStudy; or a signed Observation LOINC 73568-8 with valueString (quoted; it counts where it tells of a call) and
``issued``, whose ``derivedFrom`` names the study. About report or study, it counts for what was issued before. What denies the
finding in code (interpretation ``NEG`` or ``ND``, a value "absent", false) is not there. ``bodySite`` and side are shown.

**(e) Assessments that table packs read**::

    code                 {assessment}|bi-rads, li-rads-ct-mr, us-li-rads, ti-rads, pi-rads, o-rads-us, bosniak, adrenal-nodule
                         or abdominal-aorta
    valueCodeableConcept the category, in https://imaging-cds.example/fhir/CodeSystem/{that name} with its version: bi-rads "5",
                         li-rads-ct-mr "2018", us-li-rads "2017", ti-rads "2017", pi-rads "2.1", o-rads-us "2022",
                         bosniak "2019"; or SNOMED's BI-RADS findings, or RadLex's PI-RADS (version by DCM 130564/130565)
    method               the guideline with its version, where the value names none: adrenal-nodule needs
                         {guideline}|adrenal-acr|2017; abdominal-aorta may name {guideline}|aaa-acr|2013 or |aaa-svs|2018
    component[]          {assessment}|max-diameter (or SCT 81827009) mm, |points valueInteger, |attenuation-hu [hnsf'U];
                         |at-risk, |macroscopic-fat, |stable-one-year, |cancer-history, |symptomatic valueBoolean;
                         |lesion valueCodeableConcept {assessment}|haemorrhagic-cyst, |menopausal-state valueCodeableConcept
                         {assessment}|premenopausal or |postmenopausal; laterality as coded value

Echoed as the reader's word, with no rule behind them: {assessment}|cad-rads with a value of CID 3020 or 3021; DCM 111053
*Recommended Follow-up* with a value of CID 6028 or 6029, as a component of a BI-RADS result or as an Observation of its own.

``{assessment}`` = ``https://imaging-cds.example/fhir/CodeSystem/imaging-assessment``. ``DiagnosticReport.conclusionCode`` may
state the same categories, a Lung-RADS category as in (a), and that there is a nodule (SCT 427359005).

**Beside them** (all optional but Patient): Patient.birthDate; DiagnosticReport (``imagingStudy`` or ``result`` names the study
or finding; ``conclusion`` is quoted, never computed from); ImagingStudy (identifier ``urn:dicom:uid``, started, modality,
series.bodySite or procedureCode); ServiceRequest (LOINC code, status, authoredOn); Observation LOINC 72166-2 tobacco smoking
status (valueCodeableConcept, shown as evidence only); Condition (clinicalStatus, ICD-10 or SNOMED code: exclusions of
Fleischner).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imaging_findings.actionable_reading import read_actionable, read_actionable_report
from imaging_findings.assessment_codes import ASSESSMENT, TITLES
from imaging_findings.assessment_reading import read_assessment, read_report_assessments
from imaging_findings.communications import CommunicationFacts, read_communication, read_section
from imaging_findings.concluded import read_report_findings, with_concluded
from imaging_findings.findings import Finding, Problem
from imaging_findings.history import (
    ConditionFacts,
    OrderFacts,
    PatientFacts,
    ReportFacts,
    StudyFacts,
    read_condition,
    read_order,
    read_patient,
    read_report,
    read_smoking,
    read_study_facts,
)
from imaging_findings.linking import placed, places_of_members
from imaging_findings.members import MEASURED, with_members
from imaging_findings.mentions import may_be_told_of
from imaging_findings.observations import read_finding
from imaging_findings.own_resources import Owner, own_resources, read_each
from imaging_findings.panels import with_categories
from imaging_findings.study_table import SiteStudies

PATIENT_ID_TOKEN = "{{context.patientId}}"  # noqa: S105 - a CDS Hooks prefetch token, not a secret
ENCOUNTER_ID_TOKEN = "{{context.encounterId}}"  # noqa: S105


@dataclass(frozen=True, slots=True)
class FactQuery:
    """One FHIR read or search. ``template`` is a CDS Hooks 2.0 prefetch template: plain tokens, each parameter once.

    Spec: CDS Hooks 2.0 "Prefetch template"; a repeated parameter collapses in the public sandbox client.
    """

    key: str
    resource_type: str
    template: str
    required: bool
    meaning: str

    def path_for(self, patient_id: str, encounter_id: str = "") -> str:
        """The template with the logical ids filled in; the caller has checked their grammar."""
        return self.template.replace(PATIENT_ID_TOKEN, patient_id).replace(ENCOUNTER_ID_TOKEN, encounter_id)


_PATIENT = f"patient={PATIENT_ID_TOKEN}"

QUERIES: tuple[FactQuery, ...] = (
    FactQuery("patient", "Patient", f"Patient/{PATIENT_ID_TOKEN}", True, "age at the study"),
    FactQuery(
        "findings",
        "Observation",
        f"Observation?{_PATIENT}&code=http://snomed.info/sct|1362105002,http://snomed.info/sct|27925004,"
        "http://snomed.info/sct|427359005,http://snomed.info/sct|59282003,http://snomed.info/sct|36118008,"
        "http://snomed.info/sct|1386000,http://dicom.nema.org/resources/ontology/DCM|121071,"
        "http://dicom.nema.org/resources/ontology/DCM|111053,http://loinc.org|73568-8,"
        f"{','.join(f'{ASSESSMENT}|{name}' for name in TITLES)},"
        f"{','.join(f'{one.system}|{one.code}' for one in MEASURED)}&_sort=-date&_count=200",
        True,
        "coded imaging findings",
    ),
    FactQuery(
        "reports",
        "DiagnosticReport",
        f"DiagnosticReport?{_PATIENT}&category=http://terminology.hl7.org/CodeSystem/v2-0074|RAD,http://loinc.org|LP29684-5,"
        "http://loinc.org|85430-7&_sort=-date&_count=50",
        False,
        "radiology reports",
    ),
    FactQuery(
        "orders",
        "ServiceRequest",
        f"ServiceRequest?{_PATIENT}&status=draft,active,on-hold&_sort=-authored&_count=100",
        False,
        "open orders",
    ),
    FactQuery("studies", "ImagingStudy", f"ImagingStudy?{_PATIENT}&_sort=-started&_count=100", False, "imaging studies"),
    FactQuery(
        "smoking",
        "Observation",
        f"Observation?{_PATIENT}&code=http://loinc.org|72166-2&_sort=-date&_count=5",
        False,
        "tobacco smoking status",
    ),
    FactQuery("conditions", "Condition", f"Condition?{_PATIENT}&_count=200", False, "conditions"),
    FactQuery(
        "communications",
        "Communication",
        f"Communication?{_PATIENT}&status=completed&_sort=-sent&_count=50",
        False,
        "communications of critical results",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the rules may know of one patient. ``unavailable`` and ``partial`` name query keys that did not come (whole)."""

    patient: PatientFacts
    findings: tuple[Finding, ...] = ()
    actionable: tuple[Finding, ...] = ()
    """Findings that a site's policy may ask to communicate, of Observations and of reports."""
    assessments: tuple[Finding, ...] = ()
    """Categories and measurements that table packs read, of Observations and of reports."""
    communications: tuple[CommunicationFacts, ...] = ()
    studies: tuple[StudyFacts, ...] = ()
    orders: tuple[OrderFacts, ...] = ()
    reports: tuple[ReportFacts, ...] = ()
    """Signed reports that name a study or a finding, or whose words may state a category: no rule can reach another one."""
    conditions: tuple[ConditionFacts, ...] = ()
    smoking: str | None = None
    problems: tuple[Problem, ...] = ()
    unavailable: frozenset[str] = frozenset()
    partial: frozenset[str] = frozenset()

    def study_of(self, finding: Finding) -> StudyFacts | None:
        """The study that a finding was seen on, where it came."""
        return next((study for study in self.studies if study.reference == finding.study_reference), None)

    def reports_of(self, finding: Finding) -> tuple[ReportFacts, ...]:
        """The signed reports that name the finding or its study."""
        wanted = finding.study_reference
        return tuple(one for one in self.reports if finding.reference in one.results or (wanted and wanted in one.studies))


def read_facts(
    resources: Mapping[str, Sequence[Mapping[str, Any]] | None],
    patient_id: str,
    *,
    partial: frozenset[str] = frozenset(),
    bases: Collection[str] = (),
    site: SiteStudies | None = None,
) -> Facts:
    """The facts in the answers to ``QUERIES``, by key; None (or a missing key) = that query could not be answered.

    ``bases``: the FHIR bases whose logical ids are meant; an absolute subject elsewhere is another person. ``site``: the site's
    own examination codes. Never raises over content: what cannot be used stands in ``problems``.
    """
    problems: list[Problem] = []
    patient = PatientFacts(patient_id=patient_id)
    for resource in _of(resources, "patient"):
        found = read_patient(resource, patient_id)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            patient = found

    def own(key: str, resource_type: str) -> Iterator[Mapping[str, Any]]:
        return own_resources(_of(resources, key), Owner(resource_type, patient_id, bases), problems)

    told = read_each(own("communications", "Communication"), read_communication, problems)
    observations = list(own("findings", "Observation"))
    told += read_each(observations, read_section, problems)
    smoking = read_each(own("smoking", "Observation"), read_smoking, problems)
    sent_reports = list(own("reports", "DiagnosticReport"))
    reports = read_each(filter(may_be_told_of, sent_reports), read_report, problems)
    members = places_of_members(observations)
    # Most reports code no conclusion, and there may be many.
    concluded = [one for one in sent_reports if one.get("conclusionCode")]
    assessed = read_each(observations, read_assessment, problems)
    assessed += [one for many in map(read_report_assessments, concluded) for one in many]
    actionable = read_each(observations, read_actionable, problems)
    actionable += read_each(concluded, read_actionable_report, problems)
    lungs = with_categories(with_members(observations, bases))
    findings = read_each(lungs, lambda one: read_finding(one, patient_id), problems)
    conclusions = [one for many in map(read_report_findings, concluded) for one in many]
    return Facts(
        patient=patient,
        findings=with_concluded(placed(findings, members, reports), conclusions, reports),
        actionable=placed(actionable, members, reports),
        assessments=placed(assessed, members, reports),
        communications=tuple(told),
        studies=tuple(read_each(own("studies", "ImagingStudy"), lambda one: read_study_facts(one, site), problems)),
        orders=tuple(read_each(own("orders", "ServiceRequest"), lambda one: read_order(one, site), problems)),
        reports=tuple(reports),
        conditions=tuple(read_each(own("conditions", "Condition"), read_condition, problems)),
        smoking=smoking[0] if smoking else None,
        problems=tuple(dict.fromkeys(problems)),
        unavailable=frozenset(query.key for query in QUERIES if resources.get(query.key) is None),
        partial=partial,
    )


def _of(resources: Mapping[str, Sequence[Mapping[str, Any]] | None], key: str) -> Sequence[Mapping[str, Any]]:
    return resources.get(key) or ()
