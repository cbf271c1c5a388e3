"""JSON as the service reads it (R1): no member twice where it decides anything, and nothing but JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.json_members import parsed
from fhir_imaging.store.engine import Store
from tests.cds_actors import CdsActor, a_cds_service, a_hook, a_store, whole_prefetch

SERVICE = "/cds-services/imaging-findings"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = a_store(tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cds(store: Store, tmp_path_factory: pytest.TempPathFactory) -> CdsActor:
    return a_cds_service(store, tmp_path_factory.mktemp("keys"))


REPEATED = {
    "hook": (b'"hook": "patient-view"', b'"hook": "order-sign", "hook": "patient-view"'),
    "patientId": (b'"patientId": "p"', b'"patientId": "other", "patientId": "p"'),
    "the same in an escape": (b'"patientId": "p"', b'"p\\u0061tientId": "other", "patientId": "p"'),
    "prefetch": (b'"prefetch": {', b'"prefetch": {}, "prefetch": {'),
    "a prefetch key": (b'"patient": {', b'"patient": null, "patient": {'),
    "context": (b'"context": {', b'"context" : {"patientId": "other"} , "context": {'),
    "deep in the context": (b'"encounterId": "e"', b'"encounterId": "e", "extension": {"a": [{"b": 1, "b": 2}]}'),
}


@pytest.mark.parametrize("case", REPEATED)
def test_r1_a_member_that_decides_may_not_stand_twice(cds: CdsActor, case: str) -> None:
    """RFC 8259: readers differ on which of two counts, and one of them may name another patient."""
    once, twice = REPEATED[case]
    raw = json.dumps(a_hook(whole_prefetch())).encode()
    assert once in raw

    response = cds.post(SERVICE, raw.replace(once, twice, 1))

    assert response.status_code == 400
    assert "twice in one object" in response.get_data(as_text=True)


def test_r1_feedback_with_a_member_twice_is_refused(cds: CdsActor) -> None:
    entry = b'{"feedback": [{"card": "a", "card": "b", "outcome": "overridden", "outcomeTimestamp": "2026-11-21T09:05:00Z"}]}'

    assert cds.post(f"{SERVICE}/feedback", entry).status_code == 400


def test_a_prefetched_resource_is_read_as_every_reader_reads_it(cds: CdsActor) -> None:
    raw = json.dumps(a_hook(whole_prefetch())).encode().replace(b'"birthDate": ', b'"birthDate": "x", "birthDate": ', 1)

    assert cds.post(SERVICE, raw).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b'{"a"}',
        b'{"a" 1}',
        b'{"a": 1,}',
        b'{"a": 1 "b": 2}',
        b"{1: 2}",
        b"{} x",
        b'{"a": }',
        b"{,}",
        b'{"prefetch": {"a": 1]}',
    ],
)
def test_r1_what_is_not_json_is_told_so(cds: CdsActor, raw: bytes) -> None:
    response = cds.post(SERVICE, raw)

    assert response.status_code == 400
    assert "not valid JSON" in response.get_data(as_text=True)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda some: st.lists(some) | st.dictionaries(st.text(), some)
    )
)
def test_r1_whatever_is_json_is_read_as_the_library_reads_it(value: object) -> None:
    for sent in (json.dumps(value), json.dumps({"prefetch": value, "context": value}, indent=1, ensure_ascii=False)):
        assert parsed(sent.encode("utf-8", "surrogatepass")) == json.loads(sent)
