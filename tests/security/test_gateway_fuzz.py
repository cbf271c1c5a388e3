"""Anything in path, query and headers ends in an answer of ours: never a 500, never another patient's study."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from flask import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imaging_server.rate_limit import RateLimitSettings
from tests.examples import examples
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import STUDY_A, STUDY_B, instance_of, is_index, series_of

fuzzed = settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(max_size=20)
uids = st.sampled_from(
    [STUDY_A, STUDY_B, series_of(STUDY_A), series_of(STUDY_B), instance_of(STUDY_A), instance_of(STUDY_B), "..", "1.2.3"]
)
segments = st.one_of(
    uids,
    st.sampled_from(
        ["studies", "series", "instances", "metadata", "frames", "1,2", "rendered", "bulkdata", "thumbnail", "", "."]
    ),
    texts.map(lambda raw: quote(raw, safe="")),
)
names = st.one_of(
    st.sampled_from(["PatientID", "00100020", "StudyInstanceUID", "0020000D", "includefield", "limit", "offset", "accept"]),
    texts.map(lambda raw: quote(raw, safe="")),
)
values = st.one_of(uids, st.sampled_from(["*", "all", "1", "-1", "true"]), texts.map(lambda raw: quote(raw, safe="")))
header_values = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With no limit to refusals, which a long run would reach."""
    limits = RateLimitSettings(refusals_per_minute=0.0)
    with a_world(tmp_path_factory.mktemp("gateway"), server={"rate_limit": limits}) as made:
        yield made


@fuzzed
@given(st.lists(segments, max_size=9), st.lists(st.tuples(names, values), max_size=4), header_values)
def test_any_request_with_a_token_of_a_is_answered_without_b(
    running: World, path: list[str], query: list[tuple[str, str]], accept: str
) -> None:
    running.start_anew()
    target = "/" + "/".join(path) + ("?" + "&".join(f"{name}={value}" for name, value in query) if query else "")

    answer = running.get(target, running.north.token(), Accept=accept.strip() or "*/*")

    assert answer.status in (200, 400, 403, 404, 406)
    assert answer.status != 200 or STUDY_B.encode() not in answer.body
    assert all(STUDY_B not in one.path for one in running.pacs.asked)


@fuzzed
@given(header_values)
def test_any_authorization_header_without_a_good_token_is_refused(running: World, authorization: str) -> None:
    running.start_anew()

    answer = running.get(f"/studies/{STUDY_A}/metadata", Authorization=authorization.strip() or "x")

    assert answer.status == 401
    assert running.pacs.asked == []


@fuzzed
@given(
    st.binary(max_size=400),
    st.sampled_from(["application/dicom+json", "application/octet-stream", "image/jpeg", "multipart/related"]),
)
def test_any_bytes_from_the_archive_end_in_an_answer_or_a_refusal(running: World, body: bytes, content_type: str) -> None:

    running.start_anew()
    frame = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}/instances/{instance_of(STUDY_A)}"
    headers = {"Content-Type": f"{content_type}; boundary=b" if content_type.startswith("multipart") else content_type}
    token = running.north.token()
    running.get(f"{frame}/metadata", token)
    # On a busy machine what was decided may end in between, and the index is asked for anew.
    running.pacs.answer = lambda asked: None if is_index(asked) else Response(body, 200, headers)

    for ending in ("/metadata", "/frames/1", ""):
        assert running.get(frame + ending, token).status in (200, 502)
