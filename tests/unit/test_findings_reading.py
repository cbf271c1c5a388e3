"""Resources into facts: the shapes that ``imaging_findings.facts`` fixes, and nothing that an odd resource could break."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds_service.wording import detail_of, summary_of
from imaging_findings.denial import INTERPRETATION
from imaging_findings.facts import QUERIES, Facts, read_facts
from imaging_findings.findings import Attenuation, Author, Change, Finding, Kind, Problem, Risk
from imaging_findings.guidance import judge
from imaging_findings.observations import read_finding
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Urgency
from tests.cds_actors import (
    DCM,
    LOINC,
    LUNG_RADS,
    NODULE,
    NOW,
    SCT,
    a_condition,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_report,
    a_study,
    an_ai_lung_rads,
    an_observation,
    an_order,
    concept,
    millimetres,
    nodule_components,
)
from tests.examples import examples


def a_finding(resource: dict[str, Any]) -> Finding:
    finding = read_finding(resource, "p")
    assert isinstance(finding, Finding)
    return finding


def test_lung_rads_observation() -> None:
    finding = a_finding(a_lung_rads("4A", component=nodule_components(9.0, "solid", change="growing")))

    assert (finding.kind, finding.author, finding.category) == (Kind.LUNG_RADS, Author.PERSON, "4A")
    assert finding.scheme is not None
    assert finding.scheme.version == "2022"
    assert finding.signed_by == "Dr Synthetic Radiologist"
    assert finding.study_reference == "ImagingStudy/study"
    assert str(finding.study_date) == "2026-10-01"
    assert (finding.nodule.diameter_mm, finding.nodule.change) == (9.0, Change.GROWING)


def test_nodule_observation() -> None:
    component = nodule_components(7.0, "part-solid", count=2, risk="high", solid_part=3.0)

    nodule = a_finding(a_nodule(component=component)).nodule

    assert (nodule.attenuation, nodule.diameter_mm, nodule.solid_part_mm) == (Attenuation.PART_SOLID, 7.0, 3.0)
    assert (nodule.count, nodule.risk) == (2, Risk.HIGH)


def test_a_solitary_nodule_is_one() -> None:
    assert a_finding(a_nodule()).nodule.count == 1


@pytest.mark.parametrize("site", ["3341006", "44029006"])
def test_a_nodule_of_the_right_or_left_lung_as_a_whole_is_one_of_the_lung(site: str) -> None:
    """Clinical rules 3.5: nodule site."""
    assert a_finding(a_nodule(code=concept(SCT, "27925004"), bodySite=concept(SCT, site))).kind is Kind.NODULE


def test_a_nodule_without_number_stays_without() -> None:
    finding = a_finding(a_nodule(code=concept(SCT, "27925004"), bodySite=concept(SCT, "39607008")))

    assert finding.nodule.count is None


@pytest.mark.parametrize(
    "denial",
    [
        {"interpretation": [concept(INTERPRETATION, "NEG")]},
        {"interpretation": [concept(INTERPRETATION, "ND")]},
        {"valueBoolean": False},
        {"valueCodeableConcept": concept(SCT, "2667000")},
    ],
)
def test_t9_a_nodule_that_is_denied_in_code_is_none(denial: dict[str, Any]) -> None:
    assert read_finding(a_nodule(7.0, "solid", **denial), "p") is None


def test_a_nodule_without_a_value_of_its_own_is_one_by_its_components() -> None:
    absent = {"dataAbsentReason": {"text": "the components say it"}}

    assert a_finding(a_nodule(7.0, "solid", **absent)).nodule.diameter_mm == 7.0


def test_a_nodule_of_another_organ_is_none_of_ours() -> None:
    assert read_finding(a_nodule(code=concept(SCT, "27925004"), bodySite=concept(SCT, "69748006")), "p") is None
    assert read_finding(a_nodule(code=concept(SCT, "27925004")), "p") is None


def test_ground_glass_by_its_dicom_code() -> None:
    component = [{"code": concept(NODULE, "attenuation"), "valueCodeableConcept": concept(DCM, "112120")}]

    assert a_finding(a_nodule(component=component)).nodule.attenuation is Attenuation.GROUND_GLASS


def test_long_and_short_axis_give_the_mean() -> None:
    component = [millimetres((SCT, "103339001"), 9.0), millimetres((SCT, "103340004"), 6.0)]

    assert a_finding(a_nodule(component=component)).nodule.diameter_mm == 7.5


@pytest.mark.parametrize(
    ("quantity", "mm"),
    [
        ({"value": 0.7, "code": "cm", "system": "http://unitsofmeasure.org"}, 7.0),
        ({"value": 7, "unit": "mm"}, 7.0),
        ({"value": 7, "code": "mm", "comparator": "<"}, None),
        ({"value": 7, "code": "[in_i]"}, None),
        ({"value": 7}, None),
        ({"value": "7", "code": "mm"}, None),
        ({"value": True, "code": "mm"}, None),
        ({"value": -7, "code": "mm"}, None),
        ({"value": float("inf"), "code": "mm"}, None),
        ({"value": 10**400, "code": "mm"}, None),
        ({"value": 7, "code": "mm", "system": "http://example.org"}, None),
        ([], None),
    ],
)
def test_sizes_are_read_strictly_in_their_unit(quantity: object, mm: float | None) -> None:
    component = [{"code": concept(SCT, "81827009"), "valueQuantity": quantity}]

    assert a_finding(a_nodule(component=component)).nodule.diameter_mm == mm


def test_both_risks_are_no_risk() -> None:
    both = {"coding": [{"system": SCT, "code": "75976002"}, {"system": SCT, "code": "15508007"}]}
    component = [{"code": concept(NODULE, "malignancy-risk"), "valueCodeableConcept": both}]

    assert a_finding(a_nodule(component=component)).nodule.risk is None


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled", "registered", "unknown", "preliminary", "", None, []])
def test_gg_only_signed_findings_of_a_person(status: object) -> None:
    assert read_finding(a_lung_rads("3", status=status), "p") is None


@pytest.mark.parametrize("status", ["final", "amended", "corrected"])
def test_gg_signed_states(status: str) -> None:
    assert a_finding(a_lung_rads("3", status=status)).author is Author.PERSON


def test_preliminary_with_a_device_is_an_unsigned_ai_result_with_its_slice() -> None:
    finding = a_finding(an_ai_lung_rads("4A"))

    assert (finding.author, finding.signed_by) == (Author.AI, "Synthetic Nodule AI 1.0")
    assert finding.selection is not None
    assert finding.selection.path == "studies/2.25.1001/series/2.25.1001.1/instances/2.25.1001.1.7"


@pytest.mark.parametrize("uid", ["", "urn:oid:", "urn:oid:../../x", "urn:oid:1.2\n", "2.25.1?x", 7])
def test_a_slice_with_an_odd_uid_is_no_slice(uid: object) -> None:
    extension = an_ai_lung_rads("4A")["extension"]
    extension[0]["extension"][1]["valueOid"] = uid

    finding = a_finding(an_ai_lung_rads("4A", extension=extension))

    # White space around a UID is trimmed; everything else that is no UID counts as absent.
    assert finding.selection is None or finding.selection.series == "1.2"


@pytest.mark.parametrize(
    "value",
    [
        concept(LUNG_RADS, "4C", "2022"),
        concept(LUNG_RADS, "4a", "2022"),
        concept("http://example.org", "probably benign", "2022"),
        {"text": "Lung-RADS 3"},
        {"coding": [{"system": LUNG_RADS, "code": code, "version": "2022"} for code in ("3", "4A")]},
        {"coding": [{}]},
        [],
        None,
    ],
)
def test_only_one_coded_category_counts(value: object) -> None:
    finding = a_finding(a_lung_rads("3", valueCodeableConcept=value))

    assert (finding.category, finding.scheme) == (None, None)


def test_gb_a_category_of_another_system_keeps_its_system_for_the_rules_to_judge() -> None:
    """Section 3.5: a pack answers only systems that it names (``test_findings_local_categories``)."""
    finding = a_finding(a_lung_rads("3", valueCodeableConcept=concept("http://example.org", "3", "2022")))

    assert finding.category == "3"
    assert finding.scheme is not None
    assert finding.scheme.system == "http://example.org"


@pytest.mark.parametrize("subject", [{"reference": "Patient/other"}, {"display": "Somebody"}, None, {"reference": "Patient/"}])
def test_another_patients_finding_is_a_problem_and_never_a_finding(subject: object) -> None:
    read = read_finding(a_lung_rads("3", subject=subject), "p")

    assert isinstance(read, Problem)


def test_references_may_be_absolute_or_versioned() -> None:
    references = {
        "subject": {"reference": "https://ehr.example.org/fhir/Patient/p/_history/3"},
        "derivedFrom": [{"reference": "https://ehr.example.org/fhir/ImagingStudy/study/_history/1"}],
    }

    assert a_finding(a_lung_rads("3", **references)).study_reference == "ImagingStudy/study"


def test_an_id_that_is_no_fhir_id_reaches_no_order() -> None:
    assert a_finding(a_lung_rads("3", id="<b>x")).reference == "Observation"


@pytest.mark.parametrize("stated", ["2026", "2026-10", "2026-02-30", "0001-01-01", "9999-12-31", "soon", 7, None])
def test_a_date_less_exact_than_a_day_is_no_day(stated: object) -> None:
    assert a_finding(a_lung_rads("3", effectiveDateTime=stated)).study_date is None


def test_one_odd_resource_does_not_hide_the_others() -> None:
    odd = {"resourceType": "ImagingStudy", "id": "odd", "subject": {"reference": "Patient/p"}}

    facts = read_facts({"patient": [a_patient()], "findings": [a_lung_rads("3")], "studies": [odd, a_study()]}, "p")

    assert [study.reference for study in facts.studies] == ["ImagingStudy/study"]
    assert [problem.reference for problem in facts.problems] == ["ImagingStudy/odd"]


def test_the_same_resource_twice_counts_once() -> None:
    assert len(read_facts({"findings": [a_lung_rads("3"), a_lung_rads("3")]}, "p").findings) == 1


def test_unanswered_queries_are_named() -> None:
    facts = read_facts({"patient": [a_patient()], "findings": [], "orders": None}, "p")

    assert facts.unavailable == {"reports", "orders", "studies", "smoking", "conditions", "communications"}


def test_another_patient_resource_gives_no_birth_date() -> None:
    facts = read_facts({"patient": [a_patient("other")]}, "p")

    assert facts.patient.birth_date is None
    assert [problem.reason for problem in facts.problems] == ["it is not the patient in context"]


def test_prefetch_templates_use_plain_tokens_and_each_parameter_once() -> None:
    """R10, R11, R13, R14; a repeated parameter collapses in the public sandbox client."""
    for query in QUERIES:
        resource_type, _, search = query.template.partition("?")
        names = [pair.partition("=")[0] for pair in search.split("&")] if search else []
        assert query.template.count("{{") == query.template.count("{{context.patientId}}") == 1
        assert len(set(names)) == len(names)
        assert not {name for name in names if ":" in name or "." in name}
        assert resource_type.partition("/")[0] == query.resource_type


OWN = "https://imaging-cds.example/fhir/CodeSystem"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
GOOD = [
    a_patient(),
    a_lung_rads("4A", component=nodule_components(9.0, "solid", change="growing")),
    a_nodule(),
    an_ai_lung_rads("3"),
    a_study(),
    an_order(),
    a_report("Recommend CT in 6 months."),
    a_condition(SCT, "93880001"),
    an_observation(code=concept(LOINC, "72166-2"), valueCodeableConcept={"text": "Smoker"}),
    an_observation(code=concept(SCT, "59282003"), issued="2026-11-21T08:00:00Z"),
    an_observation(
        code=concept(f"{OWN}/imaging-assessment", "ti-rads"),
        valueCodeableConcept=concept(f"{OWN}/ti-rads", "TR4", "2017"),
        component=[
            millimetres((f"{OWN}/imaging-assessment", "max-diameter"), 12),
            {"code": concept(f"{OWN}/imaging-assessment", "points"), "valueInteger": 5},
        ],
    ),
    a_report("BI-RADS 3. Discussed with Dr Ward.", issued="2026-11-21T08:00:00Z", conclusionCode=[concept(SCT, "59282003")]),
    {
        "resourceType": "Communication",
        "id": "told",
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "about": [{"reference": "ImagingStudy/study"}],
        "sent": "2026-11-21T08:30:00Z",
        "recipient": [{"display": "Dr Ward"}],
    },
]


@st.composite
def bent_resources(draw: st.DrawFn) -> dict[str, Any]:
    """A right resource with some members replaced by anything, at the top and one level below."""
    resource = dict(draw(st.sampled_from(GOOD)))
    for name in draw(st.lists(st.sampled_from(sorted(resource)), max_size=4)):
        value = resource[name]
        if isinstance(value, dict) and value and draw(st.booleans()):
            resource[name] = value | {draw(st.sampled_from(sorted(value))): draw(JSON)}
        elif isinstance(value, list) and value and draw(st.booleans()):
            resource[name] = [*value, draw(JSON)]
        else:
            resource[name] = draw(JSON)
    return resource


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(bent_resources(), max_size=5))
def test_no_resource_of_any_shape_breaks_the_reader_or_the_rules(resources: list[dict[str, Any]]) -> None:
    """Tolerant reading, T11: and whatever comes out, nothing is ordered where an input is missing."""
    facts = read_facts({query.key: resources for query in QUERIES}, "p")

    assert isinstance(facts, Facts)
    for guidance in judge(facts, bundled_packs(), NOW).guidance:
        if guidance.order is not None:
            assert guidance.finding.author is Author.PERSON
            assert set(guidance.missing) <= {"the patient's risk (low or high)"}
        assert 0 < len(summary_of(guidance)) <= 139
        assert detail_of(guidance, facts)
        assert guidance.urgency is not Urgency.CRITICAL or guidance.finding.author is Author.PERSON
