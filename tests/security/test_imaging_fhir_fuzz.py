"""Anything in the query of a FHIR search ends in an answer of ours: never a 500, never another patient's study."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_imaging.fhir_mapping.imaging_study import StudyContext, imaging_study
from fhir_imaging.study_reading import archived_instance, archived_series, archived_study
from imaging_server.fhir_contents import with_instances, with_series
from imaging_server.fhir_search import OFFERED
from tests.contract.imaging_fhir_actors import CT_A, CT_B, MR_A, ImagingFhir, an_imaging_fhir
from tests.examples import examples

fuzzed = settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(max_size=20).map(lambda raw: quote(raw, safe=""))
names = st.one_of(st.sampled_from([*sorted(OFFERED), "page", "patient:Patient", "_revinclude", "_has:x"]), texts)
values = st.one_of(
    texts,
    st.sampled_from(
        ["pat-a", "Patient/pat-a", "pat-b", CT_A, f"urn:oid:{CT_A}", f"urn:dicom:uid|urn:oid:{CT_B}", "CT", "|", "\\"]
    ),
    st.sampled_from(["gt2026-01-01", "le0001-01-01", "9999-12-31", "9999", "0001", "sa2026-10-01T00:00:00+14:00", "-started"]),
    st.from_regex(r"[a-z]{2}[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})", fullmatch=True),
    st.integers(-5, 10**12).map(str),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagingFhir]:
    with an_imaging_fhir(tmp_path_factory.mktemp("fhir"), server={"decision_cache_s": 30.0}) as running:
        yield running


@fuzzed
@given(pairs=st.lists(st.tuples(names, values), max_size=5), lenient=st.booleans())
def test_any_parameters_are_answered_within_the_patient(
    world: ImagingFhir, pairs: list[tuple[str, str]], lenient: bool
) -> None:
    query = "&".join(f"{name}={value}" for name, value in [("patient", "pat-a"), *pairs])
    prefer = {"Prefer": "handling=lenient"} if lenient else {}

    answer = world.ask(f"/ImagingStudy?{query}", world.north.token(jti="the one token"), **prefer)

    assert answer.status in (200, 400, 403, 406)
    if answer.status == 200:
        named = [one["fullUrl"] for one in answer.json().get("entry", ())]
        assert not [one for one in named if one.endswith(CT_B)]


@fuzzed
@given(raw=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=60))
def test_any_bytes_in_the_query_are_answered(world: ImagingFhir, raw: str) -> None:
    answer = world.ask(f"/ImagingStudy?{raw}", world.north.token(jti="the one token"))

    assert answer.status in (400, 403, 406)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=12)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TAGS = (
    *("00080020", "00080030", "00080201", "00080050", "00081030", "00080061", "00201206", "00201208", "00080060", "00200011"),
    *("0008103E", "00180015", "00201209", "00080021", "00080031", "00080018", "00080016", "00200013"),
)
datasets = st.dictionaries(
    st.sampled_from(TAGS),
    st.one_of(
        json_values,
        st.lists(json_values, max_size=3).map(lambda one: {"Value": one}),
        st.sampled_from(
            [{"Value": [one]} for one in ("20260101", "00010101", "235960", "10", "+1400", "-1200", "CT", "1.2.3", "-5", "007")]
        ),
    ),
    max_size=8,
)


@settings(max_examples=examples(300), deadline=None)
@given(study=datasets, series=datasets, instance=datasets)
def test_whatever_an_archive_says_becomes_valid_fhir(study: dict, series: dict, instance: dict) -> None:  # type: ignore[type-arg]
    """F3: FHIR's own model is strict, so that a resource which it takes is valid R4."""
    own = {"0020000D": {"Value": [MR_A]}}
    found = archived_study({**study, **own}, "main")
    assert found is not None
    of_series = {**series, **own, "0020000E": {"Value": ["2.25.1"]}}
    of_instance = {**instance, **own, "0020000E": {"Value": ["2.25.1"]}}

    whole = with_instances(with_series(found, [("main", [of_series])]), [of_instance])

    assert archived_series(of_series, "main") is not None
    assert archived_instance(of_instance) is None or whole.series[0].instances
    made = imaging_study(whole, StudyContext(subject="http://ehr.example/Patient/1", last_updated="2026-01-01T00:00:00.000Z"))
    assert made["modality"]
