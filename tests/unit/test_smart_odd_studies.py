"""A malformed study is one readable row and hides nobody (issue 4; SMART Imaging Access C5): any JSON in any place."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_imaging.endpoints import BundleResources
from smart_app.study_list import ListContext, build_study_list
from smart_app.study_search import FoundStudies
from tests.contract.smart_actors import PATIENT, STUDY_A, imaging_study, wado_endpoint
from tests.examples import examples

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["coding", "code", "display", "reference", "system", "value", "uid", "concept", "url"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = st.sampled_from(sorted([*imaging_study(), "contained", "reasonCode", "procedure", "basedOn", "extension"]))
CONTEXT = ListContext(
    patient_id=PATIENT,
    patient_bases=("https://ehr.example/fhir",),
    token_receivers=frozenset({"http://localhost:8000"}),
)


@settings(max_examples=examples(150))
@given(
    changes=st.dictionaries(FIELDS, JSON, max_size=5), endpoint=st.dictionaries(st.sampled_from(sorted(wado_endpoint())), JSON)
)
def test_any_study_is_a_row_a_problem_or_blocked_and_the_others_stay(changes: dict[str, Any], endpoint: dict[str, Any]) -> None:
    odd = imaging_study("2.25.9", study_id="odd", endpoint=[{"reference": "Endpoint/odd"}]) | changes
    endpoints = {"Endpoint/demo-wado": wado_endpoint(), "Endpoint/odd": wado_endpoint() | endpoint}
    found = FoundStudies(resources=(odd, imaging_study()), endpoints=BundleResources({}, endpoints))

    studies = build_study_list(found, (), CONTEXT)

    (good,) = [row for row in studies.rows if row.study_instance_uid == STUDY_A and row.resource_id == "study-a"]
    assert good.can_open
    cancelled = changes.get("status") in ("entered-in-error", "cancelled")
    assert len(studies.rows) + len(studies.unreadable) + studies.blocked == (1 if cancelled else 2)
    assert all(one.problem for one in studies.unreadable)
